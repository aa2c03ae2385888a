//! `getsockopt` and `setsockopt`, with the values that Linux takes and gives. What the engine does not do is ENOPROTOOPT:
//! no option is taken and then ignored.

use std::ffi::c_int;
use std::time::Duration;

use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET};
use stack::tcp::{Algorithm, Phase, SocketOption};

use crate::errno::{Errno, Sys};
use crate::machine::Machine;
use crate::socket::{Role, Socket};
use crate::state::State;
use crate::tcp_info;

/// Not in libc: what `ss -m` shows of a socket's memory, nine numbers.
const SO_MEMINFO: c_int = 55;
const MEMINFO_NUMBERS: usize = 9;
/// Not in libc: what a congestion control algorithm tells of itself. Ours tell nothing.
const TCP_CC_INFO: c_int = 26;
/// Linux's SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF, by half, as the caller's value is counted.
const SMALLEST_BUFFER: u32 = 2_304;
/// Linux's MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL, in seconds, and MAX_TCP_KEEPCNT.
const LONGEST_KEEP_ALIVE: c_int = 32_767;
const MOST_PROBES: c_int = 127;

impl State {
    /// The bytes of an option's value.
    pub(crate) fn option(&mut self, fd: c_int, level: c_int, name: c_int) -> Sys<Vec<u8>> {
        let (socket, machine) = self.socket(fd)?;
        let number = match (level, name) {
            (SOL_SOCKET, libc::SO_ERROR) => socket.error.take().map_or(0, |error| error.0),
            (SOL_SOCKET, libc::SO_LINGER) => {
                let [on, time] = [c_int::from(socket.linger.is_some()), seconds(socket.linger.unwrap_or_default())];
                return Ok([on.to_ne_bytes(), time.to_ne_bytes()].concat());
            }
            (SOL_SOCKET, libc::SO_RCVTIMEO) => return Ok(timeval(socket.receive_timeout)),
            (SOL_SOCKET, libc::SO_SNDTIMEO) => return Ok(timeval(socket.send_timeout)),
            (SOL_SOCKET, libc::SO_MAX_PACING_RATE) => {
                let rate = socket.options.max_pacing_rate.unwrap_or(u64::MAX);
                return Ok(rate.to_ne_bytes().to_vec());
            }
            (SOL_SOCKET, SO_MEMINFO) => return Ok(memory_info(socket, machine)),
            // Linux gives back twice what it was told, as it counts its own bookkeeping in.
            (SOL_SOCKET, libc::SO_SNDBUF) => {
                doubled(socket.options.send_buffer.unwrap_or(self.settings.config.tcp.send_start))
            }
            (SOL_SOCKET, libc::SO_RCVBUF) => {
                doubled(socket.options.receive_buffer.unwrap_or(self.settings.config.tcp.receive_start))
            }
            (SOL_SOCKET, _) => socket_number(socket, name)?,
            (IPPROTO_TCP, libc::TCP_INFO) => return Ok(tcp_info::of(socket, machine)),
            (IPPROTO_TCP, TCP_CC_INFO) => return Ok(Vec::new()),
            (IPPROTO_TCP, libc::TCP_CONGESTION) => {
                let algorithm = socket.options.congestion.unwrap_or(self.settings.config.tcp.congestion);
                let mut name = algorithm.name().as_bytes().to_vec();
                name.resize(16, 0);
                return Ok(name);
            }
            (IPPROTO_TCP, libc::TCP_QUICKACK) => {
                let info = socket.stream().and_then(|stream| machine.stack.tcp_info(stream.id));
                let told = info.map(|info| info.quick_acks).or(socket.quick_ack);
                c_int::from(told.unwrap_or(self.settings.config.tcp.quick_acks > 0))
            }
            (IPPROTO_TCP, _) => tcp_number(socket, machine, name)?,
            (IPPROTO_IP, libc::IP_TTL) | (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => {
                c_int::from(socket.options.hop_limit)
            }
            (IPPROTO_IP, libc::IP_TOS) | (IPPROTO_IPV6, libc::IPV6_TCLASS) => c_int::from(socket.options.tos),
            _ => return Err(Errno(libc::ENOPROTOOPT)),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    /// Sets an option.
    pub(crate) fn set_option(&mut self, fd: c_int, level: c_int, name: c_int, value: &[u8]) -> Sys<()> {
        let (socket, machine) = self.socket(fd)?;
        match (level, name) {
            (SOL_SOCKET, libc::SO_LINGER) => {
                let [on, time] = numbers(value)?;
                socket.linger = (on != 0).then(|| Duration::from_secs(u64::try_from(time).unwrap_or(0)));
                socket.options.reset_on_close = socket.linger == Some(Duration::ZERO);
                let reset = SocketOption::ResetOnClose(socket.options.reset_on_close);
                change(socket, machine, reset);
                return self.tell_listener(fd);
            }
            (SOL_SOCKET, libc::SO_RCVTIMEO) => {
                socket.receive_timeout = duration(value)?;
                return Ok(());
            }
            (SOL_SOCKET, libc::SO_SNDTIMEO) => {
                socket.send_timeout = duration(value)?;
                return Ok(());
            }
            (SOL_SOCKET, libc::SO_MAX_PACING_RATE) => {
                // Linux: 32 bits or 64, and all ones for no bound.
                let rate = match (value.first_chunk(), value.first_chunk()) {
                    (Some(long), _) => u64::from_ne_bytes(*long),
                    (None, Some(short)) if *short == [0xff; 4] => u64::MAX,
                    (None, Some(short)) => u64::from(u32::from_ne_bytes(*short)),
                    _ => return Err(Errno(libc::EINVAL)),
                };
                socket.options.max_pacing_rate = (rate != u64::MAX).then_some(rate);
                change(socket, machine, SocketOption::MaxPacingRate(socket.options.max_pacing_rate));
                return self.tell_listener(fd);
            }
            (IPPROTO_TCP, libc::TCP_CONGESTION) => {
                let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
                let algorithm = std::str::from_utf8(name).ok().and_then(Algorithm::from_name);
                let algorithm = algorithm.ok_or(Errno(libc::ENOENT))?;
                socket.options.congestion = Some(algorithm);
                change(socket, machine, SocketOption::Congestion(algorithm));
                return self.tell_listener(fd);
            }
            _ => {}
        }
        let number = match value {
            // Linux takes a byte for what fits one.
            [byte] if matches!(level, IPPROTO_IP | IPPROTO_IPV6) => c_int::from(*byte),
            _ => numbers::<1>(value)?[0],
        };
        if (level, name) == (IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT) {
            return self.set_fast_open_connect(fd, number);
        }
        let result = match level {
            SOL_SOCKET => set_socket_number(socket, machine, name, number),
            IPPROTO_TCP => set_tcp_number(socket, machine, name, number),
            IPPROTO_IP | IPPROTO_IPV6 => set_ip_number(socket, machine, level, name, number),
            _ => Err(Errno(libc::ENOPROTOOPT)),
        };
        self.tell_listener(fd)?;
        result
    }

    /// Connections of a listener begin with the settings that it has when they are asked for.
    fn tell_listener(&mut self, fd: c_int) -> Sys<()> {
        let (socket, machine) = self.socket(fd)?;
        if let Role::Listening(listener) = socket.role {
            machine.stack.tcp_listener_set_options(listener, socket.options.clone());
            let connections = socket.fast_open;
            let limit = self.fast_open_limit(connections);
            self.machine.stack.tcp_listener_set_fast_open(listener, limit);
        }
        Ok(())
    }
}

/// Tells the engine, if there is a connection to tell it of.
fn change(socket: &Socket, machine: &mut Machine, option: SocketOption) {
    if let Some(stream) = socket.stream() {
        machine.stack.tcp_set_option(machine.now, stream.id, option);
    }
}

fn socket_number(socket: &Socket, name: c_int) -> Sys<c_int> {
    Ok(match name {
        libc::SO_TYPE => libc::SOCK_STREAM,
        libc::SO_PROTOCOL => libc::IPPROTO_TCP,
        libc::SO_DOMAIN => socket.family,
        libc::SO_ACCEPTCONN => c_int::from(matches!(socket.role, Role::Listening(_))),
        libc::SO_REUSEADDR => c_int::from(socket.reuse_address),
        libc::SO_REUSEPORT => c_int::from(socket.reuse_port),
        libc::SO_KEEPALIVE => c_int::from(socket.keep_alive),
        libc::SO_OOBINLINE => c_int::from(socket.urgent_inline),
        libc::SO_RCVLOWAT => c_int::try_from(socket.receive_low_water).unwrap_or(c_int::MAX),
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    })
}

fn set_socket_number(socket: &mut Socket, machine: &mut Machine, name: c_int, number: c_int) -> Sys<()> {
    let buffer = || u32::try_from(number).unwrap_or(u32::MAX).clamp(SMALLEST_BUFFER, 1 << 30);
    match name {
        libc::SO_REUSEADDR => socket.reuse_address = number != 0,
        libc::SO_REUSEPORT => socket.reuse_port = number != 0,
        libc::SO_OOBINLINE => {
            socket.urgent_inline = number != 0;
            if let Role::Stream(stream) = &mut socket.role {
                stream.urgent.set_out_of_band(number == 0);
            }
        }
        libc::SO_KEEPALIVE => {
            socket.keep_alive = number != 0;
            set_keep_alive(socket, machine);
        }
        libc::SO_SNDBUF => {
            let bytes = buffer();
            socket.options.send_buffer = Some(bytes);
            socket.send_limit = socket.send_limit.max(bytes as usize);
            if let Role::Stream(stream) = &mut socket.role {
                stream.rings.send.set_limit(socket.send_limit);
            }
            change(socket, machine, SocketOption::SendBuffer(bytes));
        }
        libc::SO_RCVBUF => {
            let bytes = buffer();
            socket.options.receive_buffer = Some(bytes);
            socket.receive_limit = socket.receive_limit.max(bytes as usize);
            change(socket, machine, SocketOption::ReceiveBuffer(bytes));
        }
        libc::SO_RCVLOWAT => {
            socket.receive_low_water = usize::try_from(number).map_err(|_| Errno(libc::EINVAL))?.max(1);
        }
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    }
    Ok(())
}

fn tcp_number(socket: &Socket, machine: &Machine, name: c_int) -> Sys<c_int> {
    let connected = socket.stream().map(|stream| stream.id);
    Ok(match name {
        libc::TCP_NODELAY => c_int::from(socket.options.no_delay),
        libc::TCP_CORK => c_int::from(socket.cork),
        libc::TCP_MAXSEG => match connected.and_then(|id| machine.stack.tcp_info(id)) {
            Some(info) if info.phase.is_synchronized() => c_int::try_from(info.mss).unwrap_or(c_int::MAX),
            // RFC 9293 section 3.7.1: what holds while nothing was said.
            _ => c_int::from(socket.options.max_segment.unwrap_or(536)),
        },
        libc::TCP_KEEPIDLE => seconds(socket.keep_alive_times.idle),
        libc::TCP_KEEPINTVL => seconds(socket.keep_alive_times.interval),
        libc::TCP_KEEPCNT => c_int::from(socket.keep_alive_times.probes),
        libc::TCP_USER_TIMEOUT => {
            socket.options.user_timeout.map_or(0, |time| c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX))
        }
        libc::TCP_NOTSENT_LOWAT => c_int::try_from(socket.unsent_low_water).unwrap_or(c_int::MAX),
        libc::TCP_FASTOPEN => c_int::try_from(socket.fast_open).unwrap_or(c_int::MAX),
        libc::TCP_FASTOPEN_CONNECT => c_int::from(socket.fast_open_connect),
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    })
}

fn set_tcp_number(socket: &mut Socket, machine: &mut Machine, name: c_int, number: c_int) -> Sys<()> {
    let time = || match number {
        1..=LONGEST_KEEP_ALIVE => Ok(Duration::from_secs(number.unsigned_abs().into())),
        _ => Err(Errno(libc::EINVAL)),
    };
    match name {
        libc::TCP_NODELAY => {
            socket.options.no_delay = number != 0;
            change(socket, machine, SocketOption::NoDelay(number != 0));
            if number != 0 {
                // Linux: what waits goes now, cork or not. What is written next waits again.
                socket.set_corked(machine, false);
            }
        }
        libc::TCP_CORK => {
            socket.cork = number != 0;
            socket.set_corked(machine, number != 0);
        }
        libc::TCP_MAXSEG => match number {
            // Linux's TCP_MIN_MSS and MAX_TCP_WINDOW.
            88..=32_767 if socket.stream().is_none() => socket.options.max_segment = u16::try_from(number).ok(),
            88..=32_767 => return Err(Errno(libc::EISCONN)),
            _ => return Err(Errno(libc::EINVAL)),
        },
        libc::TCP_KEEPIDLE => {
            socket.keep_alive_times.idle = time()?;
            set_keep_alive(socket, machine);
        }
        libc::TCP_KEEPINTVL => {
            socket.keep_alive_times.interval = time()?;
            set_keep_alive(socket, machine);
        }
        libc::TCP_KEEPCNT => {
            let probes = (1..=MOST_PROBES).contains(&number).then_some(number).ok_or(Errno(libc::EINVAL))?;
            socket.keep_alive_times.probes = probes as u8;
            set_keep_alive(socket, machine);
        }
        libc::TCP_USER_TIMEOUT => {
            let millis = u64::try_from(number).map_err(|_| Errno(libc::EINVAL))?;
            socket.options.user_timeout = (millis > 0).then(|| Duration::from_millis(millis));
            change(socket, machine, SocketOption::UserTimeout(socket.options.user_timeout));
        }
        // It says nothing of connections that are still to come.
        libc::TCP_QUICKACK if matches!(socket.role, Role::Listening(_)) => return Err(Errno(libc::ENOPROTOOPT)),
        libc::TCP_QUICKACK => {
            socket.quick_ack = Some(number != 0);
            change(socket, machine, SocketOption::QuickAck(number != 0));
        }
        libc::TCP_NOTSENT_LOWAT => {
            // Linux: a negative one is as good as none.
            socket.unsent_low_water = usize::try_from(number).unwrap_or(0);
        }
        libc::TCP_FASTOPEN => {
            let limit =
                usize::try_from(number).ok().filter(|_| matches!(socket.role, Role::Fresh | Role::Listening(_)));
            socket.fast_open = limit.ok_or(Errno(libc::EINVAL))?;
        }
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    }
    Ok(())
}

fn set_ip_number(socket: &mut Socket, machine: &mut Machine, level: c_int, name: c_int, number: c_int) -> Sys<()> {
    match (level, name) {
        (IPPROTO_IP, libc::IP_TTL) | (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => {
            socket.options.hop_limit = match number {
                -1 => 64,
                1..=255 => number as u8,
                _ => return Err(Errno(libc::EINVAL)),
            };
            change(socket, machine, SocketOption::HopLimit(socket.options.hop_limit));
        }
        (IPPROTO_IP, libc::IP_TOS) | (IPPROTO_IPV6, libc::IPV6_TCLASS) => {
            // RFC 3168 section 6.1.1: the two low bits belong to TCP itself.
            socket.options.tos = (number & 0xfc) as u8;
            change(socket, machine, SocketOption::Tos(socket.options.tos));
        }
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    }
    Ok(())
}

fn set_keep_alive(socket: &mut Socket, machine: &mut Machine) {
    socket.options.keep_alive = socket.keep_alive.then_some(socket.keep_alive_times);
    if socket.stream().is_some_and(|stream| machine.stack.tcp_phase(stream.id) != Phase::Closed) {
        change(socket, machine, SocketOption::KeepAlive(socket.options.keep_alive));
    }
}

fn memory_info(socket: &Socket, machine: &Machine) -> Vec<u8> {
    let info = socket.stream().and_then(|stream| machine.stack.tcp_info(stream.id));
    let (read, written) = info.map_or((0, 0), |info| (info.receive_queue, info.send_queue));
    let mut values = [0; MEMINFO_NUMBERS];
    // In the order of Linux's sock_diag.h: received, its limit, sent, its limit, reserved, queued.
    values[..6].copy_from_slice(&[read, 2 * socket.receive_limit, written, 2 * socket.send_limit, 0, written]);
    values.iter().flat_map(|value| u32::try_from(*value).unwrap_or(u32::MAX).to_ne_bytes()).collect()
}

/// The numbers at the beginning of a value.
fn numbers<const N: usize>(value: &[u8]) -> Sys<[c_int; N]> {
    let (numbers, _) = value.as_chunks::<4>();
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(numbers.get(..N).ok_or(Errno(libc::EINVAL))?) {
        *to = c_int::from_ne_bytes(*from);
    }
    Ok(out)
}

fn doubled(bytes: u32) -> c_int {
    c_int::try_from(bytes.saturating_mul(2)).unwrap_or(c_int::MAX)
}

fn seconds(time: Duration) -> c_int {
    c_int::try_from(time.as_secs()).unwrap_or(c_int::MAX)
}

fn timeval(time: Option<Duration>) -> Vec<u8> {
    let time = time.unwrap_or_default();
    [time.as_secs().to_ne_bytes(), u64::from(time.subsec_micros()).to_ne_bytes()].concat()
}

fn duration(value: &[u8]) -> Sys<Option<Duration>> {
    let ([secs, micros, ..], _) = value.as_chunks::<8>() else { return Err(Errno(libc::EINVAL)) };
    let (secs, micros) = (i64::from_ne_bytes(*secs), i64::from_ne_bytes(*micros));
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno(libc::EDOM));
    }
    let time = Duration::from_secs(u64::try_from(secs).unwrap_or(0)) + Duration::from_micros(micros.unsigned_abs());
    Ok((time > Duration::ZERO).then_some(time))
}
