//! From what the command line and ssh_config say to a session whose user is let in. Shared by ssh and sftp.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use wharf::SocketError;
use wharf::ssh::config::{ForwardAgent, JumpHost, Reader, Settings};
use wharf::ssh::{self, Credentials, HostKeyPolicy, Options, Questions, Session};

use super::terminal::Person;
use crate::args::Login;
use crate::network::Network;
use crate::output;

/// Patience where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// Hosts that lead to hosts that lead to hosts.
const LONGEST_WAY: usize = 16;
/// Where keys are looked for if none is named.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// A session, with those that carry it.
pub(crate) struct LoggedIn {
    pub(crate) session: Arc<Session>,
    pub(crate) settings: Settings,
    /// The agent's socket, as far as there is one.
    agent: Option<PathBuf>,
    /// The hosts on the way: their sessions live as long as this one.
    via: Vec<Arc<Session>>,
}

impl LoggedIn {
    /// The agent that programs there may ask: because -A says so, or ssh_config does and -a does not contradict.
    pub(crate) fn agent_for(&self, forward: bool, never: bool) -> Result<Option<PathBuf>, String> {
        let missing = || "there is no agent to forward: $SSH_AUTH_SOCK is not set".to_owned();
        match &self.settings.forward_agent {
            _ if never => Ok(None),
            // What was asked for here and now, or nothing.
            _ if forward => self.agent.clone().map(Some).ok_or_else(missing),
            Some(ForwardAgent::Own) => Ok(self.agent.clone()),
            Some(ForwardAgent::At(place)) => Ok(match place.strip_prefix('$') {
                Some(variable) => env::var_os(variable).filter(|socket| !socket.is_empty()).map(PathBuf::from),
                None => Some(place.into()),
            }),
            None | Some(ForwardAgent::No) => Ok(None),
        }
    }

    /// Ends it and those that carry it.
    pub(crate) async fn close(&self) {
        self.session.close().await;
        for session in self.via.iter().rev() {
            session.close().await;
        }
    }
}

/// What is said of a host, and where to find it.
struct Plan {
    settings: Settings,
    host: String,
    port: u16,
    /// What its key is looked up under.
    key_name: String,
    credentials: Credentials,
    options: Options,
    questions: Arc<dyn Questions>,
}

/// The person who runs this.
struct Me {
    name: String,
    home: Option<PathBuf>,
}

impl Me {
    fn find() -> Self {
        let entry = passwd_entry();
        let name = env::var("USER")
            .or_else(|_| env::var("LOGNAME"))
            .ok()
            .filter(|name| !name.is_empty())
            .or_else(|| entry.as_ref().map(|(name, _)| name.clone()))
            .unwrap_or_else(|| "root".to_owned());
        let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        Self { name, home: home.or_else(|| entry.map(|(_, home)| home)) }
    }

    fn ssh_file(&self, name: &str) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(".ssh").join(name))
    }
}

/// Name and home from /etc/passwd.
fn passwd_entry() -> Option<(String, PathBuf)> {
    let me = rustix::process::getuid().as_raw().to_string();
    let text = fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [name, _, uid, _, _, home, ..] if *uid == me => Some(((*name).to_owned(), PathBuf::from(home))),
            _ => None,
        }
    })
}

/// What the command says for itself, in front of what files say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(crate) target: Option<JumpHost>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) no_questions: bool,
    pub(crate) quiet: bool,
    /// What --timeout says.
    pub(crate) patience: Option<Duration>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Ssh(#[from] ssh::Error),
    /// With what this command knows of it beyond that.
    #[error("{0}")]
    Hinted(String),
}

/// Connects over `network` to the host that `own` names, and logs in.
pub(crate) async fn log_in(network: &Network, login: &Login, own: &Own) -> Result<LoggedIn, Trouble> {
    let target = own.target.clone().ok_or_else(|| Trouble::Usage("no host is named".to_owned()))?;
    let me = Me::find();
    let plan = plan(&me, login, own, &target, true)?;
    let jumps = plan.settings.proxy_jump.clone().unwrap_or_default();
    reach(network, &me, login, own, plan, jumps, LONGEST_WAY).await
}

type Reaching<'a> = Pin<Box<dyn Future<Output = Result<LoggedIn, Trouble>> + 'a>>;

