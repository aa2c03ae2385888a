//! What sockets ask for, done.

use std::net::SocketAddr;
use std::sync::Arc;

use ring::datagram::Record;
use stack::ip::echo::EchoOptions;
use stack::tcp::{Algorithm, ConnectOptions, KeepAlive, SocketOption, SocketOptions, StreamRings, UserTimeoutOption};
use stack::udp::{DatagramRings, SendError, UdpId};

use super::sockets::Socket;
use super::turn::BATCH;
use super::{Engine, failures};
use crate::control::{Answerer, Attachment, Command, Complete, Completion, EngineEnd, Marks, SocketId, Submission};
use crate::error::SocketError;
use crate::interface::Interface;
use crate::options::{
    CongestionControl, Ecn, ListenOptions, TcpInfo, TcpOption, TcpOptions, UdpOption, UdpOptions, Waiting,
};
use crate::socket::datagram::DatagramState;
use crate::socket::listener::ListenerState;
use crate::socket::stream::StreamState;

/// A datagram that found the interface's queue full, and who waits to hear that it was sent.
pub(super) struct WaitingSend {
    socket: UdpId,
    record: Record,
    payload: Box<[u8]>,
    done: Answerer<()>,
}

impl Engine {
    /// Does what a socket asks. What is wrong with it is told to the socket; a socket that is gone asks in vain, and
    /// what it attached says so by being dropped.
    pub(super) fn execute(&mut self, now: stack::Instant, submission: Submission) {
        let Submission { socket, command, attachment } = submission;
        match (command, attachment) {
            (Command::TcpConnect { remote, options }, Attachment::Stream { state, send, receive }) => {
                self.connect(now, remote, &options, state, StreamRings { send, receive });
            }
            (Command::TcpListen { local, options }, Attachment::Listener { state, bound }) => {
                bound.answer(self.listen(local, options, state));
            }
            (Command::UdpBind { local, options }, Attachment::Datagram { state, send, receive, bound }) => {
                bound.answer(self.bind(local, &options, state, DatagramRings { receive, send }));
            }
            (Command::EchoOpen, Attachment::Echo { state, receive }) => match self.stack.echo_open(None, receive) {
                Ok(echo) => self.sockets.insert(socket, Socket::Echo { state, echo }),
                Err(error) => state.complete(Completion::Closed(Some(failures::of_bind(error)))),
            },
            (Command::Close, _) => self.close(now, socket),
            (Command::TcpShutdownRead, _) => {
                if let Some(Socket::Stream { connection, .. }) = self.sockets.get(socket) {
                    self.stack.tcp_shutdown_read(now, *connection);
                }
            }
            (Command::TcpUrgent { end }, _) => {
                if let Some(Socket::Stream { state, connection }) = self.sockets.get(socket) {
                    self.stack.tcp_wrote_urgent(now, *connection, end);
                    state.complete(Completion::UrgentNoted { end });
                }
            }
            (Command::TcpSet(option), _) => {
                if let Some(Socket::Stream { connection, .. }) = self.sockets.get(socket) {
                    self.stack.tcp_set_option(now, *connection, tcp_option(option));
                }
            }
            (Command::TcpInfo, Attachment::TcpInfo(answer)) => answer.answer(self.tcp_info(socket)),
            (Command::UdpConnect(peer), Attachment::Address(done)) => done.answer(self.connect_datagram(socket, peer)),
            (Command::UdpSend { record, payload }, Attachment::Done(done)) => {
                self.send(now, socket, record, payload, done);
            }
            (Command::UdpSet(option), _) => self.set_datagram(socket, option),
            (Command::EchoSend { destination, hop_limit, sequence, payload }, Attachment::Done(done)) => {
                let Some(Socket::Echo { echo, .. }) = self.sockets.get(socket) else {
                    return done.answer(Err(SocketError::NotConnected));
                };
                let options = EchoOptions { ttl: hop_limit, ..EchoOptions::default() };
                let sent = self.stack.echo_send(now, *echo, destination, sequence, &payload, options);
                done.answer(sent.map_err(failures::of_send));
            }
            (Command::Interfaces, Attachment::Interfaces(answer)) => answer.answer(Ok(self.interfaces())),
            (Command::Adopt(adoption), _) => self.adopt(now, adoption),
            // A command without what belongs to it: dropping the attachment tells who waits.
            _ => {}
        }
    }

