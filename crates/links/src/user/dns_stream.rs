//! The resolver at 10.0.2.3 over TCP (RFC 7766): what is too long for UDP. Fixed names are answered here, everything
//! else is asked of the host's resolvers over a connection of its own. Queries of one connection are answered one
//! after the other.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use stack::event::Readiness;
use stack::tcp::{ApplicationRings, ConnectionId, Refusal};

use super::context::Context;
use super::deadlines::Deadlines;
use super::dns_forwarder::{Knowledge, random_id};
use super::dns_message::{self, NotAQuery, Query, ResponseCode};
use super::host::{self, Attempt, HostEvent, Owner, Token, Watch};
use super::table::{Key, Table};

/// Connections at most.
const LIMIT: usize = 64;
/// How long a resolver has to answer, and a guest to ask or to take its answer (RFC 7766 section 6.2.3: idle
/// connections end after "the order of a few seconds"). One span for all, so that a deadline only ever moves on.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// RFC 1035 section 4.2.2: the two bytes of length before each message.
const PREFIX: usize = 2;

/// The resolver's TCP half.
pub(super) struct DnsStreams {
    streams: Table<Stream>,
    by_connection: HashMap<ConnectionId, Key>,
    deadlines: Deadlines,
}

struct Stream {
    connection: ConnectionId,
    rings: ApplicationRings,
    stage: Stage,
    deadline: Instant,
}

enum Stage {
    /// Waits for a query.
    Reading,
    /// A resolver is asked.
    Asking(Asking),
    /// The answer, with its length before it, and how much of it the ring has taken.
    Writing(Vec<u8>, usize),
}

struct Asking {
    socket: TcpStream,
    /// The guest's query.
    message: Vec<u8>,
    attempt: usize,
    id: u16,
    /// The query as it goes to the resolver, and how much of it is gone.
    request: Vec<u8>,
    sent: usize,
    /// What has come back.
    reply: Vec<u8>,
}

/// How far a resolver has come.
enum Progress {
    Wait,
    Answered(Vec<u8>),
    Failed,
}

impl DnsStreams {
    pub(super) fn new() -> Self {
        Self { streams: Table::new(LIMIT), by_connection: HashMap::new(), deadlines: Deadlines::default() }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// The guest connects to the resolver.
    pub(super) fn accept(&mut self, cx: &mut Context<'_>, connection: ConnectionId) {
        if self.streams.is_full() {
            cx.stats.refused_for_want_of_room += 1;
            cx.stack.tcp_refuse(cx.now, connection, Refusal::Reset);
            return;
        }
        let Some(accepted) = cx.stack.tcp_admit(cx.now, connection) else { return };
        let deadline = cx.wall + PATIENCE;
        let stream = Stream { connection, rings: accepted.rings, stage: Stage::Reading, deadline };
        if let Ok(key) = self.streams.insert(stream) {
            self.by_connection.insert(connection, key);
            self.deadlines.insert(key, deadline);
        }
    }

    /// Something happened at a connection of the guest's; false if it is none of these.
    pub(super) fn on_stack_event(
        &mut self,
        cx: &mut Context<'_>,
        knowledge: &mut Knowledge,
        connection: ConnectionId,
        readiness: Readiness,
    ) -> bool {
        let Some(&key) = self.by_connection.get(&connection) else { return false };
        if readiness.contains(Readiness::CLOSED) && cx.stack.tcp_error(connection).is_some() {
            self.end(cx, key);
        } else {
            self.step(cx, knowledge, key);
        }
        true
    }

    pub(super) fn on_host_event(&mut self, cx: &mut Context<'_>, knowledge: &mut Knowledge, event: HostEvent) {
        self.step(cx, knowledge, event.token.key);
    }

    /// Ends idle connections, and asks the next resolver where one was silent for too long.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>, knowledge: &mut Knowledge) {
        while let Some(key) = self.deadlines.expired(cx.wall, |key| self.streams.get(key).map(|stream| stream.deadline))
        {
            let Some(stream) = self.streams.get_mut(key) else { continue };
            match std::mem::replace(&mut stream.stage, Stage::Reading) {
                Stage::Asking(asking) => {
                    self.ask(cx, knowledge, key, asking.message, asking.attempt + 1);
                    if let Some(stream) = self.streams.get(key) {
                        self.deadlines.insert(key, stream.deadline);
                    }
                    self.step(cx, knowledge, key);
                }
                Stage::Reading | Stage::Writing(..) => self.end(cx, key),
            }
        }
    }

    /// Goes on with a connection until it has to wait.
    fn step(&mut self, cx: &mut Context<'_>, knowledge: &mut Knowledge, key: Key) {
        loop {
            let Some(stream) = self.streams.get_mut(key) else { return };
            match &mut stream.stage {
                Stage::Reading => {
                    let Some(message) = stream.read(cx) else {
                        if stream.rings.receive.is_producer_finished() {
                            // What is left, if anything, is no whole query.
                            self.end(cx, key);
                        }
                        return;
                    };
                    cx.stats.dns_queries += 1;
                    match answer(knowledge, &message) {
                        Some(answer) => stream.write(cx, &answer),
                        None if Query::parse(&message).is_ok() => self.ask(cx, knowledge, key, message, 0),
                        // Not a query at all: nothing is said, and the next one is read.
                        None => {}
                    }
                }
                Stage::Asking(asking) => match asking.step() {
                    Progress::Wait => return,
                    Progress::Answered(answer) => stream.write(cx, &answer),
                    Progress::Failed => {
                        let (message, attempt) = (std::mem::take(&mut asking.message), asking.attempt + 1);
                        self.ask(cx, knowledge, key, message, attempt);
                    }
                },
                Stage::Writing(answer, written) => {
                    let count = stream.rings.send.write(&answer[*written..]);
                    *written += count;
                    let whole = *written == answer.len();
                    if count > 0 {
                        cx.stack.tcp_wrote(cx.now, stream.connection);
                    }
                    if !whole {
                        return;
                    }
                    stream.stage = Stage::Reading;
                    stream.deadline = cx.wall + PATIENCE;
                }
            }
        }
    }

