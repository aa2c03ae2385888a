//! System calls of a script, made through the table.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::mem::size_of;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use libc::{epoll_event, iovec, linger, msghdr, pollfd, sockaddr, sockaddr_in, socklen_t};

use crate::library::Stack;
use crate::script::{Call, Value};
use crate::session::{LOCAL, LOCAL_PORT, REMOTE, REMOTE_PORT};

/// Which descriptor stands for which number of the script.
#[derive(Default)]
pub(crate) struct Descriptors(Mutex<BTreeMap<i64, c_int>>);

impl Descriptors {
    /// The descriptor that a script means.
    pub(crate) fn live(&self, script: &Value) -> Result<c_int, String> {
        let number = script.number()?;
        // Scripts try numbers that nobody opened, too.
        Ok(self.table().get(&number).copied().unwrap_or(-1))
    }

    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<i64, c_int>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptor of the highest number: the connection, after `accept`.
    pub(crate) fn latest(&self) -> Option<c_int> {
        self.table().last_key_value().map(|(_, live)| *live)
    }

    /// Closes what is left, behind the library's back, as packetdrill does.
    pub(crate) fn close_all(&self) {
        for live in std::mem::take(&mut *self.table()).into_values() {
            // SAFETY: the library gave the descriptor out, and it was not closed yet.
            unsafe { libc::close(live) };
        }
    }
}

/// A call under way.
pub(crate) struct Caller<'a> {
    pub stack: &'a Stack,
    pub descriptors: &'a Descriptors,
    pub call: &'a Call,
}

/// What a call has come to.
struct Outcome {
    result: i64,
    errno: i32,
    /// When it returned.
    at: i64,
}