    /// Looks at what a socket has done with its rings.
    pub(super) fn look_at(&mut self, now: stack::Instant, id: SocketId) {
        match self.sockets.get(id) {
            Some(Socket::Stream { state, connection }) => {
                let marks = state.marks.take();
                if marks & Marks::WROTE != 0 {
                    self.stack.tcp_wrote(now, *connection);
                }
                if marks & (Marks::READ | Marks::EMPTIED) != 0 {
                    self.stack.tcp_read(now, *connection);
                }
            }
            Some(Socket::Listener { state, .. }) => {
                state.marks.take();
                self.accept(now, id);
            }
            Some(Socket::Datagram { state, socket }) => {
                state.marks.take();
                // If a queue is full, WRITABLE tells when the rest is gone.
                if self.stack.udp_flush(now, *socket) {
                    state.complete(Completion::Writable);
                }
            }
            Some(Socket::Echo { .. }) | None => {}
        }
    }

    fn connect(
        &mut self,
        now: stack::Instant,
        remote: SocketAddr,
        options: &TcpOptions,
        state: EngineEnd<StreamState>,
        rings: StreamRings,
    ) {
        let (local, socket, fast_open) = (options.local, socket_options(options), options.fast_open);
        let connect = ConnectOptions { local, socket, fast_open };
        match self.stack.tcp_connect(now, remote, &connect, rings) {
            Ok(connection) => self.sockets.insert(state.id, Socket::Stream { state, connection }),
            Err(error) => state.complete(Completion::Closed(Some(failures::of_connect(error)))),
        }
    }

    fn listen(
        &mut self,
        local: SocketAddr,
        options: ListenOptions,
        state: EngineEnd<ListenerState>,
    ) -> Result<SocketAddr, SocketError> {
        let (send, receive) = (options.tcp.send_limit(), options.tcp.receive_limit());
        let mut listen = stack::tcp::ListenOptions::default();
        // What completes within one turn must fit, whatever the backlog: the socket's queue is filled from here only
        // at the turn's end, and who finds this queue full waits for a retransmission (T34).
        listen.backlog = options.backlog.max(1).saturating_add(BATCH);
        listen.socket = socket_options(&options.tcp);
        listen.reuse_port = options.reuse_port;
        listen.fast_open = options.fast_open;
        listen.receive_buffer = Some(receive);
        listen.rings = Some(Box::new(move || stack::tcp::heap_rings(send, receive)));
        let listener = self.stack.tcp_listen(local, listen).map_err(failures::of_bind)?;
        let local = self.stack.tcp_listener_address(listener).ok_or(SocketError::AddressNotAvailable)?;
        self.sockets.insert(state.id, Socket::Listener { state, listener, options: options.tcp });
        Ok(local)
    }

    /// Moves connections from a listener's backlog to its socket; true if there were any.
    pub(super) fn accept(&mut self, now: stack::Instant, id: SocketId) -> bool {
        let Self { stack, sockets, channel, .. } = self;
        let Some(Socket::Listener { state, listener, options }) = sockets.get(id) else {
            return false;
        };
        let mut accepted = Vec::new();
        // Room is asked for each time: who accepts meanwhile tells only of a queue that it found full, so this may end only
        // with a full queue or an empty backlog.
        while state.room() > 0 {
            let Some(connection) = stack.tcp_accept(now, *listener) else {
                break;
            };
            let rings = connection.rings;
            let stream = Arc::new(StreamState::new(channel.name_socket(), rings.send, rings.receive, options));
            stream.complete(Completion::Connected { local: connection.local, remote: connection.remote });
            state.push(Arc::clone(&stream), connection.remote);
            accepted.push((EngineEnd(stream), connection.connection));
        }
        if accepted.is_empty() {
            return false;
        }
        let waiting = Arc::clone(&state.0);
        for (state, connection) in accepted {
            sockets.insert(state.id, Socket::Stream { state, connection });
        }
        // Only now: whoever accepts may close at once, and the close must find its socket.
        waiting.complete(Completion::Readable);
        true
    }

    fn close(&mut self, now: stack::Instant, id: SocketId) {
        match self.sockets.remove(id) {
            Some(Socket::Stream { connection, .. }) => self.stack.tcp_close(now, connection),
            Some(Socket::Listener { state, listener, .. }) => {
                self.stack.tcp_unlisten(now, listener);
                while let Some(stream) = state.pop() {
                    if let Some(Socket::Stream { connection, .. }) = self.sockets.remove(stream.id) {
                        self.stack.tcp_abort(now, connection);
                    }
                }
            }
            Some(Socket::Datagram { socket, .. }) => self.stack.udp_close(now, socket),
            Some(Socket::Echo { echo, .. }) => self.stack.echo_close(echo),
            None => {}
        }
    }