    /// Asks the next resolver that can be asked; without any, the answer is SERVFAIL.
    fn ask(&mut self, cx: &mut Context<'_>, knowledge: &mut Knowledge, key: Key, message: Vec<u8>, mut attempt: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        while let Some(server) = knowledge.resolvers.server(cx.wall, attempt) {
            let token = Token { owner: Owner::DnsStream, key };
            if let Ok(asking) = Asking::begin(cx, token, server, &message, attempt) {
                stream.stage = Stage::Asking(asking);
                stream.deadline = cx.wall + PATIENCE;
                return;
            }
            attempt += 1;
        }
        cx.stats.dns_failures += 1;
        if let Ok(query) = Query::parse(&message) {
            stream.write(cx, &query.failure(ResponseCode::ServerFailure));
        }
    }

    fn end(&mut self, cx: &mut Context<'_>, key: Key) {
        if let Some(mut stream) = self.streams.remove(key) {
            self.by_connection.remove(&stream.connection);
            stream.rings.send.finish();
            cx.stack.tcp_close(cx.now, stream.connection);
        }
    }
}

impl Stream {
    /// The next whole query.
    fn read(&mut self, cx: &mut Context<'_>) -> Option<Vec<u8>> {
        let mut prefix = [0; PREFIX];
        if self.rings.receive.copy_at(0, &mut prefix) < PREFIX {
            return None;
        }
        let len = usize::from(u16::from_be_bytes(prefix));
        if self.rings.receive.len() < PREFIX + len {
            return None;
        }
        let mut message = vec![0; len];
        self.rings.receive.consume(PREFIX);
        self.rings.receive.read(&mut message);
        cx.stack.tcp_read(cx.now, self.connection);
        Some(message)
    }

    fn write(&mut self, cx: &Context<'_>, answer: &[u8]) {
        self.stage = Stage::Writing(with_prefix(answer), 0);
        self.deadline = cx.wall + PATIENCE;
    }
}

impl Asking {
    fn begin(cx: &Context<'_>, token: Token, server: SocketAddr, message: &[u8], attempt: usize) -> io::Result<Self> {
        let socket: OwnedFd = host::connect_stream(server)?;
        cx.poller.watch(&socket, token, Watch::Stream)?;
        let id = random_id();
        let mut request = with_prefix(message);
        dns_message::set_id(&mut request[PREFIX..], id);
        let socket = TcpStream::from(socket);
        Ok(Self { socket, message: message.to_vec(), attempt, id, request, sent: 0, reply: Vec::new() })
    }

    fn step(&mut self) -> Progress {
        use std::io::{Read, Write};
        if host::take_error(&self.socket).is_some() {
            return Progress::Failed;
        }
        while self.sent < self.request.len() {
            match Attempt::from(self.socket.write(&self.request[self.sent..])) {
                Attempt::Done(count) => self.sent += count,
                Attempt::WouldBlock => return Progress::Wait,
                Attempt::Failed(error) if error.kind() == io::ErrorKind::NotConnected => return Progress::Wait,
                Attempt::Failed(_) => return Progress::Failed,
            }
        }
        loop {
            let wanted = match self.reply.first_chunk::<PREFIX>() {
                Some(prefix) => PREFIX + usize::from(u16::from_be_bytes(*prefix)),
                None => PREFIX,
            };
            if self.reply.len() == wanted && wanted > PREFIX {
                return self.check();
            }
            let have = self.reply.len();
            self.reply.resize(wanted, 0);
            let attempt = Attempt::from(self.socket.read(&mut self.reply[have..]));
            let count = if let Attempt::Done(count) = attempt { count } else { 0 };
            self.reply.truncate(have + count);
            match attempt {
                Attempt::Done(0) | Attempt::Failed(_) => return Progress::Failed,
                Attempt::Done(_) => {}
                Attempt::WouldBlock => return Progress::Wait,
            }
        }
    }

    /// A whole message has come; is it the answer?
    fn check(&mut self) -> Progress {
        let mut answer = self.reply.split_off(PREFIX);
        let question = Query::parse(&self.message).map(|query| query.question);
        if !question.is_ok_and(|question| dns_message::is_answer(&answer, self.id, question)) {
            return Progress::Failed;
        }
        answer[..2].copy_from_slice(&self.message[..2]);
        Progress::Answered(answer)
    }
}

/// What is answered without asking anybody; `None` for a query to be passed on, and for what is none.
fn answer(knowledge: &Knowledge, message: &[u8]) -> Option<Vec<u8>> {
    match Query::parse(message) {
        Ok(query) => knowledge.names.answer(&query, usize::from(u16::MAX)),
        Err(NotAQuery::Ignore) => None,
        Err(NotAQuery::Reject(code)) => Some(dns_message::reject(message, code)),
    }
}

fn with_prefix(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + message.len());
    out.extend((message.len() as u16).to_be_bytes());
    out.extend_from_slice(message);
    out
}
