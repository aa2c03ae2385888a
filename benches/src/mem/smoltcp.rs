//! The peer's memory.

use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;

use crate::allocator;
use crate::idle::smoltcp::{exchange, open};
use crate::idle::wharf::crowd;
use crate::pair::BULK;
use crate::pair::smoltcp::{Host, host};

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BULK.buffer]);
    Socket::new(buffer(), buffer())
}

/// Bytes that `count` established connections take.
pub(super) fn established(count: u32) -> i64 {
    connections(count, false)
}

/// Bytes that `count` connections in TIME-WAIT take.
pub(super) fn time_wait(count: u32) -> i64 {
    connections(count, true)
}

fn connections(count: u32, close: bool) -> i64 {
    let mut now = Instant::from_secs(1);
    let Host { mut interface, mut device, .. } = host(now, 1, BULK);
    let before = allocator::live();
    let mut opened = Vec::with_capacity(count as usize);
    open(&mut interface, &mut device, &mut now, &crowd(1, false), count, socket, |socket| opened.push(socket));
    let mut sockets = SocketSet::new(Vec::with_capacity(count as usize));
    for socket in opened {
        let handle = sockets.add(socket);
        if close {
            sockets.get_mut::<Socket<'_>>(handle).close();
        }
    }
    if close {
        exchange(&mut interface, &mut device, now, &crowd(1, false), &mut sockets);
        for (_, socket) in sockets.iter() {
            let smoltcp::socket::Socket::Tcp(socket) = socket;
            assert_eq!(socket.state(), State::TimeWait, "smoltcp closes a connection");
        }
    }
    allocator::live() - before
}

/// Bytes that `count` listening sockets take.
pub(super) fn listening(count: u32) -> i64 {
    let before = allocator::live();
    let mut sockets = SocketSet::new(Vec::with_capacity(count as usize));
    for number in 0..count {
        let mut socket = socket();
        socket.listen(1_000 + number as u16).expect("a closed socket listens");
        sockets.add(socket);
    }
    allocator::live() - before
}