    fn tcp_info(&self, id: SocketId) -> Result<TcpInfo, SocketError> {
        let Some(Socket::Stream { connection, .. }) = self.sockets.get(id) else {
            return Err(SocketError::NotConnected);
        };
        let info = self.stack.tcp_info(*connection).ok_or(SocketError::NotConnected)?;
        Ok(tcp_info(&info))
    }

    fn bind(
        &mut self,
        local: SocketAddr,
        options: &UdpOptions,
        state: EngineEnd<DatagramState>,
        rings: DatagramRings,
    ) -> Result<SocketAddr, SocketError> {
        let mut udp = stack::udp::UdpOptions::default();
        udp.reuse_address = options.reuse_address;
        udp.reuse_port = options.reuse_port;
        udp.broadcast = options.broadcast;
        udp.dont_fragment = options.dont_fragment;
        udp.ttl = options.hop_limit;
        udp.tos = options.tos;
        let socket = self.stack.udp_bind(local, udp, rings).map_err(failures::of_bind)?;
        let (local, _) = self.stack.udp_addresses(socket).ok_or(SocketError::AddressNotAvailable)?;
        self.sockets.insert(state.id, Socket::Datagram { state, socket });
        Ok(local)
    }

    /// Returns the socket's own address, which may have become that of an interface.
    fn connect_datagram(&mut self, id: SocketId, peer: SocketAddr) -> Result<SocketAddr, SocketError> {
        let Some(Socket::Datagram { socket, .. }) = self.sockets.get(id) else {
            return Err(SocketError::NotConnected);
        };
        self.stack.udp_connect(*socket, peer).map_err(failures::of_send)?;
        let (local, _) = self.stack.udp_addresses(*socket).ok_or(SocketError::NotConnected)?;
        Ok(local)
    }

    fn send(&mut self, now: stack::Instant, id: SocketId, record: Record, payload: Box<[u8]>, done: Answerer<()>) {
        let Some(Socket::Datagram { socket, .. }) = self.sockets.get(id) else {
            return done.answer(Err(SocketError::NotConnected));
        };
        let socket = *socket;
        // What the ring holds was sent before.
        self.stack.udp_flush(now, socket);
        self.waiting_sends.push_back(WaitingSend { socket, record, payload, done });
        self.retry_sends(now);
    }

    /// Sends what waits for room in the interface's queue, in order; true if anything was sent.
    pub(super) fn retry_sends(&mut self, now: stack::Instant) -> bool {
        let mut any = false;
        while let Some(send) = self.waiting_sends.pop_front() {
            match self.stack.udp_send(now, send.socket, &send.record, &send.payload) {
                Err(SendError::QueueFull) => {
                    self.waiting_sends.push_front(send);
                    break;
                }
                sent => send.done.answer(sent.map_err(failures::of_send)),
            }
            any = true;
        }
        any
    }

    fn set_datagram(&mut self, id: SocketId, option: UdpOption) {
        let Some(Socket::Datagram { socket, .. }) = self.sockets.get(id) else {
            return;
        };
        let Some(mut options) = self.stack.udp_options(*socket).cloned() else {
            return;
        };
        match option {
            UdpOption::Broadcast(on) => options.broadcast = on,
            UdpOption::DontFragment(on) => options.dont_fragment = on,
            UdpOption::HopLimit(hops) => options.ttl = Some(hops),
            UdpOption::Tos(tos) => options.tos = tos,
        }
        self.stack.udp_set_options(*socket, options);
    }

    fn interfaces(&self) -> Vec<Interface> {
        self.stack
            .interfaces()
            .into_iter()
            .map(|info| Interface {
                name: info.name,
                mac: info.mac,
                mtu: info.mtu,
                up: info.up,
                addresses: info.addresses,
                stats: info.stats,
            })
            .collect()
    }
}

