//! Asynchronous UDP.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ring::datagram;
use tokio::io::ReadBuf;

use crate::options::{UdpOption, UdpOptions};
use crate::socket::datagram::{Datagram, Sending};
use crate::{Net, SocketError, lock, net};

/// A UDP socket, asynchronous like tokio's.
pub struct UdpSocket {
    socket: Arc<Datagram>,
    /// The send that [`poll_send_to`](Self::poll_send_to) began.
    sending: Mutex<Sending>,
}

/// What is known of a datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Bytes of it in the buffer.
    pub len: usize,
    /// Bytes that it had; more than `len` if it did not fit.
    pub full_len: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// The address it was sent to: what an answer should come from.
    pub destination: Option<IpAddr>,
    /// Its TTL or hop limit on arrival.
    pub hop_limit: u8,
    /// Its TOS or traffic-class byte, with the ECN bits.
    pub tos: u8,
}

impl UdpSocket {
    /// Binds to `address`; port 0 lets the engine choose, the unspecified address means all of the `Net`'s.
    ///
    /// # Errors
    /// If the address is taken or not ours.
    pub async fn bind(net: &Net, address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::bind_with(net, address, &UdpOptions::default()).await
    }

    /// As [`bind`](Self::bind), with options.
    ///
    /// # Errors
    /// As for `bind`, and if an option is out of range.
    pub async fn bind_with(net: &Net, address: impl Into<SocketAddr>, options: &UdpOptions) -> io::Result<Self> {
        let (socket, reply) = Datagram::bind(net.client(), address.into(), options)?;
        socket.set_bound(reply.answer().await?);
        Ok(Self::from_shared(Arc::new(socket)))
    }

    pub(crate) fn from_shared(socket: Arc<Datagram>) -> Self {
        Self { socket, sending: Mutex::default() }
    }

    /// The same socket for blocking use.
    #[must_use]
    pub fn into_blocking(self) -> net::UdpSocket {
        net::UdpSocket::from_shared(self.socket)
    }

    /// Sends a datagram to `address`, whole. If the future is dropped it may or may not have been sent.
    ///
    /// # Errors
    /// If there is no route, the datagram is too long, or an ICMP error came for an earlier one.
    pub async fn send_to(&self, payload: &[u8], address: impl Into<SocketAddr>) -> io::Result<usize> {
        let destination = Some(address.into());
        let mut sending = Sending::default();
        Ok(poll_fn(|context| self.socket.poll_send(&mut sending, context, payload, destination)).await?)
    }

    /// Sends a datagram to the connected peer, whole.
    ///
    /// # Errors
    /// As for [`send_to`](Self::send_to), and if the socket is not connected.
    pub async fn send(&self, payload: &[u8]) -> io::Result<usize> {
        let mut sending = Sending::default();
        Ok(poll_fn(|context| self.socket.poll_send(&mut sending, context, payload, None)).await?)
    }

    /// As [`send_to`](Self::send_to), to be polled by one task at a time, with the same datagram until it is ready.
    ///
    /// # Errors
    /// As for `send_to`.
    pub fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        payload: &[u8],
        address: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let mut sending = lock(&self.sending);
        self.socket.poll_send(&mut sending, context, payload, Some(address)).map_err(Into::into)
    }

    /// Receives a datagram and its sender; what does not fit `buffer` is lost.
    ///
    /// # Errors
    /// When an ICMP error came for something sent.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received = self.receive(buffer).await?;
        Ok((received.len, received.source))
    }

    /// As [`recv_from`](Self::recv_from), without the sender.
    ///
    /// # Errors
    /// As for `recv_from`.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(buffer).await?.len)
    }

    /// As [`recv_from`](Self::recv_from), with all that is known of the datagram.
    ///
    /// # Errors
    /// As for `recv_from`.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        poll_fn(|context| self.poll_receive(context, buffer)).await
    }

    /// As [`receive`](Self::receive), to be polled.
    ///
    /// # Errors
    /// As for `recv_from`.
    pub fn poll_receive(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Received>> {
        let mut full_len = 0;
        let record = self.socket.poll_receive(context, |receive| {
            let (record, full) = datagram::pop(receive, buffer)?;
            full_len = full;
            Some(record)
        });
        record
            .map_ok(|record| Received {
                len: full_len.min(buffer.len()),
                full_len,
                source: record.remote,
                destination: record.local,
                hop_limit: record.ttl,
                tos: record.tos,
            })
            .map_err(Into::into)
    }

    /// As [`recv_from`](Self::recv_from), to be polled.
    ///
    /// # Errors
    /// As for `recv_from`.
    pub fn poll_recv_from(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        let record = self.socket.poll_receive(context, |receive| {
            // No more is initialised than will be filled.
            let (_, full) = datagram::peek(receive)?;
            let n = full.min(buffer.remaining());
            let (record, _) = datagram::pop(receive, buffer.initialize_unfilled_to(n))?;
            buffer.advance(n);
            Some(record)
        });
        record.map_ok(|record| record.remote).map_err(Into::into)
    }

    /// Sends to, and receives from, `address` only.
    ///
    /// # Errors
    /// If no route leads there.
    pub async fn connect(&self, address: impl Into<SocketAddr>) -> io::Result<()> {
        let peer = address.into();
        let local = self.socket.connect(peer)?.answer().await?;
        self.socket.set_peer(peer, local);
        Ok(())
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
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

    /// Allows sending to broadcast addresses.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        Ok(self.socket.set(UdpOption::Broadcast(on))?)
    }

    /// The TTL or hop limit of what is sent.
    ///
    /// # Errors
    /// For 0 and over 255, and if the engine has stopped.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let hops = u8::try_from(ttl).map_err(|_| SocketError::InvalidOption)?;
        Ok(self.socket.set(UdpOption::HopLimit(hops))?)
    }

    /// The TOS or traffic-class byte of what is sent.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_tos(&self, tos: u8) -> io::Result<()> {
        Ok(self.socket.set(UdpOption::Tos(tos))?)
    }

    /// Sends with the DF bit: a datagram that is larger than its path is refused instead of fragmented.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_dont_fragment(&self, on: bool) -> io::Result<()> {
        Ok(self.socket.set(UdpOption::DontFragment(on))?)
    }

    /// The error that the next call would return, taken.
    ///
    /// # Errors
    /// Never; a `Result` as in tokio.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.socket.take_error().map(Into::into))
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("local", &self.socket.local_addr().ok()).finish_non_exhaustive()
    }
}
