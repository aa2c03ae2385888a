//! TCP: each of the guest's connections joined to one of the host's.
//!
//! ```text
//! guest --segments--> engine --receive ring--> sendmsg --> host socket
//! guest <--segments-- engine <--send ring----- readv  <--- host socket
//! ```
//!
//! Back-pressure needs no code of its own: a full ring is not written to, a full socket is not either, and what is
//! not read closes a window, the engine's towards the guest or the kernel's towards the peer. Each stream's end is
//! carried over by itself (finish and shutdown), and so is a reset.
//!
//! Flows with work to do wait in a queue; each gets a bounded share of a turn and goes to the back, so that one bulk
//! transfer delays a thousand others by its share at most (PITFALLS P2).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use stack::event::Readiness;
use stack::ip::icmp::ErrorKind;
use stack::tcp::{ApplicationRings, ConnectionId, Refusal, SocketOption};

use super::context::Context;
use super::host::{self, Attempt, HostEvent, Owner, Token, Watch};
use super::table::{Key, Table};

/// Connections at most.
const LIMIT: usize = 16_384;
/// Bytes that a flow may move in each direction before the next one has its turn.
const SHARE: usize = 256 << 10;
/// Bytes that all flows together may move in one turn, so that frames and timers are not kept waiting.
const SHARE_OF_ALL: usize = 1 << 20;
/// What is first read from a host socket at once, and so the memory that an idle flow takes. It doubles as long as
/// reads fill it.
const FIRST_READ: usize = 16 << 10;

/// All connections through the gateway.
pub(super) struct TcpFlows {
    flows: Table<Flow>,
    by_connection: HashMap<ConnectionId, Key>,
    /// Flows that can perhaps move something, each once.
    ready: VecDeque<Key>,
}

struct Flow {
    connection: ConnectionId,
    socket: OwnedFd,
    stage: Stage,
    /// The socket's readiness as last known; edge-triggered, so it holds until a call says otherwise.
    readable: bool,
    writable: bool,
    hangup: bool,
    /// Stands in `ready`.
    queued: bool,
    next_read: usize,
}

enum Stage {
    /// The guest's SYN is held while the host dials.
    Dialling,
    /// The handshake with the guest is under way.
    Greeting(ApplicationRings),
    /// Both sides are connected.
    Joined(Joined),
}

struct Joined {
    rings: ApplicationRings,
    /// Where the bytes towards the guest stand.
    down: Down,
    /// The guest's end of stream has been passed on, or nobody wants its bytes any more.
    up_done: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Down {
    Open,
    /// The host's end of stream has been passed on.
    Finished,
    /// The host's connection broke; the guest is told so when it has what came before.
    Broken,
}

/// What to do with a flow after a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Wait,
    Again,
    /// Both streams have ended.
    Over,
    /// Tell the guest that the connection broke.
    Abort,
}

