//! The host's side of every flow: sockets that never block, and the one epoll descriptor that watches them all.
//!
//! Sockets are watched edge-triggered and registered once; whoever owns a socket remembers that it is readable or
//! writable until a call says otherwise. So nothing here wakes twice for the same thing, and an idle gateway does
//! not wake at all (PITFALLS P2).

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ring::{Producer, Span};
use rustix::event::epoll;
use rustix::event::{Timespec, epoll::EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use stack::ip::icmp::ErrorKind;

use super::table::Key;

/// Who owns a watched socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Owner {
    Tcp,
    Udp,
    Echo,
    DnsQuery,
    DnsStream,
    TcpForward,
    UdpForward,
}

impl Owner {
    const ALL: [Self; 7] =
        [Self::Tcp, Self::Udp, Self::Echo, Self::DnsQuery, Self::DnsStream, Self::TcpForward, Self::UdpForward];
}

/// What the kernel hands back with an event: a table and a key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) owner: Owner,
    pub(super) key: Key,
}

impl Token {
    fn to_bits(self) -> u64 {
        u64::from(self.owner as u8) << 56 | self.key.to_bits()
    }

    fn from_bits(bits: u64) -> Option<Self> {
        let owner = *Owner::ALL.get((bits >> 56) as usize)?;
        Some(Self { owner, key: Key::from_bits(bits) })
    }
}

/// What has happened at a socket since it was last reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostEvent {
    pub(super) token: Token,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The other side has ended its stream, or the socket has an error: reads are to go on until they say so.
    pub(super) hangup: bool,
    /// An error waits to be taken.
    pub(super) error: bool,
}

/// What to watch a socket for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// Streams: input, room for output, the peer's end.
    Stream,
    /// Datagrams and listeners: input alone. A datagram socket becomes writable with every datagram that leaves it,
    /// and each would be a wake-up.
    Input,
}

/// Most events taken in one turn; the rest waits for the next.
const EVENTS_A_TURN: usize = 256;

/// The epoll descriptor.
pub(super) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Readable when [`poll`](Self::poll) would tell something.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Watches `socket` until it is closed.
    pub(super) fn watch(&self, socket: impl AsFd, token: Token, watch: Watch) -> io::Result<()> {
        let flags = match watch {
            Watch::Stream => EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET,
            Watch::Input => EventFlags::IN | EventFlags::ET,
        };
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token.to_bits()), flags)?)
    }

    /// Hands out what has happened, without blocking; true if there may be more.
    pub(super) fn poll(&self, mut handle: impl FnMut(HostEvent)) -> bool {
        let mut buffer = [MaybeUninit::uninit(); EVENTS_A_TURN];
        // An interrupted call is made again in the next turn: what it would have told is still there.
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut buffer, Some(&Timespec::default())) else { return false };
        for event in &*events {
            let flags = event.flags;
            let Some(token) = Token::from_bits(event.data.u64()) else { continue };
            let hangup = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            handle(HostEvent {
                token,
                readable: hangup || flags.contains(EventFlags::IN),
                writable: flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR),
                hangup,
                error: flags.contains(EventFlags::ERR),
            });
        }
        events.len() == EVENTS_A_TURN
    }
}

/// How an attempt on a socket that never blocks has gone.
#[derive(Debug)]
pub(super) enum Attempt {
    /// So many bytes were moved; zero is the end of a stream.
    Done(usize),
    /// Not now.
    WouldBlock,
    /// The socket is of no more use, or has told an error.
    Failed(io::Error),
}

impl From<io::Result<usize>> for Attempt {
    fn from(result: io::Result<usize>) -> Self {
        match result {
            Ok(count) => Self::Done(count),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Self::WouldBlock
            }
            Err(error) => Self::Failed(error),
        }
    }
}