/// Connects by way of `jumps`, the last of them next to the host.
fn reach<'a>(
    network: &'a Network,
    me: &'a Me,
    login: &'a Login,
    own: &'a Own,
    plan: Plan,
    mut jumps: Vec<JumpHost>,
    way: usize,
) -> Reaching<'a> {
    Box::pin(async move {
        let Plan { settings, host, port, key_name, credentials, options, questions } = plan;
        let (mut session, via) = match jumps.pop() {
            None => {
                let stream = ssh::dial(&network.net, &network.resolver, &host, port, options.patience).await;
                let stream = match stream {
                    Ok(stream) => stream,
                    Err(error) => return Err(explained(network, error).await),
                };
                (Session::over(stream, &key_name, port, &options, questions).await?, Vec::new())
            }
            Some(jump) => {
                if way == 0 {
                    return Err(Trouble::Usage(format!("the way to {host} leads over more than {LONGEST_WAY} hosts")));
                }
                let next = self::plan(me, login, own, &jump, false)?;
                // The first host of the way may have one of its own.
                let before = match (jumps.is_empty(), &next.settings.proxy_jump) {
                    (true, Some(before)) => before.clone(),
                    _ => jumps,
                };
                let LoggedIn { session, mut via, .. } = reach(network, me, login, own, next, before, way - 1).await?;
                let stream = session.direct(&host, port, ("127.0.0.1", 0)).await?;
                via.push(session);
                (Session::over(stream, &key_name, port, &options, questions).await?, via)
            }
        };
        session.authenticate(&credentials).await?;
        Ok(LoggedIn { session: Arc::new(session), settings, agent: credentials.agent, via })
    })
}

/// A connection that failed, told with what the layers below know of it.
async fn explained(network: &Network, error: ssh::Error) -> Trouble {
    if let ssh::Error::Connect { host, port, source } = &error
        && SocketError::of(source) == Some(SocketError::HostUnreachable)
        && let Ok(addresses) = network.resolver.addresses(host).await
        && let Some(text) = match addresses.first() {
            Some(address) => network.unreachable(*address).await,
            None => None,
        }
    {
        return ssh::Error::Connect { host: host.clone(), port: *port, source: std::io::Error::other(text) }.into();
    }
    let hint = match &error {
        ssh::Error::Name(name) => network.name_hint(name),
        ssh::Error::Connect { host, source, .. } if source.kind() == std::io::ErrorKind::ConnectionRefused => {
            host.parse().ok().and_then(|address| network.refused_hint(address))
        }
        _ => None,
    };
    match hint {
        Some(hint) => Trouble::Hinted(format!("{error}; {hint}")),
        None => error.into(),
    }
}

/// Reads what is said of `target`. The command line's words are about the last host alone, as with OpenSSH.
fn plan(me: &Me, login: &Login, own: &Own, target: &JumpHost, is_last: bool) -> Result<Plan, Trouble> {
    let usage = |error: wharf::ssh::config::BadValue| Trouble::Usage(error.to_string());
    let mut reader = Reader::new(&target.host, &me.name, me.home.as_deref());
    let port = if is_last { own.port.or(target.port) } else { target.port };
    if let Some(port) = port {
        reader.set_word("port", &port.to_string()).map_err(usage)?;
    }
    let user = if is_last { own.user.as_ref().or(target.user.as_ref()) } else { target.user.as_ref() };
    if let Some(user) = user {
        reader.set_word("user", user).map_err(usage)?;
    }
    if login.accept_new {
        reader.set_word("stricthostkeychecking", "accept-new").map_err(usage)?;
    }
    if is_last {
        for identity in &login.identity {
            let identity = identity
                .to_str()
                .ok_or_else(|| Trouble::Usage(format!("the name of {} is no text", identity.display())))?;
            reader.set_word("identityfile", identity).map_err(usage)?;
        }
        if !login.jump.is_empty() {
            reader.set_jumps(login.jump.clone());
        }
        for option in &login.option {
            reader.set(option).map_err(usage)?;
        }
    }
    match &login.ssh_config {
        Some(file) if file.as_os_str() == "none" => {}
        Some(file) if !file.exists() => {
            return Err(Trouble::Usage(format!("the configuration {} does not exist", file.display())));
        }
        Some(file) => reader.read(file).map_err(usage)?,
        None => {
            if let Some(file) = me.ssh_file("config") {
                reader.read(&file).map_err(usage)?;
            }
        }
    }
    let before_system = reader.notes_so_far();
    if login.ssh_config.is_none() {
        reader.read(Path::new("/etc/ssh/ssh_config")).map_err(usage)?;
    }
    let (settings, notes) = reader.finish();
    // The system's file is not the user's to mend.
    let told = if login.verbose { notes.len() } else { before_system };
    if is_last && !own.quiet {
        notes.iter().take(told).for_each(output::note);
    }
    made(me, login, own, target, settings)
}

