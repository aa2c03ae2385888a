//! Asynchronous TCP.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::split::{OwnedReadHalf, OwnedWriteHalf};
use crate::options::{CongestionControl, KeepAlive, ListenOptions, TcpInfo, TcpOption, TcpOptions, UserTimeoutOption};
use crate::socket::listener::Listener;
use crate::socket::stream::{Stream, upto};
use crate::{Net, SocketError, net};

/// A TCP connection, asynchronous like tokio's.
///
/// Dropping it closes it: what was written is still sent; if something that arrived was not read, the peer gets a
/// reset.
pub struct TcpStream {
    stream: Arc<Stream>,
}

impl TcpStream {
    /// Connects to `address` over `net`. Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// With a [`SocketError`] inside: refused, timed out, no route, ...
    pub async fn connect(net: &Net, address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::connect_with(net, address, &TcpOptions::default()).await
    }

    /// As [`connect`](Self::connect), with options.
    ///
    /// # Errors
    /// As for `connect`, and if an option is out of range.
    pub async fn connect_with(net: &Net, address: impl Into<SocketAddr>, options: &TcpOptions) -> io::Result<Self> {
        let stream = Stream::connect(net.engines(), address.into(), options)?;
        poll_fn(|context| stream.poll_connected(context)).await?;
        Ok(Self { stream: Arc::new(stream) })
    }

    /// As [`connect_with`](Self::connect_with), and writes `data`: with [`TcpOptions::fast_open`] as much of it as the SYN
    /// may take along travels with it, so that the answer comes a round trip sooner. The rest follows the handshake. `data`
    /// may reach the server twice: a network may deliver a SYN twice.
    ///
    /// ```
    /// use tokio::io::AsyncReadExt;
    /// use wharf::aio::{TcpListener, TcpStream};
    /// use wharf::{ListenOptions, TcpOptions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = wharf::Net::loopback()?;
    /// let (mut serve, mut call) = (ListenOptions::default(), TcpOptions::default());
    /// serve.fast_open = Some(16);
    /// call.fast_open = true;
    /// let listener = TcpListener::bind_with(&net, ([127, 0, 0, 1], 0), &serve).await?;
    /// // The first connection asks for a cookie, those after it show it.
    /// for taken in [false, true] {
    ///     let _client = TcpStream::connect_with_data(&net, listener.local_addr()?, &call, b"ahoy").await?;
    ///     let (mut server, _) = listener.accept().await?;
    ///     let mut text = [0; 4];
    ///     server.read_exact(&mut text).await?;
    ///     assert_eq!(&text, b"ahoy");
    ///     assert_eq!(server.info().await?.fast_open, taken);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for `connect_with`, and as a write.
    pub async fn connect_with_data(
        net: &Net,
        address: impl Into<SocketAddr>,
        options: &TcpOptions,
        data: &[u8],
    ) -> io::Result<Self> {
        let (stream, mut written) = Stream::connect_with_data(net.engines(), address.into(), options, data)?;
        poll_fn(|context| stream.poll_connected(context)).await?;
        while written < data.len() {
            let rest = [IoSlice::new(&data[written..])];
            written += poll_fn(|context| stream.poll_write(context, &rest)).await?;
        }
        Ok(Self { stream: Arc::new(stream) })
    }

    pub(crate) fn from_shared(stream: Arc<Stream>) -> Self {
        Self { stream }
    }

    pub(super) fn shared(&self) -> &Stream {
        &self.stream
    }

    /// The same connection for blocking use.
    #[must_use]
    pub fn into_blocking(self) -> net::TcpStream {
        net::TcpStream::from_shared(self.stream)
    }

