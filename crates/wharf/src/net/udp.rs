//! Blocking UDP.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ring::datagram;

use super::tcp::{load_timeout, store_timeout};
use crate::error::SocketError;
use crate::options::{UdpOption, UdpOptions};
use crate::socket::block;
use crate::socket::datagram::{Datagram, Sending};
use crate::{Net, aio};

/// A UDP socket, blocking like [`std::net::UdpSocket`].
pub struct UdpSocket {
    socket: Arc<Datagram>,
    modes: Arc<Modes>,
}

/// How calls wait; shared by clones, as std's are.
#[derive(Default)]
struct Modes {
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
    nonblocking: AtomicBool,
}

impl UdpSocket {
    /// Binds to `address`; port 0 lets the engine choose, the unspecified address means all of the `Net`'s.
    ///
    /// # Errors
    /// If the address is taken or not ours.
    pub fn bind(net: &Net, address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::bind_with(net, address, &UdpOptions::default())
    }

    /// As [`bind`](Self::bind), with options.
    ///
    /// # Errors
    /// As for `bind`, and if an option is out of range.
    pub fn bind_with(net: &Net, address: impl Into<SocketAddr>, options: &UdpOptions) -> io::Result<Self> {
        let (socket, reply) = Datagram::bind(net.client(), address.into(), options)?;
        socket.set_bound(block::forever(|context| reply.poll(context))?);
        Ok(Self::from_shared(Arc::new(socket)))
    }

    pub(crate) fn from_shared(socket: Arc<Datagram>) -> Self {
        Self { socket, modes: Arc::default() }
    }

    /// The same socket for asynchronous use; its time-outs and non-blocking mode stay behind.
    #[must_use]
    pub fn into_async(self) -> aio::UdpSocket {
        aio::UdpSocket::from_shared(self.socket)
    }

    /// Sends a datagram to `address`, whole.
    ///
    /// # Errors
    /// If there is no route, the datagram is too long, or an ICMP error came for an earlier one.
    pub fn send_to(&self, payload: &[u8], address: impl Into<SocketAddr>) -> io::Result<usize> {
        self.send_somewhere(payload, Some(address.into()))
    }

    /// Sends a datagram to the connected peer, whole.
    ///
    /// # Errors
    /// As for [`send_to`](Self::send_to), and if the socket is not connected.
    pub fn send(&self, payload: &[u8]) -> io::Result<usize> {
        self.send_somewhere(payload, None)
    }

    fn send_somewhere(&self, payload: &[u8], destination: Option<SocketAddr>) -> io::Result<usize> {
        let mut sending = Sending::default();
        // Only room in the ring is worth WouldBlock: the engine's answer about a new destination comes at once.
        let deadline = block::deadline(load_timeout(&self.modes.write_timeout));
        let nonblocking = self.modes.nonblocking.load(Ordering::Relaxed);
        let sent = block::until(deadline, |context| {
            let poll = self.socket.poll_send(&mut sending, context, payload, destination);
            match poll {
                Poll::Ready(result) => Poll::Ready(result.map_err(io::Error::from)),
                Poll::Pending if nonblocking && !sending.is_asked() => {
                    Poll::Ready(Err(io::ErrorKind::WouldBlock.into()))
                }
                Poll::Pending => Poll::Pending,
            }
        });
        sent.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    /// Receives a datagram and its sender; what does not fit `buffer` is lost.
    ///
    /// # Errors
    /// When an ICMP error came for something sent, and when the time-out has passed.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut len = 0;
        let record = self.wait_to_read(|context| {
            self.socket.poll_receive(context, |receive| {
                let (record, full) = datagram::pop(receive, buffer)?;
                len = full.min(buffer.len());
                Some(record)
            })
        })?;
        Ok((len, record.remote))
    }

