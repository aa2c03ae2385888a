//! The resolver at 10.0.2.3 over UDP: fixed names are answered here, everything else is asked of the host's
//! resolvers, byte for byte as the guest asked it.
//!
//! Each query that is passed on has a socket and an identifier of its own, both chosen by chance, so that a forger
//! has to guess them (RFC 5452 section 9). A query that nobody answers ends in SERVFAIL before the guest's own
//! patience does.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ring::Consumer;
use ring::datagram::{self, Record};
use stack::udp::UdpId;

use super::context::Context;
use super::deadlines::Deadlines;
use super::dns_message::{self, NotAQuery, Query, ResponseCode};
use super::fixed_names::FixedNames;
use super::host::{self, Attempt, HostEvent, Owner, Token, Watch};
use super::resolvers::Resolvers;
use super::table::Table;

/// Queries under way at most; the next ones get SERVFAIL at once.
const LIMIT: usize = 256;
/// How long a resolver has to answer. Stub resolvers wait five seconds; two tries fit in.
const PATIENCE: Duration = Duration::from_millis(2_000);
/// RFC 1035 section 4.2.1 has 512 bytes, EDNS in practice 4,096: longer queries come over TCP.
const QUERY_LIMIT: usize = 4_096;
/// Queries answered or passed on in one turn.
const SHARE: usize = 64;

/// What both transports of the resolver know.
pub(super) struct Knowledge {
    pub(super) names: FixedNames,
    pub(super) resolvers: Resolvers,
}

/// The resolver's UDP half.
pub(super) struct DnsForwarder {
    /// Its socket towards the guest, and what came in there.
    id: UdpId,
    from_guest: Consumer,
    queries: Table<Pending>,
    deadlines: Deadlines,
    ready: bool,
}

/// A query that one of the host's resolvers is asked.
struct Pending {
    socket: UdpSocket,
    client: SocketAddr,
    message: Vec<u8>,
    /// The identifier that the resolver sees.
    id: u16,
    attempt: usize,
    deadline: Instant,
}

impl DnsForwarder {
    pub(super) fn new(id: UdpId, from_guest: Consumer) -> Self {
        Self { id, from_guest, queries: Table::new(LIMIT), deadlines: Deadlines::default(), ready: false }
    }

    /// Something came in from the guest; false if `id` is not the resolver's socket.
    pub(super) fn on_stack_event(&mut self, id: UdpId) -> bool {
        self.ready |= id == self.id;
        id == self.id
    }

    pub(super) fn has_work(&self) -> bool {
        self.ready
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Works on what the guest has asked.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, knowledge: &mut Knowledge, buffer: &mut [u8]) {
        if !self.ready {
            return;
        }
        for _ in 0..SHARE {
            let Some((record, len)) = datagram::pop(&mut self.from_guest, buffer) else {
                self.ready = false;
                return;
            };
            cx.stats.dns_queries += 1;
            self.query(cx, knowledge, record.remote, &buffer[..len.min(buffer.len())]);
        }
    }

    fn query(&mut self, cx: &mut Context<'_>, knowledge: &mut Knowledge, client: SocketAddr, message: &[u8]) {
        let query = match Query::parse(message) {
            Ok(query) if message.len() <= QUERY_LIMIT => query,
            Ok(query) => return self.reply(cx, client, &query.failure(ResponseCode::FormatError)),
            Err(NotAQuery::Ignore) => return,
            Err(NotAQuery::Reject(code)) => return self.reply(cx, client, &dns_message::reject(message, code)),
        };
        if let Some(answer) = knowledge.names.answer(&query, query.udp_limit()) {
            return self.reply(cx, client, &answer);
        }
        let asked = self.ask(cx, knowledge, client, message.to_vec(), 0);
        if let Err(message) = asked {
            self.fail(cx, client, &message);
        }
    }

