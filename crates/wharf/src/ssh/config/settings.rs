//! The words of ssh_config that are known, and what they have been set to.

use std::time::Duration;

use super::forward::{Forward, Listen};
use crate::ssh::{HostKeyPolicy, pattern};

/// Whose agent programs on the server may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardAgent {
    /// None.
    No,
    /// The one that the user is let in by.
    Own,
    /// The one at this socket, or with `$` in front, the one that a variable of the environment names.
    At(String),
}

/// What is said about a host. `None` and empty mean that nothing was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The name or address to connect to (`HostName`); `%h` is the host as named.
    pub host_name: Option<String>,
    /// `Port`
    pub port: Option<u16>,
    /// `User`
    pub user: Option<String>,
    /// `IdentityFile`, in order
    pub identity_files: Vec<String>,
    /// `CertificateFile`, in order
    pub certificate_files: Vec<String>,
    /// `ForwardAgent`: `yes`, `no`, or a socket
    pub forward_agent: Option<ForwardAgent>,
    /// `IdentitiesOnly`
    pub identities_only: Option<bool>,
    /// `IdentityAgent`: a socket, `SSH_AUTH_SOCK`, or `none`
    pub identity_agent: Option<String>,
    /// `ProxyJump`: hosts to go through, in order; empty for `none`
    pub proxy_jump: Option<Vec<JumpHost>>,
    /// `UserKnownHostsFile`
    pub user_known_hosts: Option<Vec<String>>,
    /// `GlobalKnownHostsFile`
    pub global_known_hosts: Option<Vec<String>>,
    /// `StrictHostKeyChecking`: `yes`, `accept-new` (and `no`, `off`), `ask`
    pub host_keys: Option<HostKeyPolicy>,
    /// `HashKnownHosts`
    pub hash_known_hosts: Option<bool>,
    /// `HostKeyAlias`: the name under which the host's key is looked up
    pub host_key_alias: Option<String>,
    /// `ConnectTimeout`
    pub connect_timeout: Option<Duration>,
    /// `ServerAliveInterval`; zero is never
    pub server_alive_interval: Option<Duration>,
    /// `ServerAliveCountMax`
    pub server_alive_count: Option<usize>,
    /// `LocalForward`
    pub local_forwards: Vec<Forward>,
    /// `RemoteForward`
    pub remote_forwards: Vec<Forward>,
    /// `DynamicForward`
    pub dynamic_forwards: Vec<Listen>,
    /// `GatewayPorts`: local forwards listen on every address
    pub gateway_ports: Option<bool>,
    /// `ExitOnForwardFailure`
    pub exit_on_forward_failure: Option<bool>,
    /// `RequestTTY`: `Some(None)` is `auto`; `force` counts as `yes`
    pub request_tty: Option<Option<bool>>,
    /// `RemoteCommand`
    pub remote_command: Option<String>,
    /// `SessionType none`
    pub no_session: Option<bool>,
    /// `SendEnv`: patterns of names
    pub send_env: Vec<String>,
    /// `SetEnv`
    pub set_env: Vec<(String, String)>,
    /// `PubkeyAuthentication`
    pub public_key: Option<bool>,
    /// `PasswordAuthentication`
    pub password: Option<bool>,
    /// `KbdInteractiveAuthentication`
    pub keyboard_interactive: Option<bool>,
    /// `NumberOfPasswordPrompts`
    pub password_prompts: Option<u32>,
    /// `BatchMode`: nobody is asked
    pub batch_mode: Option<bool>,
    /// `Compression`
    pub compression: Option<bool>,
    /// `RekeyLimit`, in bytes
    pub rekey_limit: Option<usize>,
    /// `EscapeChar`: `Some(None)` is `none`
    pub escape: Option<Option<u8>>,
}

/// A host on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JumpHost {
    /// The user's name there.
    pub user: Option<String>,
    /// The host.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
}

impl JumpHost {
    /// Reads `[USER@]HOST[:PORT]`, also as `ssh://[USER@]HOST[:PORT]`.
    ///
    /// # Errors
    /// In words, if it is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix("ssh://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let (user, place) = match bare.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, bare),
        };
        let (host, port) = if let Some(inner) = place.strip_prefix('[') {
            let (host, after) = inner.split_once(']').ok_or_else(|| format!("{text:?} has a bracket too few"))?;
            (host, after.strip_prefix(':'))
        } else {
            match place.rsplit_once(':') {
                // Several colons and no brackets: an IPv6 address.
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                _ => (place, None),
            }
        };
        if host.is_empty() || user.as_deref() == Some("") || host.starts_with('-') {
            return Err(format!("{text:?} is not [USER@]HOST[:PORT]"));
        }
        let port = match port.map(str::parse) {
            None => None,
            Some(Ok(port)) if port != 0 => Some(port),
            Some(_) => return Err(format!("the port of {text:?} is none")),
        };
        Ok(Self { user, host: host.to_owned(), port })
    }
}

