//! Blocking TCP.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::SocketError;
use crate::options::{CongestionControl, KeepAlive, ListenOptions, TcpInfo, TcpOption, TcpOptions, UserTimeoutOption};
use crate::socket::block;
use crate::socket::listener::Listener;
use crate::socket::stream::{Stream, upto};
use crate::{Net, aio};

/// A TCP connection, blocking like [`std::net::TcpStream`].
///
/// Dropping the last clone closes it: what was written is still sent; if something that arrived was not read, the
/// peer gets a reset. `Read` and `Write` are there for `&TcpStream` too, so one thread may read while another
/// writes.
pub struct TcpStream {
    stream: Arc<Stream>,
    modes: Arc<Modes>,
}

/// How calls wait; shared by clones, as std's are.
#[derive(Default)]
struct Modes {
    /// In nanoseconds; zero is for ever.
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
    /// In nanoseconds; zero is not at all.
    linger: AtomicU64,
    nonblocking: AtomicBool,
}

impl TcpStream {
    /// Connects to `address` over `net`.
    ///
    /// # Errors
    /// With a [`SocketError`] inside: refused, timed out, no route, ...
    pub fn connect(net: &Net, address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::connect_with(net, address, &TcpOptions::default())
    }

    /// As [`connect`](Self::connect), with options.
    ///
    /// # Errors
    /// As for `connect`, and if an option is out of range.
    pub fn connect_with(net: &Net, address: impl Into<SocketAddr>, options: &TcpOptions) -> io::Result<Self> {
        let stream = Stream::connect(net.engines(), address.into(), options)?;
        block::forever(|context| stream.poll_connected(context))?;
        Ok(Self::new(Arc::new(stream)))
    }

    /// As [`connect`](Self::connect), for at most `timeout`.
    ///
    /// # Errors
    /// As for `connect`; `TimedOut` when the time is over, `InvalidInput` when it is zero.
    pub fn connect_timeout(net: &Net, address: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        let stream = Stream::connect(net.engines(), *address, &TcpOptions::default())?;
        let deadline = block::deadline(Some(timeout));
        match block::until(deadline, |context| stream.poll_connected(context)) {
            Some(connected) => connected?,
            None => return Err(SocketError::TimedOut.into()),
        }
        Ok(Self::new(Arc::new(stream)))
    }

    /// As [`connect_with`](Self::connect_with), and writes `data`: with [`TcpOptions::fast_open`] as much of it as the SYN
    /// may take along travels with it, so that the answer comes a round trip sooner. The rest follows the handshake. `data`
    /// may reach the server twice: a network may deliver a SYN twice.
    ///
    /// ```
    /// use std::io::Read;
    /// use wharf::net::{TcpListener, TcpStream};
    /// use wharf::{ListenOptions, TcpOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let net = wharf::Net::loopback()?;
    /// let (mut serve, mut call) = (ListenOptions::default(), TcpOptions::default());
    /// serve.fast_open = Some(16);
    /// call.fast_open = true;
    /// let listener = TcpListener::bind_with(&net, ([127, 0, 0, 1], 0), &serve)?;
    /// // The first connection asks for a cookie, those after it show it.
    /// for taken in [false, true] {
    ///     let _client = TcpStream::connect_with_data(&net, listener.local_addr()?, &call, b"ahoy")?;
    ///     let (mut server, _) = listener.accept()?;
    ///     let mut text = [0; 4];
    ///     server.read_exact(&mut text)?;
    ///     assert_eq!(&text, b"ahoy");
    ///     assert_eq!(server.info()?.fast_open, taken);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for `connect_with`, and as a write.
    pub fn connect_with_data(
        net: &Net,
        address: impl Into<SocketAddr>,
        options: &TcpOptions,
        data: &[u8],
    ) -> io::Result<Self> {
        let (stream, mut written) = Stream::connect_with_data(net.engines(), address.into(), options, data)?;
        block::forever(|context| stream.poll_connected(context))?;
        while written < data.len() {
            let rest = [IoSlice::new(&data[written..])];
            written += block::forever(|context| stream.poll_write(context, &rest))?;
        }
        Ok(Self::new(Arc::new(stream)))
    }

    fn new(stream: Arc<Stream>) -> Self {
        Self { stream, modes: Arc::default() }
    }

    pub(super) fn shared(&self) -> &Stream {
        &self.stream
    }

    pub(crate) fn from_shared(stream: Arc<Stream>) -> Self {
        Self::new(stream)
    }

