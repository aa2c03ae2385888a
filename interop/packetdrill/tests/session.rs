//! Runs a script: what packetdrill's main loop does.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::calls::{Caller, Descriptors, tcp_info};
use crate::check;
use crate::library::{Library, Stack};
use crate::packet::{self, ACK, AE, Body, CWR, ECE, Ends, Error, Expected, SYN, Seen, Segment, Tos};
use crate::script::{Action, Call, Event, Script, Value, When};

/// The stack's address and port: what `bind(3, ..., ...)` binds to.
pub(crate) const LOCAL: [u8; 4] = [192, 168, 0, 1];
pub(crate) const LOCAL_PORT: u16 = 8080;
/// The peer's: where `connect(3, ..., ...)` goes.
pub(crate) const REMOTE: [u8; 4] = [192, 0, 2, 1];
pub(crate) const REMOTE_PORT: u16 = 8080;

/// How far from its time something may happen, in microseconds. Looking at the clock takes one each time.
const TOLERANCE: i64 = 1_000;

/// The connection that packets belong to.
struct Connection {
    ends: Ends,
    /// What the script calls the stack's initial sequence number, and what it is.
    script_isn: u32,
    live_isn: Option<u32>,
    /// The stack's timestamps: the script's value for the real one.
    timestamps: BTreeMap<u32, u32>,
    /// The peer's next sequence number and what it acknowledged last, for the reset at the end.
    next: u32,
    acked: u32,
}

/// What the next packet may begin.
#[derive(Clone, Copy, PartialEq)]
enum Awaiting {
    Nothing,
    /// A SYN of the peer makes a connection.
    Listening,
    /// A SYN of the stack makes a connection.
    Connecting,
}

struct Session<'scope, 'env> {
    stack: &'env Stack,
    descriptors: &'env Descriptors,
    scope: &'scope Scope<'scope, 'env>,
    start: i64,
    awaiting: Awaiting,
    connection: Option<Connection>,
    ports: u16,
    blocked: Option<ScopedJoinHandle<'scope, Result<(), String>>>,
}

/// Runs a script; an error begins with the line that it is about.
pub(crate) fn run(library: &Library, script: &Script) -> Result<(), String> {
    let stack = library.start(&script.flags)?;
    let descriptors = Descriptors::default();
    let start = stack.now();
    thread::scope(|scope| {
        let mut session = Session {
            stack: &stack,
            descriptors: &descriptors,
            scope,
            start,
            awaiting: Awaiting::Nothing,
            connection: None,
            ports: 53_055,
            blocked: None,
        };
        let result = session.run(&script.events);
        session.reset();
        result
    })
}

