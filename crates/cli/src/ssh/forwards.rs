//! Forwarded ports. They join the local user's programs to hosts beyond the session, so that what listens here, and what
//! a remote port leads to on localhost, are ordinary sockets of this host; every other host is reached over Wharf's net.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use wharf::dns::Resolver;
use wharf::ssh::config::{Forward, Listen};
use wharf::ssh::{self, Forwarded, Session};
use wharf::{Net, aio};

use super::socks;
use crate::output;

/// Connections through one listener at once; the next wait in its backlog.
const MOST_AT_ONCE: usize = 256;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Forwards {
    pub(super) local: Vec<Forward>,
    pub(super) remote: Vec<Forward>,
    pub(super) dynamic: Vec<Listen>,
    /// Local ports without an address are open to every host.
    pub(super) gateway_ports: bool,
    /// One that cannot be had ends everything.
    pub(super) all_or_nothing: bool,
}

/// What is needed to lead a remote port somewhere.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) net: Net,
    pub(super) resolver: Arc<Resolver>,
}

/// Where the connections of a local port go.
#[derive(Clone)]
enum To {
    Place(String, u16),
    Asked,
}

impl Forwards {
    /// Sets them up; they live as long as the runtime's tasks.
    pub(super) async fn start(self, session: &Arc<Session>, way: Way) -> Result<(), String> {
        for Forward { listen, to } in self.local {
            let to = to.ok_or("-L needs a host and a port to lead to; -D takes them from SOCKS")?;
            let outcome = listen_here(session, &listen, self.gateway_ports, To::Place(to.0, to.1)).await;
            settle(outcome, self.all_or_nothing)?;
        }
        for listen in self.dynamic {
            let outcome = listen_here(session, &listen, self.gateway_ports, To::Asked).await;
            settle(outcome, self.all_or_nothing)?;
        }
        let mut leads = Vec::new();
        for Forward { listen, to } in self.remote {
            let to = to.ok_or("-R needs a host and a port to lead to")?;
            // RFC 4254 section 7.1: "" is every address, "localhost" the loopback's.
            let address = match listen.address.as_deref() {
                None => "localhost",
                Some("*") => "",
                Some(address) => address,
            };
            match session.listen(address, listen.port).await {
                Ok(port) => {
                    if listen.port == 0 {
                        output::note(format!("Port {port} of the server leads to {} port {}.", to.0, to.1));
                    }
                    leads.push((port, to));
                }
                Err(error) => settle(Err(error.to_string()), self.all_or_nothing)?,
            }
        }
        if !leads.is_empty() {
            let session = Arc::clone(session);
            tokio::spawn(async move {
                while let Some(forwarded) = session.forwarded().await {
                    let to = leads.iter().find(|(port, _)| *port == forwarded.port).map(|(_, to)| to.clone());
                    if let Some(to) = to {
                        tokio::spawn(lead(forwarded, to, way.clone()));
                    }
                }
            });
        }
        Ok(())
    }
}

fn settle(outcome: Result<(), String>, all_or_nothing: bool) -> Result<(), String> {
    match outcome {
        Err(error) if !all_or_nothing => {
            output::note(format!("wharf ssh: {error}"));
            Ok(())
        }
        other => other,
    }
}

async fn listen_here(session: &Arc<Session>, listen: &Listen, gateway: bool, to: To) -> Result<(), String> {
    let addresses: Vec<IpAddr> = match listen.address.as_deref() {
        None if gateway => vec![Ipv4Addr::UNSPECIFIED.into()],
        None | Some("localhost") => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Some("" | "*") => vec![Ipv4Addr::UNSPECIFIED.into()],
        Some(address) => vec![address.parse().map_err(|_| format!("{address:?} is no address to listen at"))?],
    };
    let mut listeners = Vec::new();
    let mut refused = None;
    for address in addresses {
        match TcpListener::bind((address, listen.port)).await {
            Ok(listener) => listeners.push(listener),
            // Not every host has IPv6: one of the two loopbacks is enough. A port that somebody else has on one of them
            // would lead half of the callers to him.
            Err(error) if address.is_ipv6() && is_unknown_here(&error) => refused = Some(error),
            Err(error) => return Err(format!("port {} of this host cannot be had: {error}", listen.port)),
        }
    }
    if let (true, Some(error)) = (listeners.is_empty(), refused) {
        return Err(format!("port {} of this host cannot be had: {error}", listen.port));
    }
    for listener in listeners {
        if listen.port == 0
            && let Ok(address) = listener.local_addr()
        {
            output::note(format!("Port {} of this host is open.", address.port()));
        }
        tokio::spawn(accept(listener, Arc::clone(session), to.clone()));
    }
    Ok(())
}

/// Whether a kind of address is not in use on this host at all.
fn is_unknown_here(error: &std::io::Error) -> bool {
    let code = error.raw_os_error();
    [rustix::io::Errno::ADDRNOTAVAIL, rustix::io::Errno::AFNOSUPPORT]
        .iter()
        .any(|unknown| code == Some(unknown.raw_os_error()))
}

async fn accept(listener: TcpListener, session: Arc<Session>, to: To) {
    let room = Arc::new(tokio::sync::Semaphore::new(MOST_AT_ONCE));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, from)) => {
                let (session, to) = (Arc::clone(&session), to.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let from = (from.ip().to_string(), from.port());
                    if let Err(error) = carry(stream, &session, to, (&from.0, from.1)).await {
                        output::note(format!("wharf ssh: {error}"));
                    }
                    drop(permit);
                });
            }
            // As a rule too many open files: the others will close theirs.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

async fn carry(mut here: TcpStream, session: &Session, to: To, from: (&str, u16)) -> Result<(), ssh::Error> {
    let mut there = match to {
        To::Place(host, port) => session.direct(&host, port, from).await?,
        To::Asked => {
            let Some((host, port)) = socks::asked(&mut here).await else { return Ok(()) };
            match session.direct(&host, port, from).await {
                Ok(stream) => {
                    if socks::granted(&mut here).await.is_err() {
                        return Ok(());
                    }
                    stream
                }
                Err(error) => {
                    socks::refused(&mut here).await;
                    return Err(error);
                }
            }
        }
    };
    // Whichever side breaks off, there is nobody to tell.
    let _ = copy_bidirectional(&mut here, &mut there).await;
    Ok(())
}

/// Joins a connection to a port of the server with where that leads.
async fn lead(forwarded: Forwarded, (host, port): (String, u16), way: Way) {
    let Forwarded { from, stream, .. } = forwarded;
    let failed = |error: String| output::note(format!("wharf ssh: {from} wanted {host} port {port}: {error}"));
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if loopback {
        match TcpStream::connect((host.as_str(), port)).await {
            Ok(here) => join(here, stream).await,
            Err(error) => failed(error.to_string()),
        }
    } else {
        match reach(&way, &host, port).await {
            Ok(here) => join(here, stream).await,
            Err(error) => failed(error.to_string()),
        }
    }
}

async fn reach(way: &Way, host: &str, port: u16) -> Result<aio::TcpStream, ssh::Error> {
    ssh::dial(&way.net, &way.resolver, host, port, std::time::Duration::from_secs(30)).await
}

async fn join(mut here: impl AsyncRead + AsyncWrite + Unpin, mut stream: ssh::Stream) {
    let _ = copy_bidirectional(&mut here, &mut stream).await;
}
