//! An already-open descriptor as a link: a TAP device (with IFF_NO_PI), or a socket whose messages are frames, or a
//! stream in QEMU's framing. Whoever started us may have had the rights to open it that we have not. Made by `spec` (`fd:N`) and by
//! callers who have an `OwnedFd`.

use std::fmt;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use wire::ethernet::MacAddr;

use crate::counters::Counters;
use crate::error::OpenError;
use crate::message::MessageSocket;
use crate::stream::StreamSocket;
use crate::tap::Tap;
use crate::{Link, mac, tun};

/// The largest packet of a link that cannot say: Ethernet's.
pub const DEFAULT_MTU: u32 = 1500;

// RFC 791 section 3.2: every internet module must forward a datagram of 68 bytes; none is longer than 65,535.
/// What an MTU can be.
pub const MTU_RANGE: RangeInclusive<u32> = 68..=65_535;

/// A link over a descriptor that somebody else opened.
pub struct FdLink {
    kind: Kind,
    /// What messages call it.
    name: String,
    /// Of the sockets; a TAP device has its own.
    capabilities: Capabilities,
}

enum Kind {
    Tap(Tap),
    Message(MessageSocket),
    Stream(StreamSocket),
}

impl FdLink {
    /// Takes the descriptor over and finds out what it is. `mtu` is the largest IP packet of the link; `None` asks a
    /// TAP device's interface, and is [`DEFAULT_MTU`] for a socket. A TAP device becomes nonblocking, also for those
    /// who share it; a socket stays as it is.
    ///
    /// # Errors
    /// [`OpenError`] when it is nothing that carries frames.
    pub fn from_fd(fd: OwnedFd, mtu: Option<u32>) -> Result<Self, OpenError> {
        let name = format!("fd:{}", fd.as_raw_fd());
        Self::named(fd, name, mtu)
    }

    /// [`from_fd`](Self::from_fd) for a descriptor that messages call otherwise.
    pub(crate) fn named(fd: OwnedFd, name: String, mtu: Option<u32>) -> Result<Self, OpenError> {
        if let Some(mtu) = mtu.filter(|mtu| !MTU_RANGE.contains(mtu)) {
            return Err(OpenError::Mtu(mtu));
        }
        let kind = match socket_type(&fd) {
            Ok(SocketType::STREAM) => Kind::Stream(StreamSocket::new(fd)),
            Ok(SocketType::SEQPACKET) => Kind::Message(MessageSocket::new(fd, true)),
            Ok(SocketType::DGRAM) => Kind::Message(MessageSocket::new(fd, false)),
            Ok(_) => return Err(OpenError::NotALink { name, what: "a raw socket" }),
            Err(_) => match tun::Attachment::of(&fd) {
                Some(attachment) => {
                    make_nonblocking(&fd).map_err(|error| OpenError::system(&name, "making it nonblocking", error))?;
                    Kind::Tap(Tap::from_attached(fd, name.clone(), &attachment, mtu)?)
                }
                None => return Err(OpenError::NotALink { name, what: "neither a TAP device nor a socket" }),
            },
        };
        let capabilities = match &kind {
            Kind::Tap(tap) => tap.capabilities(),
            Kind::Message(_) | Kind::Stream(_) => {
                let mac = mac::random().map_err(|error| OpenError::system(&name, "choosing an address", error))?;
                Capabilities::plain(mac, mtu.unwrap_or(DEFAULT_MTU))
            }
        };
        Ok(Self { kind, name, capabilities })
    }

    /// The link with another hardware address of ours than the one it chose.
    #[must_use]
    pub fn with_mac(mut self, mac: MacAddr) -> Self {
        self.capabilities.mac = mac;
        self
    }
}

impl fmt::Debug for FdLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FdLink").field("name", &self.name).field("counters", &self.counters()).finish_non_exhaustive()
    }
}

fn make_nonblocking(fd: &OwnedFd) -> Result<(), Errno> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)
}

impl Device for FdLink {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        match &mut self.kind {
            Kind::Tap(tap) => tap.transmit(frame),
            Kind::Message(socket) => socket.transmit(frame),
            Kind::Stream(socket) => socket.transmit(frame),
        }
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        match &mut self.kind {
            Kind::Tap(tap) => tap.receive(budget, input),
            Kind::Message(socket) => socket.receive(budget, input),
            Kind::Stream(socket) => socket.receive(budget, input),
        }
    }

    fn flush(&mut self) {
        match &mut self.kind {
            Kind::Tap(tap) => tap.flush(),
            Kind::Message(socket) => socket.descriptor.end_batch(),
            Kind::Stream(socket) => socket.flush(),
        }
    }

    fn link_up(&self) -> bool {
        match &self.kind {
            Kind::Tap(tap) => tap.link_up(),
            Kind::Message(socket) => socket.up && !socket.descriptor.is_gone(),
            Kind::Stream(socket) => !socket.descriptor.is_gone(),
        }
    }
}

impl Link for FdLink {
    fn fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Tap(tap) => tap.fd(),
            Kind::Message(socket) => socket.fd(),
            Kind::Stream(socket) => socket.fd(),
        }
    }

    fn wants_write(&self) -> bool {
        match &self.kind {
            Kind::Tap(tap) => tap.wants_write(),
            Kind::Message(socket) => socket.descriptor.wants_write(),
            Kind::Stream(socket) => socket.wants_write(),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Tap(_) | Kind::Message(_) => None,
            Kind::Stream(socket) => socket.deadline(),
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn counters(&self) -> Counters {
        match &self.kind {
            Kind::Tap(tap) => tap.counters(),
            Kind::Message(socket) => socket.descriptor.counters,
            Kind::Stream(socket) => socket.descriptor.counters,
        }
    }
}