impl<'env> Session<'_, 'env> {
    fn run(&mut self, events: &'env [Event]) -> Result<(), String> {
        for event in events {
            self.event(event).map_err(|error| format!("{}: {error}", event.line))?;
        }
        let last = events.last().map_or(0, |event| event.line);
        self.finish_blocked().map_err(|error| format!("{last}: {error}"))?;
        self.nothing_left().map_err(|error| format!("{last}: {error}"))
    }

    /// The time since the beginning of the script.
    fn now(&self) -> i64 {
        self.stack.now() - self.start
    }

    /// When an event is to happen: at the earliest, and at the latest.
    fn bounds(&self, when: When) -> (i64, i64) {
        match when {
            When::Absolute(from, to) => (from, to),
            When::Relative(from, to) => {
                let now = self.now();
                (now + from, now + to)
            }
            When::Any => (0, i64::MAX / 2),
        }
    }

    fn event(&mut self, event: &'env Event) -> Result<(), String> {
        match &event.action {
            Action::Expect(expected) => {
                let bounds = self.bounds(event.when);
                self.expect(expected, bounds)
            }
            Action::Inject(expected) => {
                self.wait_for(event)?;
                self.inject(expected)
            }
            Action::Check(code) => {
                self.wait_for(event)?;
                let fd = self.descriptors.latest().ok_or("there is no socket")?;
                check::check(code, &tcp_info(self.stack, fd)?)
            }
            Action::Call(call) => self.call(event, call),
        }
    }

    /// Sleeps until it is an event's time.
    fn wait_for(&self, event: &Event) -> Result<(), String> {
        self.wait_until(self.bounds(event.when).0)
    }

    fn wait_until(&self, from: i64) -> Result<(), String> {
        self.stack.sleep_until(self.start + from);
        let late = self.now() - from;
        if late > TOLERANCE {
            return Err(format!("it is {:.6} s already: too late by {late} us", self.now() as f64 / 1e6));
        }
        Ok(())
    }

    // --- calls ---

    fn call(&mut self, event: &'env Event, call: &'env Call) -> Result<(), String> {
        // A relative time counts from here, also where the call before has not come back yet.
        let (began, _) = self.bounds(event.when);
        self.finish_blocked()?;
        self.wait_until(began)?;
        match call.name.as_str() {
            "listen" => self.awaiting = Awaiting::Listening,
            "connect" => self.awaiting = Awaiting::Connecting,
            "sendto" if call.arguments.get(3) == Some(&Value::Number(libc::MSG_FASTOPEN.into())) => {
                self.awaiting = Awaiting::Connecting;
            }
            _ => {}
        }
        let caller = Caller { stack: self.stack, descriptors: self.descriptors, call };
        let Some(returns) = call.returns else { return caller.run().map(drop) };
        let returns = match event.when {
            // On the same scale as the beginning, and so from the event before.
            When::Relative(from, _) => began - from + returns,
            _ => returns,
        };
        let (start, line) = (self.start, event.line);
        // The number is written by the new thread before its call, so that this one knows whom to look at.
        let thread: &'static AtomicI32 = Box::leak(Box::new(AtomicI32::new(0)));
        let blocked = self.scope.spawn(move || {
            // SAFETY: it has no arguments and cannot fail.
            thread.store(unsafe { libc::gettid() }, Ordering::SeqCst);
            let at = caller.run().map_err(|error| format!("(the call in line {line}) {error}"))? - start;
            if (at - returns).abs() > TOLERANCE {
                let [at, returns] = [at, returns].map(|time| time as f64 / 1e6);
                return Err(format!("the call in line {line} returned at {at:.6} s, not at {returns:.6} s"));
            }
            Ok(())
        });
        while !blocked.is_finished() && !is_asleep(thread.load(Ordering::SeqCst)) {
            thread::yield_now();
        }
        self.blocked = Some(blocked);
        Ok(())
    }

    /// Waits for the call that blocks to come back.
    fn finish_blocked(&mut self) -> Result<(), String> {
        match self.blocked.take() {
            Some(blocked) => blocked.join().unwrap_or_else(|_| Err("a call panicked".into())),
            None => Ok(()),
        }
    }

    // --- packets ---

    fn inject(&mut self, expected: &Expected) -> Result<(), String> {
        match &expected.body {
            Body::Tcp(segment) => self.inject_segment(expected, segment),
            Body::Icmp(error) => {
                let connection = self.connection.as_ref().ok_or("there is no connection to report on")?;
                let seq = error.seq.wrapping_sub(connection.script_isn).wrapping_add(connection.live_isn.unwrap_or(0));
                let error = Error { seq, ..error.clone() };
                self.stack.inject(&packet::icmp(&connection.ends, expected, &error));
                Ok(())
            }
        }
    }

    fn inject_segment(&mut self, expected: &Expected, segment: &Segment) -> Result<(), String> {
        if self.awaiting == Awaiting::Listening || self.connection.is_none() && self.awaiting == Awaiting::Nothing {
            self.ports += 1;
            self.connection = Some(Connection {
                ends: Ends { ours: (Ipv4Addr::from(REMOTE), self.ports), theirs: (Ipv4Addr::from(LOCAL), LOCAL_PORT) },
                script_isn: 0,
                live_isn: None,
                timestamps: BTreeMap::new(),
                next: 0,
                acked: 0,
            });
            self.awaiting = Awaiting::Nothing;
        }
        let connection = self.connection.as_mut().ok_or("no connection has begun")?;
        let mut live = segment.clone();
        let isn = connection.live_isn.unwrap_or(0).wrapping_sub(connection.script_isn);
        if segment.flags & ACK != 0 {
            live.ack = segment.ack.wrapping_add(isn);
        }
        if let Some(options) = &mut live.options {
            options.map_sack(|number| number.wrapping_add(isn));
            if let Some((at, _, echo)) = options.timestamps()
                && segment.flags & ACK != 0
            {
                let echo = connection.timestamps.get(&echo).ok_or(format!("no timestamp {echo} was sent"))?;
                options.set_word(at + 4, *echo);
            }
        }
        let syn_and_fin = u32::from(segment.flags & SYN != 0) + u32::from(segment.flags & packet::FIN != 0);
        connection.next = live.seq.wrapping_add(u32::from(live.len)).wrapping_add(syn_and_fin);
        connection.acked = live.ack;
        self.stack.inject(&packet::segment(&connection.ends, expected, &live));
        Ok(())
    }

    /// The next packet of the connection under test.
    fn next_packet(&mut self) -> Result<(i64, Seen), String> {
        loop {
            let (at, bytes) = self.stack.sniff().ok_or("no packet will ever leave")?;
            let Some(seen) = packet::parse(&bytes)? else { continue };
            let first_syn = seen.segment.flags & SYN != 0 && seen.segment.flags & ACK == 0;
            if self.awaiting == Awaiting::Connecting && first_syn {
                self.awaiting = Awaiting::Nothing;
                self.connection = Some(Connection {
                    ends: seen.ends,
                    script_isn: 0,
                    live_isn: None,
                    timestamps: BTreeMap::new(),
                    next: 0,
                    acked: seen.segment.seq.wrapping_add(1),
                });
            }
            if self.connection.as_ref().is_some_and(|connection| connection.ends == seen.ends) {
                return Ok((at - self.start, seen));
            }
        }
    }

    fn expect(&mut self, expected: &Expected, (from, to): (i64, i64)) -> Result<(), String> {
        let Body::Tcp(wanted) = &expected.body else { return Err("only segments can be expected".into()) };
        let (at, mut seen) = self.next_packet().map_err(|error| format!("{wanted} was expected, but {error}"))?;
        let connection = self.connection.as_mut().ok_or("no connection has begun")?;
        let Segment { seq, flags, .. } = seen.segment;
        if flags & SYN != 0 && wanted.flags & SYN != 0 && connection.live_isn != Some(seq) {
            connection.live_isn = Some(seq);
            connection.script_isn = wanted.seq;
        }
        seen.segment.seq = match connection.live_isn {
            Some(isn) => seq.wrapping_sub(isn).wrapping_add(connection.script_isn),
            None => seq,
        };
        let echo_matters = flags & ACK != 0;
        if let (Some(wanted), Some(options)) = (&wanted.options, &mut seen.segment.options)
            && let (Some((_, name, echo)), Some((at, value, _))) = (wanted.timestamps(), options.timestamps())
        {
            // What the stack's clock shows is its own affair; the script's name for it is what echoes refer to.
            connection.timestamps.insert(name, value);
            options.set_word(at, name);
            if !echo_matters {
                options.set_word(at + 4, echo);
            }
        }
        if wanted.options.is_none() {
            seen.segment.options = None;
        }
        if wanted.window.is_none() {
            seen.segment.window = None;
        }
        let seconds = |time: i64| time as f64 / 1e6;
        if let Some(difference) = difference(expected, wanted, &seen) {
            return Err(format!("at {:.6} s came {}, not {wanted} ({difference})", seconds(at), seen.segment));
        }
        if at < from - TOLERANCE || at > to + TOLERANCE {
            let [at, from, to] = [at, from, to].map(seconds);
            return Err(format!("{wanted} came at {at:.6} s, not between {from:.6} and {to:.6} s"));
        }
        Ok(())
    }

    /// Nothing has left that the script has not mentioned.
    fn nothing_left(&mut self) -> Result<(), String> {
        if self.connection.is_none() {
            return Ok(());
        }
        let now = self.now();
        match self.next_packet() {
            Ok((at, seen)) if at <= now => Err(format!("there was also {} (not relative)", seen.segment)),
            _ => Ok(()),
        }
    }

    /// Closes everything behind the library's back and resets the connection, as packetdrill does.
    fn reset(&mut self) {
        if let Some(blocked) = self.blocked.take() {
            // The script has failed while it was under way; the reset below ends it.
            drop(blocked);
        }
        self.descriptors.close_all();
        // Nothing, but a call: the library sees what was closed, and whoever still waits there comes back.
        self.stack.inject(&[]);
        if let Some(connection) = &self.connection {
            let plain = Segment {
                ports: None,
                flags: packet::RST | ACK,
                seq: connection.next,
                len: 0,
                ack: connection.acked,
                window: Some(0),
                urgent: 0,
                options: None,
            };
            let expected = Expected { tos: None, ttl: None, body: Body::Tcp(plain.clone()) };
            self.stack.inject(&packet::segment(&connection.ends, &expected, &plain));
        }
    }
}