    /// As [`recv_from`](Self::recv_from), without the sender.
    ///
    /// # Errors
    /// As for `recv_from`.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buffer).map(|(len, _)| len)
    }

    /// As [`recv_from`](Self::recv_from), leaving the datagram where it is.
    ///
    /// # Errors
    /// As for `recv_from`.
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut len = 0;
        let record = self.wait_to_read(|context| {
            self.socket.poll_receive(context, |receive| {
                let (record, full) = datagram::peek(receive)?;
                let fitting = full.min(buffer.len());
                len = receive.copy_at(datagram::HEADER_LEN, &mut buffer[..fitting]);
                Some(record)
            })
        })?;
        Ok((len, record.remote))
    }

    /// As [`peek_from`](Self::peek_from), without the sender.
    ///
    /// # Errors
    /// As for `recv_from`.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.peek_from(buffer).map(|(len, _)| len)
    }

    /// Sends to, and receives from, `address` only.
    ///
    /// # Errors
    /// If no route leads there.
    pub fn connect(&self, address: impl Into<SocketAddr>) -> io::Result<()> {
        let peer = address.into();
        let reply = self.socket.connect(peer)?;
        let local = block::forever(|context| reply.poll(context))?;
        self.socket.set_peer(peer, local);
        Ok(())
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// The connected peer.
    ///
    /// # Errors
    /// If the socket is not connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.socket.peer_addr()?)
    }

    /// Another handle on the same socket.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: Arc::clone(&self.socket), modes: Arc::clone(&self.modes) })
    }

    /// How long a receive waits at most; `None` is for ever. It then fails with `WouldBlock`, as on every Unix.
    ///
    /// # Errors
    /// For a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        store_timeout(&self.modes.read_timeout, timeout)
    }

    /// How long a send waits at most; `None` is for ever. It then fails with `WouldBlock`, as on every Unix.
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

    /// Allows sending to broadcast addresses.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        Ok(self.socket.set(UdpOption::Broadcast(on))?)
    }

    /// What [`set_broadcast`](Self::set_broadcast) set.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(self.socket.broadcast())
    }

    /// The TTL or hop limit of what is sent.
    ///
    /// # Errors
    /// For 0 and over 255, and if the engine has stopped.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let hops = u8::try_from(ttl).map_err(|_| SocketError::InvalidOption)?;
        Ok(self.socket.set(UdpOption::HopLimit(hops))?)
    }

    /// What [`set_ttl`](Self::set_ttl) set.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn ttl(&self) -> io::Result<u32> {
        Ok(self.socket.hop_limit().into())
    }

    /// The TOS or traffic-class byte of what is sent.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_tos(&self, tos: u8) -> io::Result<()> {
        Ok(self.socket.set(UdpOption::Tos(tos))?)
    }

    /// What [`set_tos`](Self::set_tos) set.
    ///
    /// # Errors
    /// Never; a `Result` like its companions.
    pub fn tos(&self) -> io::Result<u8> {
        Ok(self.socket.tos())
    }

    /// Sends with the DF bit: a datagram that is larger than its path is refused instead of fragmented.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_dont_fragment(&self, on: bool) -> io::Result<()> {
        Ok(self.socket.set(UdpOption::DontFragment(on))?)
    }

    /// What [`set_dont_fragment`](Self::set_dont_fragment) set.
    ///
    /// # Errors
    /// Never; a `Result` like its companions.
    pub fn dont_fragment(&self) -> io::Result<bool> {
        Ok(self.socket.dont_fragment())
    }

    /// The error that the next call would return, taken.
    ///
    /// # Errors
    /// Never; a `Result` as in std.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.socket.take_error().map(Into::into))
    }

    fn wait_to_read<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, SocketError>>) -> io::Result<T> {
        if self.modes.nonblocking.load(Ordering::Relaxed) {
            return match poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => Ok(result?),
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        match block::until(block::deadline(load_timeout(&self.modes.read_timeout)), poll) {
            Some(result) => Ok(result?),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("local", &self.socket.local_addr().ok()).finish_non_exhaustive()
    }
}
