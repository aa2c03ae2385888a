//! Which resolvers the host uses: those of the configuration, or those of /etc/resolv.conf as it is now. Asked by
//! [`dns_forwarder`](super::dns_forwarder) and [`dns_stream`](super::dns_stream) for each query that is passed on.

use std::ffi::CString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Resolvers that are asked, at most; as many as the C library knows.
const LIMIT: usize = 3;
/// How often the file is looked at for changes: a laptop may move to another network.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A configuration file longer than this is not one.
const FILE_LIMIT: u64 = 1 << 20;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The host's resolvers, the first preferred.
pub(super) struct Resolvers {
    servers: Vec<SocketAddr>,
    /// The state of the file as last looked at; `None` when the list was given.
    file: Option<FileState>,
}

#[derive(Default)]
struct FileState {
    looked: Option<Instant>,
    modified: Option<SystemTime>,
}

impl Resolvers {
    /// The `given` resolvers, or those that the host is configured with.
    pub(super) fn new(given: Option<Vec<SocketAddr>>) -> Self {
        match given {
            Some(servers) => Self { servers, file: None },
            None => Self { servers: Vec::new(), file: Some(FileState::default()) },
        }
    }

    /// The resolver for a query's `attempt`th try, counted from zero; `None` if there is none, or none left to try.
    pub(super) fn server(&mut self, now: Instant, attempt: usize) -> Option<SocketAddr> {
        self.look_again(now);
        // A single resolver gets a second chance: its first packet may have been lost.
        let attempts = self.servers.len().max(2);
        if self.servers.is_empty() || attempt >= attempts {
            return None;
        }
        Some(self.servers[attempt % self.servers.len()])
    }

    fn look_again(&mut self, now: Instant) {
        let Some(file) = &mut self.file else { return };
        if file.looked.is_some_and(|looked| now < looked + LOOK_AGAIN) {
            return;
        }
        let first = file.looked.replace(now).is_none();
        let metadata = fs::metadata(RESOLV_CONF).ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        if !first && modified == file.modified {
            return;
        }
        file.modified = modified;
        let small = metadata.is_some_and(|metadata| metadata.len() <= FILE_LIMIT);
        let text = if small { fs::read_to_string(Path::new(RESOLV_CONF)).unwrap_or_default() } else { String::new() };
        self.servers = parse(&text);
    }
}

/// The name servers of a resolv.conf(5); without any, the host's own, as the C library has it.
pub(super) fn parse(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        .filter_map(server)
        .take(LIMIT)
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53));
    }
    servers
}

/// An address, with a zone in the case of `fe80::1%eth0`.
fn server(text: &str) -> Option<SocketAddr> {
    let Some((address, zone)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, 53));
    };
    let scope = zone.parse().ok().or_else(|| {
        let name = CString::new(zone).ok()?;
        // SAFETY: a live string that ends in a zero byte.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        (index != 0).then_some(index)
    })?;
    Some(SocketAddr::V6(SocketAddrV6::new(address.parse().ok()?, 53, 0, scope)))
}