/// In what a packet is not what the script says, if in anything.
fn difference(expected: &Expected, wanted: &Segment, seen: &Seen) -> Option<&'static str> {
    let segment = &seen.segment;
    // The bits of ECN count only where they have been agreed on, or are named.
    let flags = wanted.flags ^ segment.flags;
    let ttl_differs = expected.ttl.is_some_and(|ttl| ttl != seen.ttl);
    let tos_differs = match expected.tos {
        Some(Tos::Whole(tos)) => tos != seen.tos,
        Some(Tos::Ecn(ecn)) => ecn != seen.tos & 3,
        None => false,
    };
    match () {
        () if flags & !(ECE | CWR | AE) != 0 => Some("other flags"),
        () if flags != 0 => Some("other ECN flags"),
        () if wanted.seq != segment.seq => Some("another sequence number"),
        () if wanted.len != segment.len => Some("another length"),
        () if wanted.flags & ACK != 0 && wanted.ack != segment.ack => Some("another acknowledgement"),
        () if wanted.window != segment.window => Some("another window"),
        () if wanted.urgent != segment.urgent => Some("another urgent pointer"),
        () if wanted.options != segment.options => Some("other options"),
        () if tos_differs => Some("another type of service"),
        () if ttl_differs => Some("another TTL"),
        () => None,
    }
}

/// Whether a thread of this process sleeps, as the system sees it.
fn is_asleep(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}