    /// Parts it into a reading and a writing half that can go to different tasks. Dropping the writing half ends the
    /// stream to the peer.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        (OwnedReadHalf::new(Arc::clone(&self.stream)), OwnedWriteHalf::new(self.stream))
    }

    /// The peer's address and port.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.peer_addr()?)
    }

    /// Our end's address and port.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// Reads without taking: the next read begins with the same bytes.
    ///
    /// # Errors
    /// As a read.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let peek =
            poll_fn(|context| self.stream.poll_take(context, |receive, most| receive.copy_at(0, upto(buffer, most))));
        Ok(peek.await?)
    }

    /// Waits until a read would not.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.stream.poll_readable(context)).await;
        Ok(())
    }

    /// Waits until a write would not.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|context| self.stream.poll_writable(context)).await;
        Ok(())
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing yet, else as a read.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.stream.try_take(|receive, most| receive.read(upto(buffer, most)));
        Ok(read.ok_or(io::ErrorKind::WouldBlock)??)
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, else as a write.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.try_write(&[IoSlice::new(bytes)]);
        Ok(written.ok_or(io::ErrorKind::WouldBlock)??)
    }

    /// Sends small segments at once instead of waiting for company (turns Nagle's algorithm off). What
    /// [`set_cork`](Self::set_cork) holds back stays so.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::NoDelay(on))?)
    }

    /// What [`set_nodelay`](Self::set_nodelay) set.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.stream.no_delay())
    }

    /// Holds back what does not fill a segment, until it is off again or the stream is finished (TCP_CORK of Linux): for a
    /// response that is written in pieces. With nothing in flight it waits for a retransmission time-out at most, which is
    /// 200 ms or more, however often more is written.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_cork(&self, on: bool) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::Cork(on))?)
    }

    /// What [`set_cork`](Self::set_cork) set.
    ///
    /// # Errors
    /// Never; a `Result` as the others.
    pub fn cork(&self) -> io::Result<bool> {
        Ok(self.stream.cork())
    }

    /// Acknowledges what has come, and what comes next, at once instead of waiting for an answer that could carry the
    /// acknowledgement along (TCP_QUICKACK): for a peer that sends its next segment only then. This does not last: it is over
    /// after 16 acknowledgements, when something is sent in answer, and by `false`. std has the same for Linux.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_quickack(&self, on: bool) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::QuickAck(on))?)
    }

    /// Whether acknowledgements go at once for now: [`set_quickack`](Self::set_quickack), as far as it still lasts.
    ///
    /// # Errors
    /// If the connection is over or the engine has stopped.
    pub async fn quickack(&self) -> io::Result<bool> {
        Ok(self.info().await?.quick_acks)
    }

    /// The TTL or hop limit of what is sent.
    ///
    /// # Errors
    /// For 0 and over 255, and if the engine has stopped.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let hops = u8::try_from(ttl).map_err(|_| SocketError::InvalidOption)?;
        Ok(self.stream.set(TcpOption::HopLimit(hops))?)
    }

    /// What [`set_ttl`](Self::set_ttl) set.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(self.stream.hop_limit().into())
    }

    /// Probes the peer when the connection is idle; `None` turns it off.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_keepalive(&self, times: Option<KeepAlive>) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::KeepAlive(times))?)
    }

    /// How long sent data may stay unanswered before the connection is given up (TCP_USER_TIMEOUT).
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::UserTimeout(timeout))?)
    }

    /// Tells the peer of that time, with the next segment, and learns of its own (RFC 5482); `None` turns it off.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_user_timeout_option(&self, option: Option<UserTimeoutOption>) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::UserTimeoutOption(option))?)
    }

    /// What [`set_user_timeout`](Self::set_user_timeout) set; [`TcpInfo::user_timeout`] is what is in force.
    ///
    /// # Errors
    /// Never; a `Result` as the others.
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.stream.user_timeout())
    }

    /// What [`set_user_timeout_option`](Self::set_user_timeout_option) set.
    ///
    /// # Errors
    /// Never; a `Result` as the others.
    pub fn user_timeout_option(&self) -> io::Result<Option<UserTimeoutOption>> {
        Ok(self.stream.user_timeout_option())
    }

    /// Makes closing reset the connection (SO_LINGER with a time of zero).
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::ResetOnClose(true))?)
    }

    /// Why the connection failed, once.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.stream.take_error().map(Into::into))
    }

    /// Chooses the congestion control by the name that TCP_CONGESTION has for it: "cubic", "reno" or "bbr". A living
    /// connection goes on from the window that it has.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is not known, and if the engine has stopped.
    pub fn set_congestion_control(&self, name: &str) -> io::Result<()> {
        let control = CongestionControl::from_name(name).ok_or(SocketError::InvalidOption)?;
        Ok(self.stream.set(TcpOption::Congestion(control))?)
    }

    /// Sends at the rate that the congestion window allows instead of in bursts; BBR does so always.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_pacing(&self, on: bool) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::Pacing(on))?)
    }

    /// Sends no faster than so many bytes a second (SO_MAX_PACING_RATE); `None` lifts the limit.
    ///
    /// # Errors
    /// `InvalidInput` for zero, and if the engine has stopped.
    pub fn set_max_pacing_rate(&self, rate: Option<u64>) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::MaxPacingRate(rate))?)
    }

    /// Round-trip times, windows, rates and counters, and what the sender waits for (TCP_INFO).
    ///
    /// # Errors
    /// If the connection is over or the engine has stopped.
    pub async fn info(&self) -> io::Result<TcpInfo> {
        Ok(self.stream.info()?.answer().await?)
    }
}

