//! The host's side of the suite: servers over std's sockets, each for one conversation or a counted number.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// No conversation of the suite waits longer than this for the other side.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A server that runs on a thread until its conversation is over, and what came of it.
pub(super) struct Server<T> {
    pub(super) port: u16,
    thread: JoinHandle<io::Result<T>>,
}

impl<T: Send + 'static> Server<T> {
    /// A server on `address` whose one connection is handed to `converse`.
    pub(super) fn once(
        address: IpAddr,
        converse: impl FnOnce(TcpStream) -> io::Result<T> + Send + 'static,
    ) -> io::Result<Self> {
        Self::listening(address, move |listener| converse(accept(listener)?))
    }

    /// A server on `address` whose listener is handed to `serve`.
    pub(super) fn listening(
        address: IpAddr,
        serve: impl FnOnce(&TcpListener) -> io::Result<T> + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0))?;
        let port = listener.local_addr()?.port();
        Self::thread(port, move || serve(&listener))
    }

    /// A server on `address` whose UDP socket is handed to `serve`.
    pub(super) fn datagrams(
        address: IpAddr,
        serve: impl FnOnce(&UdpSocket) -> io::Result<T> + Send + 'static,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let port = socket.local_addr()?.port();
        Self::thread(port, move || serve(&socket))
    }

    fn thread(port: u16, serve: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<Self> {
        let thread = std::thread::Builder::new().name("suite".to_owned()).spawn(serve)?;
        Ok(Self { port, thread })
    }

    /// What the host's side saw.
    pub(super) fn outcome(self) -> Result<T, String> {
        match self.thread.join() {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(error)) => Err(format!("the host's side: {error}")),
            Err(_) => Err("the host's side panicked".to_owned()),
        }
    }
}

/// One connection within [`PATIENCE`]. The suite must not hang where the network does.
pub(super) fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    use rustix::event::{PollFd, PollFlags, poll};
    let wait = PATIENCE.try_into().ok();
    let mut ready = [PollFd::new(listener, PollFlags::IN)];
    if poll(&mut ready, wait.as_ref())? == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "no connection came"));
    }
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads one byte, then closes with a reset.
pub(super) fn reset(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0])?;
    // Lingering for no time makes close send RST.
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    Ok(())
}

/// Reads to the end, answers with what came, and closes.
pub(super) fn answer_after_the_end(mut stream: TcpStream) -> io::Result<()> {
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    stream.write_all(&heard)?;
    stream.shutdown(Shutdown::Write)
}

/// Ends its own direction at once, then reads to the end.
pub(super) fn end_first(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    stream.write_all(b"that is all")?;
    stream.shutdown(Shutdown::Write)?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    Ok(heard)
}

/// Echoes `count` datagrams to where they came from.
pub(super) fn echo_datagrams(socket: &UdpSocket, count: usize) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    for _ in 0..count {
        let (length, source) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], source)?;
    }
    Ok(())
}

/// A port on `address` where nothing listens: one that was just free.
pub(super) fn closed_port(address: IpAddr) -> io::Result<u16> {
    Ok(TcpListener::bind((address, 0))?.local_addr()?.port())
}

/// A listener whose queue is full, so that further connections get no answer; it holds what fills it.
pub(super) struct Deaf {
    pub(super) port: u16,
    _listener: std::os::fd::OwnedFd,
    _waiting: Vec<std::os::fd::OwnedFd>,
}

impl Deaf {
    pub(super) fn start(address: IpAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let listener = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&listener, &SocketAddr::new(address, 0))?;
        rustix::net::listen(&listener, 0)?;
        let local: SocketAddr =
            rustix::net::getsockname(&listener)?.try_into().map_err(|_| io::Error::other("no address"))?;
        // A queue of 0 takes one connection; the kernel drops the SYNs of all that follow.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let filler = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
            match rustix::net::connect(&filler, &local) {
                Ok(()) | Err(rustix::io::Errno::INPROGRESS) => waiting.push(filler),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { port: local.port(), _listener: listener, _waiting: waiting })
    }
}