impl Caller<'_> {
    fn argument(&self, at: usize) -> Result<&Value, String> {
        self.call.arguments.get(at).ok_or(format!("{} has no argument {at}", self.call.name))
    }

    fn number<T: TryFrom<i64>>(&self, at: usize) -> Result<T, String> {
        let number = self.argument(at)?.number()?;
        T::try_from(number).map_err(|_| format!("{number} is out of range"))
    }

    fn fd(&self, at: usize) -> Result<c_int, String> {
        self.descriptors.live(self.argument(at)?)
    }

    /// Makes the call and looks at what came of it; returns when it returned.
    pub(crate) fn run(&self) -> Result<i64, String> {
        let outcome = self.invoke()?;
        let Call { name, result, error, .. } = self.call;
        let opens = matches!(name.as_str(), "socket" | "accept" | "epoll_create");
        let as_expected = if opens && *result >= 0 { outcome.result >= 0 } else { outcome.result == *result };
        let describe = |errno: i32| std::io::Error::from_raw_os_error(errno);
        if !as_expected {
            let failure = if outcome.result < 0 { format!(" ({})", describe(outcome.errno)) } else { String::new() };
            return Err(format!("{name} returned {}{failure}, not {result}", outcome.result));
        }
        if let Some(error) = error
            && *error != outcome.errno
        {
            return Err(format!("{name} failed with {}, not {}", describe(outcome.errno), describe(*error)));
        }
        if opens && outcome.result >= 0 {
            self.descriptors.table().insert(*result, outcome.result as c_int);
        }
        if name == "close" && outcome.result == 0 {
            self.descriptors.table().remove(&self.argument(0)?.number()?);
        }
        Ok(outcome.at)
    }

    /// What every call ends with: errno first, then the clock, as packetdrill does.
    fn done(&self, result: impl Into<i64>) -> Outcome {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Outcome { result: result.into(), errno, at: self.stack.now() }
    }

    fn invoke(&self) -> Result<Outcome, String> {
        let table = &self.stack.table;
        let data = table.userdata;
        // SAFETY, for every call through the table below: the arguments are what the call of that name takes, and the
        // memory that they point to lives until it has returned.
        Ok(match self.call.name.as_str() {
            "socket" => {
                let domain = match self.argument(0)? {
                    Value::Ellipsis => libc::AF_INET,
                    other => other.number()? as c_int,
                };
                let (kind, protocol) = (self.number(1)?, self.number(2)?);
                // SAFETY: as above.
                self.done(unsafe { (table.socket)(data, domain, kind, protocol) })
            }
            "bind" => {
                let name = name(LOCAL, LOCAL_PORT, libc::AF_INET);
                // SAFETY: as above.
                self.done(unsafe { (table.bind)(data, self.fd(0)?, (&raw const name).cast(), NAME_LEN) })
            }
            "listen" => {
                // SAFETY: as above.
                self.done(unsafe { (table.listen)(data, self.fd(0)?, self.number(1)?) })
            }
            "accept" => {
                let mut room = name([0; 4], 0, 0);
                let mut len = NAME_LEN;
                let to: *mut sockaddr = (&raw mut room).cast();
                // SAFETY: as above.
                self.done(unsafe { (table.accept)(data, self.fd(0)?, to, &raw mut len) })
            }
            "connect" => {
                let family = match self.argument(1)? {
                    Value::Ellipsis => libc::AF_INET,
                    other => other.number()? as c_int,
                };
                let name = name(REMOTE, REMOTE_PORT, family);
                // SAFETY: as above.
                self.done(unsafe { (table.connect)(data, self.fd(0)?, (&raw const name).cast(), NAME_LEN) })
            }
            "read" => {
                let (to, len) = self.room(2)?;
                // SAFETY: as above.
                self.done(unsafe { (table.read)(data, self.fd(0)?, to.as_ptr().cast_mut().cast(), len) } as i64)
            }
            "recv" => {
                let (to, len) = self.room(2)?;
                let to = to.as_ptr().cast_mut().cast();
                // SAFETY: as above.
                self.done(unsafe { (table.recv)(data, self.fd(0)?, to, len, self.number(3)?) } as i64)
            }
            "recvfrom" => {
                let (to, len) = self.room(2)?;
                let to = to.as_ptr().cast_mut().cast();
                let (none, flags) = (ptr::null_mut(), self.number(3)?);
                // SAFETY: as above.
                self.done(unsafe { (table.recvfrom)(data, self.fd(0)?, to, len, flags, none, ptr::null_mut()) } as i64)
            }
            "write" => {
                let (from, len) = self.room(2)?;
                // SAFETY: as above.
                self.done(unsafe { (table.write)(data, self.fd(0)?, from.as_ptr().cast(), len) } as i64)
            }
            "send" => {
                let (from, len) = self.room(2)?;
                // SAFETY: as above.
                self.done(unsafe { (table.send)(data, self.fd(0)?, from.as_ptr().cast(), len, self.number(3)?) } as i64)
            }
            "sendto" => {
                let (from, len) = self.room(2)?;
                let to = name(REMOTE, REMOTE_PORT, libc::AF_INET);
                let (to, flags): (*const sockaddr, _) = ((&raw const to).cast(), self.number(3)?);
                // SAFETY: as above.
                self.done(
                    unsafe { (table.sendto)(data, self.fd(0)?, from.as_ptr().cast(), len, flags, to, NAME_LEN) } as i64
                )
            }
            "readv" | "writev" => self.vectors()?,
            "recvmsg" | "sendmsg" => self.message()?,
            "fcntl" => {
                let argument = if self.call.arguments.len() > 2 { self.number(2)? } else { 0 };
                // SAFETY: as above.
                self.done(unsafe { (table.fcntl)(data, self.fd(0)?, self.number(1)?, argument) })
            }
            "ioctl" => self.ioctl()?,
            "close" => {
                // SAFETY: as above.
                self.done(unsafe { (table.close)(data, self.fd(0)?) })
            }
            "shutdown" => {
                // SAFETY: as above.
                self.done(unsafe { (table.shutdown)(data, self.fd(0)?, self.number(1)?) })
            }
            "getsockopt" => self.getsockopt()?,
            "setsockopt" => self.setsockopt()?,
            "poll" => self.poll()?,
            "epoll_create" => {
                // SAFETY: as above.
                self.done(unsafe { (table.epoll_create)(data, self.number(0)?) })
            }
            "epoll_ctl" => {
                let mut event = self.epoll_event(3)?;
                let (epfd, op, fd) = (self.fd(0)?, self.number(1)?, self.fd(2)?);
                // SAFETY: as above.
                self.done(unsafe { (table.epoll_ctl)(data, epfd, op, fd, &raw mut event) })
            }
            "epoll_wait" => self.epoll_wait()?,
            other => return Err(format!("the call {other} is not understood")),
        })
    }

    /// Memory for as many bytes as an argument says.
    fn room(&self, at: usize) -> Result<(Vec<u8>, usize), String> {
        let len: usize = self.number(at)?;
        Ok((vec![0; len], len))
    }

    fn buffers(vectors: &Value) -> Result<Vec<Vec<u8>>, String> {
        let len = |vector: &Value| match vector {
            Value::Record(parts) => parts.get(1).map_or(Ok(0), |(_, len)| len.number()),
            other => Err(format!("a vector was expected, not {other:?}")),
        };
        vectors.list()?.iter().map(|vector| Ok(vec![0; len(vector)? as usize])).collect()
    }

    fn vectors(&self) -> Result<Outcome, String> {
        let mut buffers = Self::buffers(self.argument(1)?)?;
        let vectors: Vec<iovec> = buffers.iter_mut().map(vector).collect();
        let (table, fd, count) = (&self.stack.table, self.fd(0)?, self.number(2)?);
        Ok(self.done(match self.call.name.as_str() {
            // SAFETY: as in `invoke`.
            "readv" => unsafe { (table.readv)(table.userdata, fd, vectors.as_ptr(), count) },
            // SAFETY: as in `invoke`.
            _ => unsafe { (table.writev)(table.userdata, fd, vectors.as_ptr(), count) },
        } as i64))
    }

    fn message(&self) -> Result<Outcome, String> {
        let vectors = self.argument(1)?.part("msg_iov").ok_or("the message has no msg_iov")?;
        let mut buffers = Self::buffers(vectors)?;
        let mut vectors: Vec<iovec> = buffers.iter_mut().map(vector).collect();
        // SAFETY: null pointers and zero lengths are a message without name and control data.
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = vectors.as_mut_ptr();
        message.msg_iovlen = vectors.len() as _;
        let (table, fd, flags) = (&self.stack.table, self.fd(0)?, self.number(2)?);
        Ok(self.done(match self.call.name.as_str() {
            // SAFETY: as in `invoke`.
            "recvmsg" => unsafe { (table.recvmsg)(table.userdata, fd, &raw mut message, flags) },
            // SAFETY: as in `invoke`.
            _ => unsafe { (table.sendmsg)(table.userdata, fd, &raw const message, flags) },
        } as i64))
    }

    fn ioctl(&self) -> Result<Outcome, String> {
        let table = &self.stack.table;
        let wanted = self.call.arguments.get(2).map(Value::number).transpose()?;
        let mut number: c_int = wanted.unwrap_or(0) as c_int;
        let pointer = if wanted.is_some() { (&raw mut number).cast() } else { ptr::null_mut::<c_void>() };
        // SAFETY: as in `invoke`.
        let outcome = self.done(unsafe { (table.ioctl)(table.userdata, self.fd(0)?, self.number(1)?, pointer) });
        match wanted {
            Some(wanted) if outcome.result == 0 && i64::from(number) != wanted => {
                Err(format!("ioctl gave {number}, not {wanted}"))
            }
            _ => Ok(outcome),
        }
    }

    fn getsockopt(&self) -> Result<Outcome, String> {
        let table = &self.stack.table;
        let wanted_len: usize = self.number(4)?;
        let mut value = vec![0u8; wanted_len];
        let mut len = wanted_len as socklen_t;
        let (fd, level, name, to) = (self.fd(0)?, self.number(1)?, self.number(2)?, value.as_mut_ptr().cast());
        // SAFETY: as in `invoke`.
        let outcome = self.done(unsafe { (table.getsockopt)(table.userdata, fd, level, name, to, &raw mut len) });
        if outcome.result != 0 {
            return Ok(outcome);
        }
        if len as usize != wanted_len {
            return Err(format!("getsockopt gave {len} bytes, not {wanted_len}"));
        }
        match self.argument(3)? {
            Value::Text(text) if value.starts_with(text.as_bytes()) => Ok(outcome),
            Value::Text(text) => Err(format!("getsockopt gave {:?}, not {text}", String::from_utf8_lossy(&value))),
            wanted => {
                let number = value.first_chunk().map_or(0, |bytes| i64::from(c_int::from_ne_bytes(*bytes)));
                let wanted = wanted.number()?;
                if number == wanted { Ok(outcome) } else { Err(format!("getsockopt gave {number}, not {wanted}")) }
            }
        }
    }

    fn setsockopt(&self) -> Result<Outcome, String> {
        let table = &self.stack.table;
        let mut value = match self.argument(3)? {
            Value::Text(text) => text.as_bytes().to_vec(),
            record @ Value::Record(_) => {
                let part = |name| record.part(name).map_or(Ok(0), Value::number);
                let linger = linger { l_onoff: part("onoff")? as c_int, l_linger: part("linger")? as c_int };
                [linger.l_onoff.to_ne_bytes(), linger.l_linger.to_ne_bytes()].concat()
            }
            number => (number.number()? as c_int).to_ne_bytes().to_vec(),
        };
        let len: usize = self.number(4)?;
        value.resize(len.max(value.len()), 0);
        let (fd, level, name, from) = (self.fd(0)?, self.number(1)?, self.number(2)?, value.as_ptr().cast());
        // SAFETY: as in `invoke`.
        Ok(self.done(unsafe { (table.setsockopt)(table.userdata, fd, level, name, from, len as socklen_t) }))
    }

    fn poll(&self) -> Result<Outcome, String> {
        let table = &self.stack.table;
        let entries = self.argument(0)?.list()?;
        let part = |entry: &Value, name: &str| entry.part(name).map_or(Ok(0), Value::number);
        let mut polled = Vec::new();
        for entry in entries {
            let fd = self.descriptors.live(entry.part("fd").ok_or("no fd to poll")?)?;
            polled.push(pollfd { fd, events: part(entry, "events")? as i16, revents: 0 });
        }
        let (count, millis) = (polled.len() as libc::nfds_t, self.number(2)?);
        // SAFETY: as in `invoke`.
        let outcome = self.done(unsafe { (table.poll)(table.userdata, polled.as_mut_ptr(), count, millis) });
        for (entry, polled) in entries.iter().zip(&polled) {
            let wanted = part(entry, "revents")?;
            if i64::from(polled.revents) != wanted {
                return Err(format!("poll gave revents {:#x}, not {wanted:#x}", polled.revents));
            }
        }
        Ok(outcome)
    }

    fn epoll_event(&self, at: usize) -> Result<epoll_event, String> {
        let event = self.argument(at)?;
        let data = event.part("fd").or(event.part("u32")).or(event.part("u64")).or(event.part("ptr"));
        let data = data.map_or(Ok(0), Value::number)?;
        Ok(epoll_event { events: event.part("events").map_or(Ok(0), Value::number)? as u32, u64: data as u64 })
    }

    fn epoll_wait(&self) -> Result<Outcome, String> {
        let table = &self.stack.table;
        let wanted = self.epoll_event(1)?;
        let most: usize = self.number(2)?;
        let mut events = vec![epoll_event { events: 0, u64: 0 }; most];
        let (epfd, to, millis) = (self.fd(0)?, events.as_mut_ptr(), self.number(3)?);
        // SAFETY: as in `invoke`.
        let outcome = self.done(unsafe { (table.epoll_wait)(table.userdata, epfd, to, most as c_int, millis) });
        if outcome.result > 0 {
            let (gave, data) = (events[0].events, events[0].u64);
            let (asked, asked_data) = (wanted.events, wanted.u64);
            if gave != asked || data != asked_data {
                return Err(format!("epoll_wait gave {gave:#x} for {data}, not {asked:#x} for {asked_data}"));
            }
        }
        Ok(outcome)
    }
}

fn vector(buffer: &mut Vec<u8>) -> iovec {
    iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }
}

const NAME_LEN: socklen_t = size_of::<sockaddr_in>() as socklen_t;

fn name(address: [u8; 4], port: u16, family: c_int) -> sockaddr_in {
    sockaddr_in {
        sin_family: family as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address) },
        sin_zero: [0; 8],
    }
}

/// What TCP_INFO says of a socket.
pub(crate) fn tcp_info(stack: &Stack, fd: c_int) -> Result<Vec<u8>, String> {
    let mut info = vec![0u8; 512];
    let mut len = info.len() as socklen_t;
    let (table, to) = (&stack.table, info.as_mut_ptr().cast());
    // SAFETY: room for so many bytes.
    let result = unsafe { (table.getsockopt)(table.userdata, fd, libc::IPPROTO_TCP, libc::TCP_INFO, to, &raw mut len) };
    info.truncate(len as usize);
    if result == 0 { Ok(info) } else { Err("there is no socket whose TCP_INFO could be looked at".into()) }
}
