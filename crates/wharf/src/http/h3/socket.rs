//! quinn's view of a socket of ours. quinn's trait changes in its next version: nothing else knows of it.
//!
//! Datagrams go without the DF bit, at QUIC's least size (RFC 9000 section 14.1), which no path of IPv6 and hardly one
//! of IPv4 fragments; with the bit each would wait for the engine's word on it.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::aio::UdpSocket;
use crate::{SocketError, UdpOptions, lock};

/// Bytes of datagrams that may wait to be read, and to be sent: what a fast server sends while this side does
/// something else.
const BUFFER: usize = 2 << 20;

/// The options of a socket that QUIC runs on.
pub(in crate::http) fn options() -> UdpOptions {
    UdpOptions { send_buffer: BUFFER, receive_buffer: BUFFER, ..UdpOptions::default() }
}

/// A socket for one QUIC connection.
pub(super) struct Socket {
    socket: UdpSocket,
    /// Whoever waits for room to send.
    room: Arc<Room>,
    /// What ICMP said, or the engine: it matters while the connection is made, and is QUIC's to judge later.
    trouble: watch::Sender<Option<SocketError>>,
}

/// Wakes whoever waits for room, of which there may be several, when the socket has some.
#[derive(Default)]
struct Room {
    state: Mutex<RoomState>,
}

#[derive(Default)]
struct RoomState {
    /// The last attempt to send found none.
    awaited: bool,
    waiting: Vec<Waker>,
}

impl Wake for Room {
    fn wake(self: Arc<Self>) {
        let waiting = {
            let mut state = lock(&self.state);
            state.awaited = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Socket {
    /// Puts `socket` to use; what goes wrong with it is told by the receiver.
    pub(super) fn new(socket: UdpSocket) -> (Arc<Self>, watch::Receiver<Option<SocketError>>) {
        let (trouble, told) = watch::channel(None);
        (Arc::new(Self { socket, room: Arc::default(), trouble }), told)
    }

    fn note(&self, error: &io::Error) -> bool {
        let reason = SocketError::of(error);
        let stopped = matches!(reason, None | Some(SocketError::EngineStopped));
        self.trouble.send_replace(reason);
        stopped
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller(Arc::clone(&self.room)))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        lock(&self.room.state).awaited = true;
        let waker = Waker::from(Arc::clone(&self.room));
        let sent = self.socket.poll_send_to(&mut Context::from_waker(&waker), transmit.contents, transmit.destination);
        match sent {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(sent) => {
                lock(&self.room.state).awaited = false;
                // A datagram that did not leave is one that was lost on the way, which QUIC repairs.
                match sent {
                    Err(error) if self.note(&error) => Err(error),
                    _ => Ok(()),
                }
            }
        }
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(meta) {
            loop {
                match self.socket.poll_receive(context, buffer) {
                    // RFC 9000 section 14.2.1: ICMP does not end a connection.
                    Poll::Ready(Err(error)) if !self.note(&error) => {}
                    Poll::Ready(Err(error)) if count == 0 => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(received)) => {
                        // One that did not fit is longer than was agreed, and not to be understood.
                        if received.full_len > received.len {
                            continue;
                        }
                        *meta = RecvMeta {
                            addr: received.source,
                            len: received.len,
                            stride: received.len,
                            ecn: EcnCodepoint::from_bits(received.tos & 3),
                            dst_ip: received.destination,
                        };
                        count += 1;
                        break;
                    }
                    Poll::Ready(Err(_)) | Poll::Pending if count > 0 => return Poll::Ready(Ok(count)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn may_fragment(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Poller(Arc<Room>);

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0.state);
        if !state.awaited {
            return Poll::Ready(Ok(()));
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// quinn on tokio's timers and tasks, without its reactor.
#[derive(Debug)]
pub(super) struct OnTokio;

impl Runtime for OnTokio {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(Box::pin(tokio::time::sleep_until(at.into()))))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(future);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "the host's sockets are not used here"))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[derive(Debug)]
struct Timer(Pin<Box<Sleep>>);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.as_mut().reset(at.into());
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}