/// Values that are kept of a word that may be given several times.
const MOST_VALUES: usize = 100;

impl Settings {
    /// Whether `SendEnv` names the variable `name`.
    #[must_use]
    pub fn sends(&self, name: &str) -> bool {
        pattern::list_matches(self.send_env.iter().map(String::as_str), name)
    }

    /// Sets `word`, in small letters, to `values`, unless it has been set before. `Ok(false)` if the word is unknown.
    pub(super) fn set(&mut self, word: &str, values: &[String]) -> Result<bool, String> {
        let value = values.first().map_or("", String::as_str);
        match word {
            "hostname" => first(&mut self.host_name, || Ok(value.to_owned())),
            "port" => first(&mut self.port, || number::<u16>(value).and_then(nonzero)),
            "user" => first(&mut self.user, || Ok(value.to_owned())),
            "identityfile" => several(&mut self.identity_files, Ok(value.to_owned())),
            "certificatefile" => several(&mut self.certificate_files, Ok(value.to_owned())),
            "forwardagent" => first(&mut self.forward_agent, || {
                Ok(match yes_no(value) {
                    Ok(true) => ForwardAgent::Own,
                    Ok(false) => ForwardAgent::No,
                    Err(_) => ForwardAgent::At(value.to_owned()),
                })
            }),
            "identitiesonly" => first(&mut self.identities_only, || yes_no(value)),
            "identityagent" => first(&mut self.identity_agent, || Ok(value.to_owned())),
            "proxyjump" => first(&mut self.proxy_jump, || jumps(value)),
            "userknownhostsfile" => first(&mut self.user_known_hosts, || Ok(values.to_vec())),
            "globalknownhostsfile" => first(&mut self.global_known_hosts, || Ok(values.to_vec())),
            "stricthostkeychecking" => first(&mut self.host_keys, || policy(value)),
            "hashknownhosts" => first(&mut self.hash_known_hosts, || yes_no(value)),
            "hostkeyalias" => first(&mut self.host_key_alias, || Ok(value.to_owned())),
            "connecttimeout" => first(&mut self.connect_timeout, || duration(value).and_then(nonzero_time)),
            "serveraliveinterval" => first(&mut self.server_alive_interval, || duration(value)),
            "serveralivecountmax" => first(&mut self.server_alive_count, || number(value)),
            "localforward" => several(&mut self.local_forwards, forward(values, true)),
            "remoteforward" => several(&mut self.remote_forwards, forward(values, true)),
            "dynamicforward" => several(&mut self.dynamic_forwards, Listen::parse(value)),
            "gatewayports" => first(&mut self.gateway_ports, || yes_no(value)),
            "exitonforwardfailure" => first(&mut self.exit_on_forward_failure, || yes_no(value)),
            "requesttty" => first(&mut self.request_tty, || match value {
                "auto" => Ok(None),
                "force" => Ok(Some(true)),
                other => yes_no(other).map(Some),
            }),
            "remotecommand" => first(&mut self.remote_command, || Ok(values.join(" "))),
            "sessiontype" => first(&mut self.no_session, || match value {
                "none" => Ok(true),
                "default" => Ok(false),
                other => Err(format!("SessionType {other} is not known here")),
            }),
            "sendenv" => values.iter().try_for_each(|one| several(&mut self.send_env, Ok(one.clone()))),
            "setenv" => values.iter().try_for_each(|one| {
                let pair = one.split_once('=').ok_or_else(|| format!("{one:?} is not NAME=value"));
                several(&mut self.set_env, pair.map(|(name, value)| (name.to_owned(), value.to_owned())))
            }),
            "pubkeyauthentication" => first(&mut self.public_key, || yes_no(value)),
            "passwordauthentication" => first(&mut self.password, || yes_no(value)),
            "kbdinteractiveauthentication" | "challengeresponseauthentication" => {
                first(&mut self.keyboard_interactive, || yes_no(value))
            }
            "numberofpasswordprompts" => first(&mut self.password_prompts, || number(value)),
            "batchmode" => first(&mut self.batch_mode, || yes_no(value)),
            "compression" => first(&mut self.compression, || yes_no(value)),
            "rekeylimit" => first(&mut self.rekey_limit, || bytes(value)),
            "escapechar" => first(&mut self.escape, || escape(value)),
            _ => return Ok(false),
        }
        .map(|()| true)
    }
}