/// Begins to connect; the outcome comes as the first event, and [`take_error`] tells it.
pub(super) fn connect_stream(remote: SocketAddr) -> io::Result<OwnedFd> {
    let socket = new_socket(remote.ip(), SocketType::STREAM, None)?;
    // The guest has gathered its small writes already, or has asked not to.
    sockopt::set_tcp_nodelay(&socket, true)?;
    match net::connect(&socket, &remote) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// A datagram socket that speaks with `remote` alone and is told of ICMP errors.
pub(super) fn connect_datagram(remote: SocketAddr) -> io::Result<UdpSocket> {
    let socket = new_socket(remote.ip(), SocketType::DGRAM, None)?;
    report_errors(&socket, remote.ip())?;
    net::connect(&socket, &remote)?;
    Ok(UdpSocket::from(socket))
}

/// The unprivileged echo socket of Linux: the kernel puts its own identifier into requests and hands out the replies
/// to it. Fails where `net.ipv4.ping_group_range` leaves the user out.
pub(super) fn connect_echo(remote: IpAddr) -> io::Result<UdpSocket> {
    let protocol = if remote.is_ipv4() { ipproto::ICMP } else { ipproto::ICMPV6 };
    let socket = new_socket(remote, SocketType::DGRAM, Some(protocol))?;
    report_errors(&socket, remote)?;
    net::connect(&socket, &SocketAddr::new(remote, 0))?;
    Ok(UdpSocket::from(socket))
}

/// Makes a connection that a listener has accepted one of those that never block.
pub(super) fn prepare_accepted(socket: &OwnedFd) -> io::Result<()> {
    rustix::io::ioctl_fionbio(socket, true)?;
    sockopt::set_tcp_nodelay(socket, true)?;
    Ok(())
}

/// A listener of the host's.
pub(super) fn listen_stream(local: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(local)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A bound datagram socket of the host's.
pub(super) fn bind_datagram(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(local)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn new_socket(remote: IpAddr, kind: SocketType, protocol: Option<net::Protocol>) -> io::Result<OwnedFd> {
    let family = if remote.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(net::socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, protocol)?)
}

/// RFC 1122 section 4.1.3.3: UDP passes ICMP errors up. Without this Linux passes on few of them.
fn report_errors(socket: &OwnedFd, remote: IpAddr) -> io::Result<()> {
    let (level, option) =
        if remote.is_ipv4() { (libc::IPPROTO_IP, libc::IP_RECVERR) } else { (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) };
    let on: libc::c_int = 1;
    // SAFETY: the pointer and length are those of a live integer, which is what the option takes.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The error that waits at a socket, taken out; after a connection attempt, its outcome.
pub(super) fn take_error(socket: impl AsFd) -> Option<io::Error> {
    match sockopt::socket_error(socket) {
        Ok(Ok(())) => None,
        Ok(Err(error)) | Err(error) => Some(error.into()),
    }
}

/// Empties the queue of ICMP errors behind a datagram socket; the errors themselves were told as results of calls.
pub(super) fn drain_error_queue(socket: &UdpSocket) {
    let mut byte = 0_u8;
    // Bounded by the socket's receive buffer; the count guards against errors that come as fast as they are read.
    for _ in 0..64 {
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: one writable byte is given as a buffer of length one.
        if unsafe { libc::recv(socket.as_raw_fd(), (&raw mut byte).cast(), 1, flags) } < 0 {
            break;
        }
    }
    let _ = socket.take_error();
}

/// Sends from the pieces of a ring, without a copy in between.
pub(super) fn send_spans(socket: BorrowedFd<'_>, spans: &[Span<'_>]) -> Attempt {
    let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; ring::MAX_SPANS];
    let mut count = 0;
    for (piece, span) in pieces.iter_mut().zip(spans) {
        *piece = libc::iovec { iov_base: span.as_ptr().cast_mut().cast(), iov_len: span.len() };
        count += 1;
    }
    // SAFETY: all-zero bytes are a valid msghdr, one without address, pieces and control data.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = count as _;
    // SAFETY: each piece is readable for its length while `spans` is borrowed, and sendmsg only reads.
    let sent =
        unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
    Attempt::from(usize::try_from(sent).map_err(|_| io::Error::last_os_error()))
}

/// Receives at most `max` bytes into a ring, without a copy in between, and publishes them. The ring must have room.
/// Also tells how many bytes the kernel was offered.
pub(super) fn receive_into(socket: BorrowedFd<'_>, ring: &mut Producer, max: usize) -> (Attempt, usize) {
    let reserved = ring.reserve(max);
    let offered = reserved.len();
    let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; ring::MAX_SPANS];
    let mut count = 0;
    for (piece, room) in pieces.iter_mut().zip(reserved.as_slice()) {
        *piece = libc::iovec { iov_base: room.pointer.as_ptr().cast(), iov_len: room.len };
        count += 1;
    }
    // SAFETY: each piece is writable for its length while `reserved` lasts, and no reference to it exists.
    let received = unsafe { libc::readv(socket.as_raw_fd(), pieces.as_ptr(), count) };
    let attempt = Attempt::from(usize::try_from(received).map_err(|_| io::Error::last_os_error()));
    if let Attempt::Done(count) = attempt {
        reserved.commit(count);
    }
    (attempt, offered)
}

/// Ends the sending half: the peer reads an end of stream after what was sent.
pub(super) fn finish_sending(socket: BorrowedFd<'_>) {
    // A socket that is no longer connected has told so, or will, as the result of a read.
    let _ = net::shutdown(socket, net::Shutdown::Write);
}

/// Closes a connection so that its peer sees a reset.
pub(super) fn reset(socket: OwnedFd) {
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
}

/// Whether the host has run out of descriptors or memory for sockets, as opposed to a network that says no.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// The ICMP error that says to the guest what `error` says to the host; `None` for what no ICMP error says.
pub(super) fn icmp_kind(error: &io::Error) -> Option<ErrorKind> {
    Some(match Errno::from_io_error(error)? {
        Errno::CONNREFUSED => ErrorKind::PortUnreachable,
        Errno::NOPROTOOPT => ErrorKind::ProtocolUnreachable,
        Errno::HOSTUNREACH | Errno::HOSTDOWN => ErrorKind::HostUnreachable,
        Errno::NETUNREACH | Errno::NETDOWN | Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL => ErrorKind::NetworkUnreachable,
        Errno::ACCESS | Errno::PERM => ErrorKind::AdministrativelyProhibited,
        _ => return None,
    })
}

/// Raises the process's limit of open descriptors to what it may have. Each flow through the gateway needs one, and
/// the usual limit is 1,024; only programs that use `select` need it to stay there. Returns the limit.
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok() {
        return limit.maximum.unwrap_or(u64::MAX);
    }
    limit.current.unwrap_or(u64::MAX)
}