    /// The same connection for asynchronous use; its time-outs and non-blocking mode stay behind.
    #[must_use]
    pub fn into_async(self) -> aio::TcpStream {
        aio::TcpStream::from_shared(Arc::clone(&self.stream))
    }

    /// Another handle on the same connection.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { stream: Arc::clone(&self.stream), modes: Arc::clone(&self.modes) })
    }

    /// The peer's address and port.
    ///
    /// # Errors
    /// Never for a connection that stood.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.peer_addr()?)
    }

    /// Our end's address and port.
    ///
    /// # Errors
    /// Never for a connection that stood.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// Ends one direction or both. After `Write` the peer reads the end of the stream behind what was written.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.stream.shutdown_read()?;
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            self.stream.shutdown_write()?;
        }
        Ok(())
    }

    /// How long a read waits at most; `None` is for ever. It then fails with `WouldBlock`, as on every Unix.
    ///
    /// # Errors
    /// For a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        store_timeout(&self.modes.read_timeout, timeout)
    }

    /// How long a write waits at most; `None` is for ever. It then fails with `WouldBlock`, as on every Unix.
    ///
    /// # Errors
    /// For a time of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        store_timeout(&self.modes.write_timeout, timeout)
    }

    /// What [`set_read_timeout`](Self::set_read_timeout) set.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(load_timeout(&self.modes.read_timeout))
    }

    /// What [`set_write_timeout`](Self::set_write_timeout) set.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(load_timeout(&self.modes.write_timeout))
    }

    /// Makes calls that would wait fail with `WouldBlock`.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.modes.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }

    /// Reads without taking: the next read begins with the same bytes.
    ///
    /// # Errors
    /// As a read.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.wait_to_read(|context| {
            self.stream.poll_take(context, |receive, most| receive.copy_at(0, upto(buffer, most)))
        })
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
    /// Never; a `Result` as in std.
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
    pub fn quickack(&self) -> io::Result<bool> {
        Ok(self.info()?.quick_acks)
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
    /// Never; a `Result` as in std.
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(self.stream.hop_limit().into())
    }

    /// The DSCP bits of what is sent, as the whole TOS or traffic-class byte.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_tos(&self, tos: u8) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::Tos(tos))?)
    }

    /// What [`set_tos`](Self::set_tos) set.
    ///
    /// # Errors
    /// Never; a `Result` like its companions.
    pub fn tos(&self) -> io::Result<u8> {
        Ok(self.stream.tos())
    }

    /// Probes the peer when the connection is idle; `None` turns it off.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_keepalive(&self, times: Option<KeepAlive>) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::KeepAlive(times))?)
    }

    /// What [`set_keepalive`](Self::set_keepalive) set.
    ///
    /// # Errors
    /// Never; a `Result` like its companions.
    pub fn keepalive(&self) -> io::Result<Option<KeepAlive>> {
        Ok(self.stream.keep_alive())
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
    /// Never; a `Result` like its companions.
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.stream.user_timeout())
    }

    /// What [`set_user_timeout_option`](Self::set_user_timeout_option) set.
    ///
    /// # Errors
    /// Never; a `Result` like its companions.
    pub fn user_timeout_option(&self) -> io::Result<Option<UserTimeoutOption>> {
        Ok(self.stream.user_timeout_option())
    }

    /// What dropping the last clone does (SO_LINGER). `None`, as it is at first: it returns at once, and what was written is
    /// sent all the same. A time: it ends the stream and waits until the peer has acknowledged everything, for so long at
    /// most. A time of zero: as [`set_zero_linger`](Self::set_zero_linger).
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        let nanos = linger.map_or(0, |linger| u64::try_from(linger.as_nanos()).unwrap_or(u64::MAX));
        self.modes.linger.store(nanos, Ordering::Relaxed);
        Ok(self.stream.set(TcpOption::ResetOnClose(linger == Some(Duration::ZERO)))?)
    }

    /// Makes closing reset the connection: what was written and not acknowledged is thrown away (SO_LINGER with a
    /// time of zero).
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        Ok(self.stream.set(TcpOption::ResetOnClose(true))?)
    }

    /// Why the connection failed, once.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
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
    pub fn info(&self) -> io::Result<TcpInfo> {
        let reply = self.stream.info()?;
        Ok(block::forever(|context| reply.poll(context))?)
    }

    pub(super) fn wait_to_read<T>(
        &self,
        poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, SocketError>>,
    ) -> io::Result<T> {
        wait(&self.modes, &self.modes.read_timeout, poll)
    }

    pub(super) fn wait_to_write<T>(
        &self,
        poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, SocketError>>,
    ) -> io::Result<T> {
        wait(&self.modes, &self.modes.write_timeout, poll)
    }
}

