//! Connections by name: the addresses of a name are tried one shortly after the other, without waiting for each to
//! fail, and the first that answers is taken (RFC 8305, "Happy Eyeballs"). A dead address then costs a quarter of a
//! second, not the patience for a connection.
//!
//! [`connect()`] is for programs; `http`, `tls`, `ws` and `ssh` come by it too. `race` is the mechanism, over anything
//! that can be attempted.
//!
//! ```no_run
//! use std::time::Duration;
//! use wharf::dns::Resolver;
//!
//! # async fn example(net: &wharf::Net) -> Result<(), wharf::connect::Error> {
//! let connected = wharf::connect::connect(net, &Resolver::new(net), "example.com", 80, Duration::from_secs(10)).await?;
//! println!("{} answered", connected.remote);
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::Net;
use crate::aio::TcpStream;
use crate::dns::{self, Resolver};

/// RFC 8305 section 8, "Connection Attempt Delay": how long an attempt is alone before the next joins it.
pub const STAGGER: Duration = Duration::from_millis(250);

/// RFC 8305 section 8, "Minimum Connection Attempt Delay".
const LEAST_STAGGER: Duration = Duration::from_millis(100);

/// Attempts under way at once: whoever owns a name decides how many addresses it has, not how many packets we send.
const AT_ONCE: usize = 8;

/// A stream that is connected, and to what.
#[derive(Debug)]
pub struct Connected {
    /// The stream. Nagle's algorithm is off, since those above write whole messages.
    pub stream: TcpStream,
    /// The address that answered.
    pub remote: SocketAddr,
    /// How much of the time went to finding the name's addresses.
    pub name: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name has no address that could be found.
    #[error(transparent)]
    Name(#[from] dns::Error),
    /// No address took the connection.
    #[error("no connection to {host}: {failed}")]
    Failed {
        /// The name.
        host: String,
        /// The last of its addresses, in the order of preference, and what became of it.
        failed: Failed,
    },
}

/// An address that did not take the connection.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It was refused, or nothing leads there.
    #[error("{address}: {source}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// It did not answer.
    #[error("{address} does not answer")]
    TimedOut {
        /// The address.
        address: SocketAddr,
    },
    /// There was none to try.
    #[error("the name has no address")]
    NoAddress,
}

/// Connects to `port` of `host` (a name, or an address without brackets) on `net`: `resolver` finds the addresses,
/// and one of them has to answer within `patience`.
///
/// # Errors
/// [`Error`] tells a name without addresses from addresses that do not answer.
pub async fn connect(
    net: &Net,
    resolver: &Resolver,
    host: &str,
    port: u16,
    patience: Duration,
) -> Result<Connected, Error> {
    let begun = Instant::now();
    let addresses = resolver.addresses(host).await?;
    let name = begun.elapsed();
    let attempt = |address| async move {
        let stream = TcpStream::connect(net, (address, port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    match race(&addresses, patience, attempt).await {
        Ok((address, stream)) => Ok(Connected { stream, remote: SocketAddr::new(address, port), name }),
        Err(lost) => {
            let failed = match lost {
                None => Failed::NoAddress,
                Some((address, None)) => Failed::TimedOut { address: SocketAddr::new(address, port) },
                Some((address, Some(source))) => Failed::Refused { address: SocketAddr::new(address, port), source },
            };
            Err(Error::Failed { host: host.to_owned(), failed })
        }
    }
}

/// The last of the addresses in the order of preference, and its error, `None` if its time was over; or that there was
/// no address.
pub(crate) type Lost<E> = Option<(IpAddr, Option<E>)>;

/// Attempts `addresses`, the preferred one first, each a little after the one before or when that has failed, until one
/// has succeeded; all of it within `patience`. The attempts that are not needed are dropped.
pub(crate) async fn race<T, E, F>(
    addresses: &[IpAddr],
    patience: Duration,
    attempt: impl Fn(IpAddr) -> F,
) -> Result<(IpAddr, T), Lost<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let order = interleaved(addresses);
    let stagger = stagger(order.len(), patience);
    let deadline = Instant::now() + patience;
    let mut waiting: VecDeque<(usize, IpAddr)> = order.iter().copied().enumerate().collect();
    let mut errors: Vec<Option<E>> = order.iter().map(|_| None).collect();
    let mut running = FuturesUnordered::new();
    let mut next = Instant::now();
    let won = timeout_at(deadline, async {
        loop {
            let room = running.len() < AT_ONCE;
            if room
                && (running.is_empty() || Instant::now() >= next)
                && let Some((rank, address)) = waiting.pop_front()
            {
                let attempted = attempt(address);
                running.push(async move { (rank, address, attempted.await) });
                next = Instant::now() + stagger;
            }
            if running.is_empty() {
                return None;
            }
            tokio::select! {
                // An attempt that has succeeded goes before one that may begin.
                biased;
                Some((rank, address, ended)) = running.next() => match ended {
                    Ok(won) => return Some((address, won)),
                    // RFC 8305 section 5: a failure lets the next begin at once.
                    Err(error) => {
                        errors[rank] = Some(error);
                        next = Instant::now();
                    }
                },
                () = sleep_until(next), if running.len() < AT_ONCE && !waiting.is_empty() => {}
            }
        }
    })
    .await;
    match won {
        Ok(Some(won)) => Ok(won),
        Ok(None) | Err(_) => Err(order.last().map(|&last| (last, errors.pop().flatten()))),
    }
}

/// RFC 8305 section 4: the families in turn, beginning with that of the preferred address, and each in its own order.
fn interleaved(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<IpAddr>, VecDeque<IpAddr>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first_is_v6);
    let mut order = Vec::with_capacity(addresses.len());
    while !one.is_empty() || !other.is_empty() {
        order.extend(one.pop_front());
        order.extend(other.pop_front());
    }
    order
}

/// With little patience the addresses follow faster, so that each has its chance.
fn stagger(addresses: usize, patience: Duration) -> Duration {
    let share = patience / u32::try_from(addresses.max(1)).unwrap_or(u32::MAX);
    share.clamp(LEAST_STAGGER, STAGGER)
}

#[cfg(test)]
mod tests;
