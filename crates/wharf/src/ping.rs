//! Ping: echo requests and what comes back.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::Net;
use crate::control::Reply;
use crate::error::{Error, PingFailure, SocketError};
use crate::socket::block;
use crate::socket::echo::{Arrived, Echo, Echoed};

/// An echo reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PingReply {
    /// Who answered.
    pub source: IpAddr,
    /// The number of the request that is answered.
    pub sequence: u16,
    /// Bytes of data in the reply.
    pub len: usize,
    /// The reply's TTL or hop limit on arrival.
    pub hop_limit: u8,
    /// From the request to the reply, as this program saw it.
    pub round_trip: Duration,
}

/// Asks one host for echoes, with an identifier of its own.
///
/// ```
/// use std::time::Duration;
/// use wharf::{Net, Pinger};
///
/// # fn main() -> Result<(), wharf::Error> {
/// let net = Net::loopback()?;
/// let pinger = Pinger::new(&net, [127, 0, 0, 1].into())?;
/// let reply = pinger.ping(&[0; 56], Duration::from_secs(1))?;
/// assert_eq!((reply.sequence, reply.len), (1, 56));
/// # Ok(())
/// # }
/// ```
pub struct Pinger {
    echo: Echo,
    address: IpAddr,
    hop_limit: Option<u8>,
    sequence: AtomicU16,
}

impl Pinger {
    /// Makes ready to ping `address`.
    ///
    /// # Errors
    /// [`Error::EngineStopped`].
    pub fn new(net: &Net, address: IpAddr) -> Result<Self, Error> {
        let echo = Echo::open(net.client()).map_err(|_| Error::EngineStopped)?;
        Ok(Self { echo, address, hop_limit: None, sequence: AtomicU16::new(0) })
    }

    /// Sends requests with this TTL or hop limit.
    #[must_use]
    pub fn hop_limit(mut self, hops: u8) -> Self {
        self.hop_limit = Some(hops);
        self
    }

    /// Sends one request with `payload` and waits for its reply, for at most `timeout`. Requests are numbered from 1;
    /// late replies to earlier ones are passed over.
    ///
    /// # Errors
    /// [`Error::Ping`] when no reply came, the request could not be sent, or an ICMP error came back.
    pub fn ping(&self, payload: &[u8], timeout: Duration) -> Result<PingReply, Error> {
        let mut exchange = self.begin(payload)?;
        block::until(block::deadline(Some(timeout)), |context| self.poll(&mut exchange, context))
            .unwrap_or_else(|| Err(self.failed(PingFailure::NoReply(timeout))))
    }

    /// As [`ping`](Self::ping), asynchronous and without a limit of time. One at a time.
    ///
    /// # Errors
    /// As for `ping`.
    pub async fn ping_async(&self, payload: &[u8]) -> Result<PingReply, Error> {
        let mut exchange = self.begin(payload)?;
        poll_fn(|context| self.poll(&mut exchange, context)).await
    }

    fn begin(&self, payload: &[u8]) -> Result<Exchange, Error> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let begun = Instant::now();
        let sent = self
            .echo
            .send(self.address, self.hop_limit, sequence, payload)
            .map_err(|reason| self.failed(PingFailure::Failed(reason)))?;
        Ok(Exchange { sequence, begun, sent: Some(sent) })
    }

    fn poll(&self, exchange: &mut Exchange, context: &mut Context<'_>) -> Poll<Result<PingReply, Error>> {
        if let Some(sent) = &exchange.sent {
            match sent.poll(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => exchange.sent = None,
                Poll::Ready(Err(reason)) => return Poll::Ready(Err(self.failed(PingFailure::Failed(reason)))),
            }
        }
        loop {
            return match self.echo.poll_receive(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(reason)) => Poll::Ready(Err(self.failed(PingFailure::Failed(reason)))),
                Poll::Ready(Ok(arrived)) if arrived.sequence != exchange.sequence => continue,
                Poll::Ready(Ok(Arrived { source: from, what: Echoed::Error(reason), .. })) => {
                    Poll::Ready(Err(self.failed(PingFailure::Reported { from, reason })))
                }
                Poll::Ready(Ok(Arrived { source, sequence, what: Echoed::Reply { hop_limit, payload } })) => {
                    Poll::Ready(Ok(PingReply {
                        source,
                        sequence,
                        len: payload.len(),
                        hop_limit,
                        round_trip: exchange.begun.elapsed(),
                    }))
                }
            };
        }
    }

    fn failed(&self, reason: PingFailure) -> Error {
        match reason {
            PingFailure::Failed(SocketError::EngineStopped) => Error::EngineStopped,
            reason => Error::Ping { address: self.address, reason },
        }
    }
}

/// A request on its way.
struct Exchange {
    sequence: u16,
    begun: Instant,
    sent: Option<Reply<()>>,
}

impl std::fmt::Debug for Pinger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinger").field("address", &self.address).finish_non_exhaustive()
    }
}