/// Sets what is not set yet. The value is read either way: a bad one is an error wherever it stands.
fn first<T>(slot: &mut Option<T>, value: impl FnOnce() -> Result<T, String>) -> Result<(), String> {
    let value = value()?;
    slot.get_or_insert(value);
    Ok(())
}

fn several<T>(values: &mut Vec<T>, value: Result<T, String>) -> Result<(), String> {
    if values.len() == MOST_VALUES {
        return Err(format!("it is given more than {MOST_VALUES} times"));
    }
    values.push(value?);
    Ok(())
}

fn yes_no(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("{value:?} is neither yes nor no")),
    }
}

fn policy(value: &str) -> Result<HostKeyPolicy, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(HostKeyPolicy::Strict),
        // A changed key is never believed here, so that these three are one.
        "accept-new" | "no" | "off" | "false" => Ok(HostKeyPolicy::AcceptNew),
        "ask" => Ok(HostKeyPolicy::Ask),
        _ => Err(format!("{value:?} is none of yes, accept-new, ask, no")),
    }
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value:?} is no number that fits"))
}

fn nonzero(port: u16) -> Result<u16, String> {
    if port == 0 { Err("0 is no port".to_owned()) } else { Ok(port) }
}

fn nonzero_time(time: Duration) -> Result<Duration, String> {
    if time.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(time) }
}

/// Seconds, or numbers with `s`, `m`, `h`, `d`, `w` behind them.
fn duration(value: &str) -> Result<Duration, String> {
    let bad = || format!("{value:?} is no time");
    let (mut total, mut digits) = (0_u64, String::new());
    for letter in value.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let unit: u64 = match letter.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(bad()),
        };
        let count: u64 = std::mem::take(&mut digits).parse().map_err(|_| bad())?;
        total = count.checked_mul(unit).and_then(|more| total.checked_add(more)).ok_or_else(bad)?;
    }
    if !digits.is_empty() {
        total = digits.parse().ok().and_then(|more: u64| total.checked_add(more)).ok_or_else(bad)?;
    } else if value.is_empty() {
        return Err(bad());
    }
    if total > u64::from(u32::MAX) { Err(bad()) } else { Ok(Duration::from_secs(total)) }
}

/// A number of bytes with `K`, `M` or `G` behind it; russh exchanges keys after a GiB at the latest.
fn bytes(value: &str) -> Result<usize, String> {
    const MOST: usize = 1 << 30;
    const LEAST: usize = 1 << 16;
    if value.eq_ignore_ascii_case("default") || value.eq_ignore_ascii_case("none") {
        return Ok(MOST);
    }
    let bad = || format!("{value:?} is no number of bytes");
    let (digits, unit) = match value.char_indices().last() {
        Some((at, 'k' | 'K')) => (&value[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&value[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&value[..at], 1 << 30),
        _ => (value, 1),
    };
    let count: usize = digits.parse().map_err(|_| bad())?;
    Ok(count.checked_mul(unit).ok_or_else(bad)?.clamp(LEAST, MOST))
}

fn jumps(value: &str) -> Result<Vec<JumpHost>, String> {
    const MOST: usize = 16;
    if value.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    let hosts: Vec<_> = value.split(',').map(JumpHost::parse).collect::<Result<_, _>>()?;
    if hosts.len() > MOST { Err(format!("the way leads over more than {MOST} hosts")) } else { Ok(hosts) }
}

/// `[ADDRESS:]PORT HOST:HOSTPORT`, or both in one word.
fn forward(values: &[String], needs_target: bool) -> Result<Forward, String> {
    let forward: Forward = values.join(":").parse()?;
    if needs_target && forward.to.is_none() {
        return Err("it does not say where it leads".to_owned());
    }
    Ok(forward)
}

fn escape(value: &str) -> Result<Option<u8>, String> {
    match value.as_bytes() {
        b"none" => Ok(None),
        [byte] if byte.is_ascii() => Ok(Some(*byte)),
        [b'^', letter] if letter.is_ascii_alphabetic() => Ok(Some(letter.to_ascii_uppercase() & 0x1f)),
        _ => Err(format!("{value:?} is neither one letter nor none")),
    }
}