impl TcpFlows {
    pub(super) fn new() -> Self {
        Self { flows: Table::new(LIMIT), by_connection: HashMap::new(), ready: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether [`run`](Self::run) has something to do.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The guest asks for a connection that leads to `target`: the host is asked first.
    pub(super) fn dial(&mut self, cx: &mut Context<'_>, connection: ConnectionId, target: SocketAddr) {
        if self.flows.is_full() {
            cx.stats.refused_for_want_of_room += 1;
            cx.stack.tcp_refuse(cx.now, connection, Refusal::Reset);
            return;
        }
        let socket = match host::connect_stream(target) {
            Ok(socket) => socket,
            Err(error) => return refuse(cx, connection, &error),
        };
        if let Err(error) = self.insert(cx, connection, socket, Stage::Dialling) {
            refuse(cx, connection, &error);
        }
    }

    /// The host was called by `socket`, and `connection` calls the guest.
    pub(super) fn greet(
        &mut self,
        cx: &mut Context<'_>,
        connection: ConnectionId,
        socket: OwnedFd,
        rings: ApplicationRings,
    ) {
        if self.insert(cx, connection, socket, Stage::Greeting(rings)).is_err() {
            cx.stats.refused_for_want_of_room += 1;
            cx.stack.tcp_abort(cx.now, connection);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.flows.is_full()
    }

    fn insert(
        &mut self,
        cx: &mut Context<'_>,
        connection: ConnectionId,
        socket: OwnedFd,
        stage: Stage,
    ) -> io::Result<()> {
        let flow = Flow {
            connection,
            socket,
            stage,
            readable: false,
            writable: false,
            hangup: false,
            queued: false,
            next_read: FIRST_READ,
        };
        let key = self.flows.insert(flow).map_err(|_| io::Error::from(Errno::MFILE))?;
        let Some(flow) = self.flows.get(key) else { return Ok(()) };
        if let Err(error) = cx.poller.watch(&flow.socket, Token { owner: Owner::Tcp, key }, Watch::Stream) {
            self.flows.remove(key);
            return Err(error);
        }
        self.by_connection.insert(connection, key);
        Ok(())
    }

    /// Something happened at a host socket.
    pub(super) fn on_host_event(&mut self, cx: &mut Context<'_>, event: HostEvent) {
        let key = event.token.key;
        let Some(flow) = self.flows.get_mut(key) else { return };
        flow.readable |= event.readable;
        flow.writable |= event.writable;
        flow.hangup |= event.hangup;
        match &mut flow.stage {
            Stage::Dialling => self.dialled(cx, key),
            Stage::Greeting(_) => {}
            Stage::Joined(joined) => {
                if event.error && joined.down == Down::Finished {
                    // Nothing is read from the socket any more that would tell.
                    joined.down = Down::Broken;
                }
                self.enqueue(key);
            }
        }
    }

    /// The host's attempt to connect has moved on.
    fn dialled(&mut self, cx: &mut Context<'_>, key: Key) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        if let Some(error) = host::take_error(&flow.socket) {
            let connection = flow.connection;
            self.remove(key);
            return refuse(cx, connection, &error);
        }
        if !flow.writable {
            return;
        }
        match cx.stack.tcp_admit(cx.now, flow.connection) {
            Some(accepted) => {
                flow.stage = Stage::Greeting(accepted.rings);
                // The host's peer has gathered its small writes already, or has not wanted to.
                cx.stack.tcp_set_option(cx.now, flow.connection, SocketOption::NoDelay(true));
            }
            // The guest has given up.
            None => self.remove_and_reset(key),
        }
    }

    /// Something happened at a connection of the guest's; false if it is none of these flows.
    pub(super) fn on_stack_event(
        &mut self,
        cx: &mut Context<'_>,
        connection: ConnectionId,
        readiness: Readiness,
    ) -> bool {
        let Some(&key) = self.by_connection.get(&connection) else { return false };
        let Some(flow) = self.flows.get_mut(key) else { return false };
        if readiness.contains(Readiness::CLOSED) && cx.stack.tcp_error(connection).is_some() {
            // The guest has reset the connection, or is gone: the host's peer learns it in the same way.
            self.remove_and_reset(key);
            cx.stack.tcp_close(cx.now, connection);
            return true;
        }
        if readiness.contains(Readiness::CONNECTED)
            && let Stage::Greeting(_) = flow.stage
            && let Stage::Greeting(rings) = std::mem::replace(&mut flow.stage, Stage::Dialling)
        {
            flow.stage = Stage::Joined(Joined { rings, down: Down::Open, up_done: false });
        }
        if let Stage::Joined(joined) = &mut flow.stage {
            if readiness.contains(Readiness::DRAINED) && !flow.readable {
                // An idle flow keeps no memory.
                joined.rings.send.release();
                flow.next_read = FIRST_READ;
            }
            self.enqueue(key);
        }
        true
    }

    fn enqueue(&mut self, key: Key) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        if !flow.queued {
            flow.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Lets flows move their bytes, each its share, until all have had one or the turn is full.
    pub(super) fn run(&mut self, cx: &mut Context<'_>) {
        let mut moved = 0;
        for _ in 0..self.ready.len() {
            if moved >= SHARE_OF_ALL {
                break;
            }
            let Some(key) = self.ready.pop_front() else { break };
            let Some(flow) = self.flows.get_mut(key) else { continue };
            flow.queued = false;
            match flow.step(cx, &mut moved) {
                Verdict::Wait => {}
                Verdict::Again => self.enqueue(key),
                Verdict::Over => {
                    let connection = flow.connection;
                    cx.stats.tcp_flows_ended += 1;
                    // The rings go with the flow; what the send ring holds is still sent.
                    cx.stack.tcp_close(cx.now, connection);
                    self.remove(key);
                }
                Verdict::Abort => {
                    cx.stats.tcp_flows_ended += 1;
                    cx.stack.tcp_abort(cx.now, flow.connection);
                    self.remove(key);
                }
            }
        }
    }

    fn remove(&mut self, key: Key) -> Option<Flow> {
        let flow = self.flows.remove(key)?;
        self.by_connection.remove(&flow.connection);
        Some(flow)
    }

    fn remove_and_reset(&mut self, key: Key) {
        if let Some(flow) = self.remove(key) {
            host::reset(flow.socket);
        }
    }
}

impl Flow {
    /// Moves what can be moved, a share at most in each direction.
    fn step(&mut self, cx: &mut Context<'_>, moved: &mut usize) -> Verdict {
        let Self { connection, socket, stage, readable, writable, hangup, next_read, .. } = self;
        let Stage::Joined(joined) = stage else { return Verdict::Wait };
        let socket = socket.as_fd();

        let mut received = 0;
        while joined.down == Down::Open && *readable && received < SHARE {
            let room = joined.rings.send.free();
            if room == 0 {
                break;
            }
            let (attempt, offered) = host::receive_into(socket, &mut joined.rings.send, room.min(*next_read));
            match attempt {
                Attempt::Done(0) => {
                    joined.rings.send.finish();
                    joined.down = Down::Finished;
                    cx.stack.tcp_wrote(cx.now, *connection);
                }
                Attempt::Done(count) => {
                    received += count;
                    cx.stack.tcp_wrote(cx.now, *connection);
                    if count == *next_read {
                        *next_read = (*next_read * 2).min(SHARE);
                    } else if count < offered && !*hangup {
                        // epoll(7): a short read from a stream has emptied it, and an end that follows is an edge
                        // of its own.
                        *readable = false;
                    }
                }
                Attempt::WouldBlock => *readable = false,
                Attempt::Failed(_) => joined.down = Down::Broken,
            }
        }

        let mut sent = 0;
        while !joined.up_done && *writable && sent < SHARE && !joined.rings.receive.is_empty() {
            let spans = joined.rings.receive.spans(0, SHARE - sent);
            match host::send_spans(socket, spans.as_slice()) {
                Attempt::Done(count) => {
                    sent += count;
                    joined.rings.receive.consume(count);
                    cx.stack.tcp_read(cx.now, *connection);
                }
                Attempt::WouldBlock => *writable = false,
                Attempt::Failed(_) => {
                    // What the peer sent before it broke off is still to be read, and reading tells when it ends.
                    joined.up_done = true;
                    *readable = true;
                    *hangup = true;
                }
            }
        }
        if !joined.up_done && joined.rings.receive.is_finished() {
            joined.up_done = true;
            host::finish_sending(socket);
        }

        cx.stats.bytes_to_guest += received as u64;
        cx.stats.bytes_from_guest += sent as u64;
        *moved += received + sent;
        match joined.down {
            Down::Broken if joined.rings.send.is_empty() => Verdict::Abort,
            Down::Finished if joined.up_done => Verdict::Over,
            _ if received >= SHARE || sent >= SHARE => Verdict::Again,
            _ => Verdict::Wait,
        }
    }
}

/// The host could not connect: the guest is refused with the same error.
fn refuse(cx: &mut Context<'_>, connection: ConnectionId, error: &io::Error) {
    cx.stats.tcp_refused += 1;
    let refusal = if host::is_exhausted(error) {
        cx.stats.refused_for_want_of_room += 1;
        Refusal::Reset
    } else {
        match host::icmp_kind(error) {
            // RFC 9293 section 3.10.7.1: to a port where nobody listens, the answer is a reset.
            Some(ErrorKind::PortUnreachable) => Refusal::Reset,
            Some(kind) => Refusal::Unreachable(kind),
            // Nobody answered the host; nobody answers the guest.
            None if error.kind() == io::ErrorKind::TimedOut => Refusal::Silent,
            None => Refusal::Reset,
        }
    };
    cx.stack.tcp_refuse(cx.now, connection, refusal);
}