fn socket_options(options: &TcpOptions) -> SocketOptions {
    let mut socket = SocketOptions::default();
    let bytes = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    socket.send_buffer = options.send_buffer.map(bytes);
    socket.receive_buffer = options.receive_buffer.map(bytes);
    socket.no_delay = options.no_delay;
    socket.keep_alive = options.keep_alive.map(keep_alive);
    socket.user_timeout = options.user_timeout;
    socket.user_timeout_option = options.user_timeout_option.map(user_timeout_option);
    socket.hop_limit = options.hop_limit;
    socket.tos = options.tos;
    socket.max_segment = options.max_segment;
    socket.congestion = options.congestion_control.map(algorithm);
    socket.pacing = options.pacing;
    socket.max_pacing_rate = options.max_pacing_rate;
    socket.ecn = options.ecn.map(|ecn| match ecn {
        Ecn::Off => stack::tcp::Ecn::Off,
        Ecn::Passive => stack::tcp::Ecn::Passive,
        Ecn::Active => stack::tcp::Ecn::Active,
    });
    socket
}

fn tcp_option(option: TcpOption) -> SocketOption {
    match option {
        TcpOption::NoDelay(on) => SocketOption::NoDelay(on),
        TcpOption::Cork(on) => SocketOption::Cork(on),
        TcpOption::KeepAlive(times) => SocketOption::KeepAlive(times.map(keep_alive)),
        TcpOption::UserTimeout(time) => SocketOption::UserTimeout(time),
        TcpOption::UserTimeoutOption(option) => SocketOption::UserTimeoutOption(option.map(user_timeout_option)),
        TcpOption::HopLimit(hops) => SocketOption::HopLimit(hops),
        TcpOption::Tos(tos) => SocketOption::Tos(tos),
        TcpOption::ResetOnClose(on) => SocketOption::ResetOnClose(on),
        TcpOption::Congestion(control) => SocketOption::Congestion(algorithm(control)),
        TcpOption::Pacing(on) => SocketOption::Pacing(on),
        TcpOption::MaxPacingRate(rate) => SocketOption::MaxPacingRate(rate),
        TcpOption::QuickAck(on) => SocketOption::QuickAck(on),
    }
}

fn algorithm(control: CongestionControl) -> Algorithm {
    match control {
        CongestionControl::Cubic => Algorithm::Cubic,
        CongestionControl::NewReno => Algorithm::NewReno,
        CongestionControl::Bbr => Algorithm::Bbr,
    }
}

fn tcp_info(info: &stack::tcp::TcpInfo) -> TcpInfo {
    TcpInfo {
        rtt: info.srtt,
        rtt_variance: info.rttvar,
        min_rtt: info.min_rtt,
        retransmission_timeout: info.rto,
        segment_size: info.mss,
        congestion_control: CongestionControl::from_name(info.congestion.name()),
        congestion_window: info.congestion_window,
        slow_start_threshold: info.slow_start_threshold,
        send_window: info.send_window,
        receive_window: info.receive_window,
        quick_acks: info.quick_acks,
        in_flight: info.in_flight,
        sacked: info.sacked,
        lost: info.lost,
        retransmissions: info.retransmissions,
        timeouts: info.timeouts,
        recovering: info.recovering,
        reordering_seen: info.reordering_seen,
        reordering_window: info.reordering_window,
        bytes_sent: info.bytes_sent,
        bytes_retransmitted: info.bytes_retransmitted,
        bytes_acked: info.bytes_acked,
        bytes_received: info.bytes_received,
        pacing_rate: info.pacing_rate,
        delivery_rate: info.delivery_rate,
        delivery_rate_app_limited: info.delivery_rate_app_limited,
        waiting: match info.waiting {
            stack::tcp::Waiting::Idle => Waiting::Idle,
            stack::tcp::Waiting::Application => Waiting::Application,
            stack::tcp::Waiting::ReceiveWindow => Waiting::ReceiveWindow,
            stack::tcp::Waiting::CongestionWindow => Waiting::CongestionWindow,
            stack::tcp::Waiting::Pacing => Waiting::Pacing,
        },
        busy: info.busy,
        application_limited: info.application_limited,
        receive_window_limited: info.receive_window_limited,
        congestion_window_limited: info.congestion_window_limited,
        pacing_limited: info.pacing_limited,
        user_timeout: info.user_timeout,
        remote_user_timeout: info.remote_user_timeout,
        ecn: info.ecn,
        marks_received: info.marks_received,
        echoes_received: info.echoes_received,
        fast_open: info.fast_open,
    }
}

fn user_timeout_option(wanted: crate::UserTimeoutOption) -> UserTimeoutOption {
    let option = UserTimeoutOption::default().changeable(wanted.changeable);
    wanted.advertised.map_or(option, |time| option.advertising(time))
}

fn keep_alive(times: crate::KeepAlive) -> KeepAlive {
    KeepAlive { idle: times.idle, interval: times.interval, probes: times.probes }
}
