//! What `--so_flags` sets: a list of `name=value`, separated by commas, about the engine that a script runs on. Scripts
//! carry theirs in their first lines: `--so_flags="timestamps=0,sack=0"`.
//!
//! `sysctl` takes what is not in the list from the network namespace that packetdrill runs in, as it stands when the
//! script opens its first socket. So a script that was written for Linux and sets what it needs by `sysctl` commands finds
//! it here too.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use stack::Config;
use stack::tcp::{Algorithm, Ecn, SynCookies};

/// Bits of `net.ipv4.tcp_fastopen`.
pub(crate) const FAST_OPEN_CLIENT: u64 = 1;
pub(crate) const FAST_OPEN_SERVER: u64 = 2;

/// Everything that can be set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The engine's.
    pub config: Config,
    /// The link's MTU.
    pub mtu: u32,
    /// Where connections come from when the script does not bind.
    pub local: IpAddr,
    /// Who may open fast, as in `net.ipv4.tcp_fastopen`: 1 clients, 2 servers, 3 both.
    pub fast_open: u64,
    /// The engine's chance.
    pub seed: [u8; 32],
    /// Look at the system's settings before the first socket.
    pub sysctl: bool,
    flags: String,
}

impl Settings {
    /// Reads the flags; says what it does not understand, since a misspelt setting would test something else.
    pub(crate) fn parse(flags: &str) -> Result<Self, String> {
        let mut settings = Self {
            config: Config::default(),
            mtu: 1500,
            local: IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1)),
            fast_open: FAST_OPEN_CLIENT | FAST_OPEN_SERVER,
            seed: [7; 32],
            sysctl: false,
            flags: flags.to_string(),
        };
        // As on Linux (tcp_mtu_probing): a script's time-outs are not about the size.
        settings.config.tcp.path_probing = false;
        settings.apply_flags()?;
        Ok(settings)
    }

    fn apply_flags(&mut self) -> Result<(), String> {
        for item in self.flags.clone().split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            self.set(name, value).ok_or_else(|| format!("so_flags: '{item}' is not understood"))?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let number = || value.parse::<u64>().ok();
        let small = || value.parse::<u8>().ok();
        let bytes = || value.parse::<u32>().ok();
        let millis = || number().map(Duration::from_millis);
        let switch = || match value {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        };
        let tcp = &mut self.config.tcp;
        match name {
            "sysctl" if value.is_empty() => self.sysctl = true,
            "mtu" => self.mtu = bytes().filter(|mtu| (68..=65_535).contains(mtu))?,
            "local" => self.local = value.parse().ok()?,
            "fast_open" => self.fast_open = number().filter(|bits| *bits <= FAST_OPEN_CLIENT | FAST_OPEN_SERVER)?,
            "seed" => self.seed[..8].copy_from_slice(&number()?.to_le_bytes()),
            "timestamps" => tcp.timestamps = switch()?,
            "sack" => tcp.sack = switch()?,
            "window_scaling" => tcp.window_scaling = switch()?,
            "receive_start" => tcp.receive_start = bytes()?,
            "send_start" => tcp.send_start = bytes()?,
            "syn_cookies" => tcp.syn_cookies = cookies(number()?)?,
            "receive_buffer" => tcp.receive_buffer = bytes()?,
            "send_buffer" => tcp.send_buffer = bytes()?,
            "syn_retries" => tcp.syn_retries = small()?,
            "retries" => tcp.retries = small()?,
            "rto_min_ms" => tcp.rto_min = millis()?,
            "rto_max_ms" => tcp.rto_max = millis()?,
            "delayed_ack_ms" => tcp.delayed_ack = millis()?,
            "quick_acks" => tcp.quick_acks = small().filter(|acks| *acks <= 127)?,
            "time_wait_ms" => tcp.time_wait = millis()?,
            "fin_wait_2_ms" => tcp.fin_wait_2 = millis()?,
            "challenge_ack_limit" => tcp.challenge_ack_limit = bytes()?,
            "congestion" => tcp.congestion = Algorithm::from_name(value)?,
            "ecn" => tcp.ecn = ecn(number()?)?,
            _ => return None,
        }
        Some(())
    }

    /// Takes what `net.ipv4.tcp_*` say, where the engine has the same and the flags say nothing.
    pub(crate) fn apply_sysctls(&mut self) {
        self.read_sysctls();
        // They were understood before.
        let _understood = self.apply_flags();
    }

    fn read_sysctls(&mut self) {
        let number = |name: &str| first_number(&fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?, 0);
        let largest = |name: &str| first_number(&fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?, 2);
        let small = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
        let bytes = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let tcp = &mut self.config.tcp;
        if let Some(value) = number("tcp_timestamps") {
            tcp.timestamps = value != 0;
        }
        if let Some(value) = number("tcp_sack") {
            tcp.sack = value != 0;
        }
        if let Some(value) = number("tcp_window_scaling") {
            tcp.window_scaling = value != 0;
        }
        if let Some(value) = number("tcp_syn_retries") {
            tcp.syn_retries = small(value);
        }
        if let Some(value) = number("tcp_retries2") {
            tcp.retries = small(value);
        }
        if let Some(value) = number("tcp_fin_timeout") {
            tcp.fin_wait_2 = Duration::from_secs(value);
        }
        if let Some(value) = largest("tcp_rmem") {
            tcp.receive_buffer = bytes(value);
        }
        if let Some(value) = largest("tcp_wmem") {
            tcp.send_buffer = bytes(value);
        }
        if let Some(value) = number("tcp_syncookies").and_then(cookies) {
            tcp.syn_cookies = value;
        }
        if let Some(value) = number("tcp_ecn").and_then(ecn) {
            tcp.ecn = value;
        }
        if let Some(value) = number("tcp_fastopen") {
            self.fast_open = value & (FAST_OPEN_CLIENT | FAST_OPEN_SERVER);
        }
        let name = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
        if let Some(value) = name.ok().and_then(|name| Algorithm::from_name(name.trim())) {
            tcp.congestion = value;
        }
    }
}

/// What `net.ipv4.tcp_syncookies` has these numbers for.
fn cookies(number: u64) -> Option<SynCookies> {
    [SynCookies::Never, SynCookies::WhenFull, SynCookies::Always].get(usize::try_from(number).ok()?).copied()
}

/// What `net.ipv4.tcp_ecn` has these numbers for.
fn ecn(number: u64) -> Option<Ecn> {
    [Ecn::Off, Ecn::Active, Ecn::Passive].get(usize::try_from(number).ok()?).copied()
}

fn first_number(text: &str, at: usize) -> Option<u64> {
    text.split_whitespace().nth(at)?.parse().ok()
}