fn made(me: &Me, login: &Login, own: &Own, target: &JumpHost, mut settings: Settings) -> Result<Plan, Trouble> {
    let port = settings.port.unwrap_or(ssh::PORT);
    let user = settings.user.clone().unwrap_or_else(|| me.name.clone());
    let mut tokens = Tokens { me, named: &target.host, host: target.host.clone(), port, user: &user };
    if let Some(name) = &settings.host_name {
        tokens.host = tokens.expanded(name)?;
    }
    let host = tokens.host.clone();
    let files = |files: &Option<Vec<String>>, usual: Vec<PathBuf>| -> Result<Vec<PathBuf>, Trouble> {
        match files {
            None => Ok(usual),
            Some(files) => {
                files.iter().filter(|file| *file != "none").map(|file| Ok(tokens.expanded(file)?.into())).collect()
            }
        }
    };
    let usual = ["known_hosts", "known_hosts2"].iter().filter_map(|name| me.ssh_file(name)).collect();
    let mut known_hosts = files(&settings.user_known_hosts, usual)?;
    let usual = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"].map(PathBuf::from).to_vec();
    let global = files(&settings.global_known_hosts, usual)?;
    // New keys go to the first of the user's files, or nowhere.
    let remembers = !known_hosts.is_empty();
    known_hosts.extend(global);

    let mut credentials = Credentials::new(user.clone());
    credentials.identity_files = match settings.identity_files.as_slice() {
        [] => USUAL_KEYS.iter().filter_map(|name| me.ssh_file(name)).collect(),
        files => files
            .iter()
            .filter(|file| *file != "none")
            .map(|file| tokens.expanded(file).map(PathBuf::from))
            .collect::<Result<_, _>>()?,
    };
    credentials.certificate_files = settings
        .certificate_files
        .iter()
        .filter(|file| *file != "none")
        .map(|file| tokens.expanded(file).map(PathBuf::from))
        .collect::<Result<_, _>>()?;
    if let Some(ForwardAgent::At(place)) = &settings.forward_agent
        && !place.starts_with('$')
    {
        settings.forward_agent = Some(ForwardAgent::At(tokens.expanded(place)?));
    }
    for file in &login.identity {
        if !file.exists() {
            output::note(format!("The key {} does not exist.", file.display()));
        }
    }
    credentials.agent = match settings.identity_agent.as_deref() {
        Some("none") => None,
        None | Some("SSH_AUTH_SOCK") => {
            env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(PathBuf::from)
        }
        Some(socket) => Some(tokens.expanded(socket)?.into()),
    };
    credentials.identities_only = settings.identities_only.unwrap_or(false);
    credentials.public_key = settings.public_key.unwrap_or(true);
    credentials.password = settings.password.unwrap_or(true);
    credentials.keyboard_interactive = settings.keyboard_interactive.unwrap_or(true);
    credentials.password_prompts = settings.password_prompts.unwrap_or(3);

    let batch = own.no_questions || settings.batch_mode == Some(true);
    let alive = settings.server_alive_interval.filter(|interval| !interval.is_zero());
    let options = Options {
        known_hosts,
        remember: remembers,
        host_keys: settings.host_keys.unwrap_or(HostKeyPolicy::Ask),
        hash_names: settings.hash_known_hosts.unwrap_or(false),
        legacy: login.legacy,
        compress: login.compress || settings.compression == Some(true),
        patience: settings.connect_timeout.or(own.patience).unwrap_or(PATIENCE),
        keep_alive: alive.map(|interval| (interval, settings.server_alive_count.unwrap_or(3))),
        rekey_after: settings.rekey_limit,
    };
    let key_name = settings.host_key_alias.clone().unwrap_or_else(|| host.clone());
    let questions = Arc::new(Person { batch, quiet: own.quiet });
    Ok(Plan { settings, host, port, key_name, credentials, options, questions })
}

/// What `~` and the letters after `%` stand for (ssh_config(5), TOKENS).
struct Tokens<'a> {
    me: &'a Me,
    named: &'a str,
    host: String,
    port: u16,
    user: &'a str,
}

impl Tokens<'_> {
    fn expanded(&self, text: &str) -> Result<String, Trouble> {
        let home = || {
            let home = self.me.home.as_ref().and_then(|home| home.to_str());
            home.ok_or_else(|| Trouble::Usage(format!("{text:?} is in the home folder, and there is none")))
        };
        let mut result = String::new();
        let mut rest = text;
        if let Some(below) = text.strip_prefix("~/") {
            result.push_str(home()?);
            result.push('/');
            rest = below;
        }
        let mut letters = rest.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                result.push(letter);
                continue;
            }
            match letters.next() {
                Some('%') => result.push('%'),
                Some('d') => result.push_str(home()?),
                Some('h') => result.push_str(&self.host),
                Some('n') => result.push_str(self.named),
                Some('p') => result.push_str(&self.port.to_string()),
                Some('r') => result.push_str(self.user),
                Some('u') => result.push_str(&self.me.name),
                Some('i') => result.push_str(&rustix::process::getuid().as_raw().to_string()),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(Trouble::Usage(format!("%{other} in {text:?} is not known")));
                }
            }
        }
        Ok(result)
    }
}