/// `AsyncRead` of whatever holds a stream.
pub(super) fn poll_read(stream: &Stream, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    if buffer.remaining() == 0 {
        return Poll::Ready(Ok(()));
    }
    let read = stream.poll_take(context, |receive, most| {
        // No more is initialised than will be filled.
        let n = most.min(buffer.remaining());
        let n = receive.read(buffer.initialize_unfilled_to(n));
        buffer.advance(n);
        n
    });
    read.map(|result| result.map(drop).map_err(Into::into))
}

/// `AsyncWrite` of whatever holds a stream.
pub(super) fn poll_write(
    stream: &Stream,
    context: &mut Context<'_>,
    buffers: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    stream.poll_write(context, buffers).map_err(Into::into)
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        poll_read(&self.stream, context, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_write(&self.stream, context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write(&self.stream, context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is the engine's already.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown_write().map_err(Into::into))
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream")
            .field("local", &self.stream.local_addr().ok())
            .field("peer", &self.stream.peer_addr().ok())
            .finish_non_exhaustive()
    }
}

/// A TCP listener, asynchronous like tokio's.
///
/// Dropping it resets the connections that were not accepted.
pub struct TcpListener {
    listener: Arc<Listener>,
}

impl TcpListener {
    /// Listens on `address`; port 0 lets the engine choose, the unspecified address means all of the `Net`'s.
    ///
    /// # Errors
    /// If the address is taken or not ours.
    pub async fn bind(net: &Net, address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::bind_with(net, address, &ListenOptions::default()).await
    }

    /// As [`bind`](Self::bind), with options.
    ///
    /// # Errors
    /// As for `bind`, and if an option is out of range.
    pub async fn bind_with(net: &Net, address: impl Into<SocketAddr>, options: &ListenOptions) -> io::Result<Self> {
        let listener = Listener::bind(net.engines(), address.into(), options).await?;
        Ok(Self { listener: Arc::new(listener) })
    }

    pub(crate) fn from_shared(listener: Arc<Listener>) -> Self {
        Self { listener }
    }

    /// The same listener for blocking use.
    #[must_use]
    pub fn into_blocking(self) -> net::TcpListener {
        net::TcpListener::from_shared(self.listener)
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The next connection and its peer's address.
    ///
    /// # Errors
    /// If the listener's address went away or the engine has stopped.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    /// As [`accept`](Self::accept), to be polled.
    ///
    /// # Errors
    /// As for `accept`.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.listener
            .poll_accept(context)
            .map_ok(|(stream, remote)| (TcpStream { stream: Arc::new(stream) }, remote))
            .map_err(Into::into)
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("local", &self.listener.local_addr().ok()).finish_non_exhaustive()
    }
}
