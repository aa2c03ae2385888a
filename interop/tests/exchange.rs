//! Two ends of a stream that each send and receive at once, and crowds of them: what the tests of TCP do over and over.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use wharf_interop::Payload;

/// A stream of Wharf's or of the kernel's.
pub(crate) trait Stream: Sync {
    fn reader(&self) -> impl Read;
    fn writer(&self) -> impl Write;
    fn end(&self) -> io::Result<()>;
}

macro_rules! stream {
    ($stream:ty) => {
        impl Stream for $stream {
            fn reader(&self) -> impl Read {
                self
            }

            fn writer(&self) -> impl Write {
                self
            }

            fn end(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    };
}

stream!(TcpStream);
stream!(wharf::net::TcpStream);

/// Sends `length` bytes of the stream `out` and, at the same time, receives as many of the stream `back`, to both ends'
/// last byte and FIN.
pub(crate) fn exchange(stream: &impl Stream, out: u64, back: u64, length: u64) {
    thread::scope(|scope| {
        scope.spawn(|| {
            Payload::new(out).write_to(&mut stream.writer(), length).unwrap();
            stream.end().unwrap();
        });
        Payload::new(back).check_to_end(&mut stream.reader(), length).unwrap();
    });
}

/// One of many callers: says which of the `many` calls it is and, when `all_open` returns, exchanges `length` bytes each
/// way with an [`answer`].
pub(crate) fn call(stream: &impl Stream, n: u64, many: u64, length: u64, all_open: impl FnOnce()) {
    stream.writer().write_all(&n.to_be_bytes()).unwrap();
    all_open();
    exchange(stream, n, n + many, length);
}

/// The other end of a [`call`].
pub(crate) fn answer(stream: &impl Stream, many: u64, length: u64) {
    let mut n = [0; 8];
    stream.reader().read_exact(&mut n).unwrap();
    let n = u64::from_be_bytes(n);
    exchange(stream, n + many, n, length);
}

/// A listener of the kernel's that has room for `backlog` connections nobody has accepted yet.
///
/// The standard library asks for 128. When more come at once, the kernel answers the rest with SYN cookies, and where it
/// then has no room for the handshake's last ACK it forgets the connection: unless the very next segment that arrives is
/// the first of the stream, it resets who believes himself connected, whoever's stack that is.
pub(crate) fn kernel_listener(address: Ipv4Addr, backlog: u64) -> TcpListener {
    let listener = TcpListener::bind((address, 0)).unwrap();
    rustix::net::listen(&listener, backlog as i32).unwrap();
    listener
}

/// A thread whose stack does not weigh much, some hundred times over.
pub(crate) fn small_thread(body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().stack_size(512 << 10).spawn(body).unwrap()
}