fn wait<T>(
    modes: &Modes,
    timeout: &AtomicU64,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, SocketError>>,
) -> io::Result<T> {
    if modes.nonblocking.load(Ordering::Relaxed) {
        return match poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(result) => Ok(result?),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        };
    }
    match block::until(block::deadline(load_timeout(timeout)), poll) {
        Some(result) => Ok(result?),
        None => Err(io::ErrorKind::WouldBlock.into()),
    }
}

pub(super) fn zero_timeout() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a time-out of zero")
}

pub(super) fn store_timeout(to: &AtomicU64, timeout: Option<Duration>) -> io::Result<()> {
    let nanos = match timeout {
        None => 0,
        Some(Duration::ZERO) => return Err(zero_timeout()),
        Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
    };
    to.store(nanos, Ordering::Relaxed);
    Ok(())
}

pub(super) fn load_timeout(from: &AtomicU64) -> Option<Duration> {
    match from.load(Ordering::Relaxed) {
        0 => None,
        nanos => Some(Duration::from_nanos(nanos)),
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.wait_to_read(|context| self.stream.poll_take(context, |receive, most| receive.read(upto(buffer, most))))
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(0);
        }
        self.wait_to_read(|context| {
            self.stream.poll_take(context, |receive, most| {
                let mut taken = 0;
                for buffer in &mut *buffers {
                    let n = receive.read(upto(buffer, most - taken));
                    taken += n;
                    if n < buffer.len() {
                        break;
                    }
                }
                taken
            })
        })
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.wait_to_write(|context| self.stream.poll_write(context, buffers))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let linger = self.modes.linger.load(Ordering::Relaxed);
        if linger == 0 || Arc::strong_count(&self.stream) > 1 || self.stream.shutdown_write().is_err() {
            return;
        }
        // What is not acknowledged in time is still sent, as on Linux.
        let deadline = block::deadline(Some(Duration::from_nanos(linger)));
        let _ = block::until(deadline, |context| self.stream.poll_drained(context));
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

/// A TCP listener, blocking like [`std::net::TcpListener`].
///
/// Dropping it resets the connections that were not accepted.
pub struct TcpListener {
    listener: Arc<Listener>,
    nonblocking: Arc<AtomicBool>,
}

impl TcpListener {
    /// Listens on `address`; port 0 lets the engine choose, the unspecified address means all of the `Net`'s.
    ///
    /// # Errors
    /// If the address is taken or not ours.
    pub fn bind(net: &Net, address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::bind_with(net, address, &ListenOptions::default())
    }

    /// As [`bind`](Self::bind), with options.
    ///
    /// # Errors
    /// As for `bind`, and if an option is out of range.
    pub fn bind_with(net: &Net, address: impl Into<SocketAddr>, options: &ListenOptions) -> io::Result<Self> {
        let mut bound = pin!(Listener::bind(net.engines(), address.into(), options));
        let listener = block::forever(|context| bound.as_mut().poll(context))?;
        Ok(Self::from_shared(Arc::new(listener)))
    }

    pub(crate) fn from_shared(listener: Arc<Listener>) -> Self {
        Self { listener, nonblocking: Arc::default() }
    }

    /// The same listener for asynchronous use.
    #[must_use]
    pub fn into_async(self) -> aio::TcpListener {
        aio::TcpListener::from_shared(self.listener)
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Another handle on the same listener.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { listener: Arc::clone(&self.listener), nonblocking: Arc::clone(&self.nonblocking) })
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// If the listener's address went away or the engine has stopped.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = if self.nonblocking.load(Ordering::Relaxed) {
            self.listener.try_accept().ok_or(io::ErrorKind::WouldBlock)?
        } else {
            block::forever(|context| self.listener.poll_accept(context))
        };
        let (stream, remote) = accepted?;
        Ok((TcpStream::new(Arc::new(stream)), remote))
    }

    /// Connections as they come, for ever.
    #[must_use]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Makes `accept` fail with `WouldBlock` when nobody waits.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("local", &self.listener.local_addr().ok()).finish_non_exhaustive()
    }
}

/// The iterator that [`TcpListener::incoming`] makes.
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}