    /// Asks the next resolver that can be asked; gives the message back if there is none.
    fn ask(
        &mut self,
        cx: &mut Context<'_>,
        knowledge: &mut Knowledge,
        client: SocketAddr,
        mut message: Vec<u8>,
        mut attempt: usize,
    ) -> Result<(), Vec<u8>> {
        let original = [message[0], message[1]];
        while let Some(server) = knowledge.resolvers.server(cx.wall, attempt) {
            let id = random_id();
            dns_message::set_id(&mut message, id);
            let sent = host::connect_datagram(server).and_then(|socket| {
                socket.send(&message)?;
                Ok(socket)
            });
            message[..2].copy_from_slice(&original);
            let Ok(socket) = sent else {
                attempt += 1;
                continue;
            };
            let deadline = cx.wall + PATIENCE;
            let pending = Pending { socket, client, message, id, attempt, deadline };
            let key = self.queries.insert(pending).map_err(|pending| pending.message)?;
            self.deadlines.insert(key, deadline);
            let token = Token { owner: Owner::DnsQuery, key };
            let watched = self.queries.get(key).map(|pending| cx.poller.watch(&pending.socket, token, Watch::Input));
            if let Some(Err(_)) = watched
                && let Some(pending) = self.queries.remove(key)
            {
                return Err(pending.message);
            }
            return Ok(());
        }
        Err(message)
    }

    /// A resolver has answered, or an ICMP error has.
    pub(super) fn on_host_event(
        &mut self,
        cx: &mut Context<'_>,
        knowledge: &mut Knowledge,
        event: HostEvent,
        buffer: &mut [u8],
    ) {
        let key = event.token.key;
        let Some(pending) = self.queries.get(key) else { return };
        let others = knowledge.resolvers.server(cx.wall, pending.attempt + 1).is_some();
        let Some(reply) = pending.receive(buffer, others) else { return };
        let Some(pending) = self.queries.remove(key) else { return };
        match reply {
            Reply::Answer(len) => {
                buffer[..2].copy_from_slice(&pending.message[..2]);
                self.reply(cx, pending.client, &buffer[..len]);
            }
            Reply::Useless => self.again(cx, knowledge, pending),
        }
    }

    /// Gives up on resolvers that were silent for too long.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>, knowledge: &mut Knowledge) {
        while let Some(key) =
            self.deadlines.expired(cx.wall, |key| self.queries.get(key).map(|pending| pending.deadline))
        {
            if let Some(pending) = self.queries.remove(key) {
                self.again(cx, knowledge, pending);
            }
        }
    }

    fn again(&mut self, cx: &mut Context<'_>, knowledge: &mut Knowledge, pending: Pending) {
        let Pending { client, message, attempt, .. } = pending;
        if let Err(message) = self.ask(cx, knowledge, client, message, attempt + 1) {
            self.fail(cx, client, &message);
        }
    }

    fn fail(&self, cx: &mut Context<'_>, client: SocketAddr, message: &[u8]) {
        cx.stats.dns_failures += 1;
        if let Ok(query) = Query::parse(message) {
            self.reply(cx, client, &query.failure(ResponseCode::ServerFailure));
        }
    }

    fn reply(&self, cx: &mut Context<'_>, client: SocketAddr, message: &[u8]) {
        let record = Record { remote: client, local: None, interface: 0, tos: 0, ttl: 0 };
        if cx.stack.udp_send(cx.now, self.id, &record, message).is_err() {
            cx.stats.datagrams_dropped += 1;
        }
    }
}

/// What came from a resolver.
enum Reply {
    /// An answer of this length.
    Answer(usize),
    /// An error.
    Useless,
}

impl Pending {
    /// Reads until an answer to this query, or an error; `None` if neither has come. An answer that another resolver
    /// may better is useless as long as `others` can be asked.
    fn receive(&self, buffer: &mut [u8], others: bool) -> Option<Reply> {
        let query = Query::parse(&self.message).ok()?;
        loop {
            match Attempt::from(self.socket.recv(buffer)) {
                Attempt::Done(len) if dns_message::is_answer(&buffer[..len], self.id, query.question) => {
                    let useless = others && dns_message::is_no_help(&buffer[..len]);
                    return Some(if useless { Reply::Useless } else { Reply::Answer(len) });
                }
                // Not what was asked for: forged, or late.
                Attempt::Done(_) => {}
                Attempt::WouldBlock => return None,
                Attempt::Failed(_) => return Some(Reply::Useless),
            }
        }
    }
}

/// An identifier that cannot be guessed.
pub(super) fn random_id() -> u16 {
    let mut bytes = [0; 2];
    // A kernel without random numbers has no sockets either; zero would only make a forger's work easier.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u16::from_be_bytes(bytes)
}
