//! C's side: pointers become slices, results become -1 and errno, and what is not ours goes on to the system.
//!
//! Every function here is called by packetdrill through the table, with what
//! [`packetdrill_interface_init`] has put into `userdata`.

use std::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void};
use std::mem::size_of;
use std::ptr;
use std::slice;
use std::time::Duration;

use libc::{epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval};

use crate::abi::Interface;
use crate::address::{self, Name};
use crate::errno::{Errno, Sys};
use crate::preload;
use crate::settings::Settings;
use crate::state::State;
use crate::world::{Wait, World};

/// Linux's UIO_MAXIOV.
const MOST_VECTORS: usize = 1_024;
/// Not in libc: what was written and never sent; whether the next byte is the urgent one.
const SIOCOUTQNSD: c_ulong = 0x894b;
const SIOCATMARK: c_ulong = 0x8905;

/// The one function that packetdrill looks up by name.
///
/// # Safety
/// `flags` is null or a C string; `interface` points to memory for the table. The calling thread is the one that will
/// walk through the script.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    // SAFETY: the caller's promise.
    let flags = if flags.is_null() { c"" } else { unsafe { CStr::from_ptr(flags) } };
    let settings = match Settings::parse(&flags.to_string_lossy()) {
        Ok(settings) => settings,
        Err(message) => give_up(&message),
    };
    let world = Box::into_raw(Box::new(World::new(settings)));
    preload::set_current(world);
    let table = Interface {
        userdata: world.cast(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    };
    // SAFETY: the caller's promise.
    unsafe { interface.write(table) };
}

/// The interface knows no way to refuse.
#[expect(clippy::print_stderr, reason = "whoever misspelt a flag reads it there")]
fn give_up(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1);
}

/// The world that `userdata` is.
///
/// # Safety
/// `userdata` is what `packetdrill_interface_init` gave, and `free` was not called on it.
unsafe fn world<'a>(userdata: *mut c_void) -> &'a World {
    // SAFETY: the caller's promise.
    unsafe { &*userdata.cast::<World>() }
}

/// A result as C has it.
fn done(result: Sys<c_int>) -> c_int {
    result.unwrap_or_else(|error| {
        error.set();
        -1
    })
}

fn done_long(result: Sys<usize>) -> ssize_t {
    result.map_or_else(
        |error| {
            error.set();
            -1
        },
        |count| ssize_t::try_from(count).unwrap_or(ssize_t::MAX),
    )
}

unsafe extern "C" fn free(userdata: *mut c_void) {
    preload::set_current(ptr::null());
    // SAFETY: made by `Box::into_raw`, and nobody calls anything after this.
    let world = unsafe { Box::from_raw(userdata.cast::<World>()) };
    world.end();
}

unsafe extern "C" fn socket(userdata: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: packetdrill's `userdata`, here and in every function below.
    let world = unsafe { world(userdata) };
    done(world.call(|state| state.open(domain, kind, protocol)))
}

unsafe extern "C" fn bind(userdata: *mut c_void, fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    done(world.call(|state| {
        let family = state.descriptors.socket(fd)?.family;
        // SAFETY: the caller gives a name of that length.
        let name = unsafe { address::read(family, name, len) }?;
        state.bind(fd, name).map(|()| 0)
    }))
}

unsafe extern "C" fn listen(userdata: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    done(world.call(|state| state.listen(fd, backlog)).map(|()| 0))
}

unsafe extern "C" fn accept(userdata: *mut c_void, fd: c_int, name: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    let result = world.call_blocking(|state| receive_wait(state, fd, 0), |state| state.accept(fd));
    done(result.map(|(child, remote)| {
        let family = world.call(|state| state.descriptors.socket(child).map(|socket| socket.family));
        // SAFETY: the caller gives room for a name and its length.
        unsafe { address::write(family.unwrap_or(libc::AF_INET), remote, name, len) };
        child
    }))
}

unsafe extern "C" fn connect(userdata: *mut c_void, fd: c_int, name: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    let begun = world.call(|state| {
        let family = state.descriptors.socket(fd)?.family;
        // SAFETY: the caller gives a name of that length.
        let name = unsafe { address::read(family, name, len) }?;
        state.connect(fd, name)
    });
    let blocking = world.call(|state| state.descriptors.socket(fd).is_ok_and(|socket| !socket.nonblocking));
    let result = match begun {
        Err(Errno(libc::EINPROGRESS | libc::EALREADY)) if blocking => {
            match world.call_blocking(|state| send_wait(state, fd, 0), |state| state.connected(fd)) {
                Err(Errno(libc::EAGAIN)) => Err(Errno(libc::EINPROGRESS)),
                other => other,
            }
        }
        other => other,
    };
    done(result.map(|()| 0))
}

/// For how long a call that takes something may wait.
fn receive_wait(state: &mut State, fd: c_int, flags: c_int) -> Sys<Wait> {
    let socket = state.descriptors.socket(fd)?;
    // Linux: a byte out of band is not waited for.
    let never = flags & (libc::MSG_DONTWAIT | libc::MSG_OOB) != 0;
    Ok(Wait::unless(socket.nonblocking || never, socket.receive_timeout))
}

/// For how long a call that gives something may wait.
fn send_wait(state: &mut State, fd: c_int, flags: c_int) -> Sys<Wait> {
    let socket = state.descriptors.socket(fd)?;
    Ok(Wait::unless(socket.nonblocking || flags & libc::MSG_DONTWAIT != 0, socket.send_timeout))
}

/// `count` vectors as a slice.
///
/// # Safety
/// `vectors` points to so many.
unsafe fn vectors<'a>(vectors: *const iovec, count: usize) -> Sys<&'a [iovec]> {
    match count {
        0 => Ok(&[]),
        _ if count > MOST_VECTORS => Err(Errno(libc::EINVAL)),
        _ if vectors.is_null() => Err(Errno(libc::EFAULT)),
        // SAFETY: the caller's promise.
        _ => Ok(unsafe { slice::from_raw_parts(vectors, count) }),
    }
}

/// Receives into vectors.
///
/// # Safety
/// Each vector that is not null may be written to for its length.
unsafe fn receive(world: &World, fd: c_int, vectors: &[iovec], flags: c_int) -> Sys<usize> {
    let len = vectors.iter().fold(0, |sum: usize, vector| sum.saturating_add(vector.iov_len));
    if flags & libc::MSG_TRUNC == 0 && vectors.iter().any(|vector| vector.iov_base.is_null() && vector.iov_len > 0) {
        // Linux notices when it copies; nothing is lost by noticing before.
        return Err(Errno(libc::EFAULT));
    }
    let received = world.call_blocking(|state| receive_wait(state, fd, flags), |state| state.receive(fd, len, flags));
    let bytes = received?;
    if flags & libc::MSG_TRUNC != 0 {
        // Linux: on a stream, it throws away what it counts.
        return Ok(bytes.len());
    }
    let mut rest = &bytes[..];
    for vector in vectors {
        let (now, later) = rest.split_at(rest.len().min(vector.iov_len));
        if now.is_empty() {
            continue;
        }
        // SAFETY: the caller's promise; no more than the vector's length.
        unsafe { ptr::copy_nonoverlapping(now.as_ptr(), vector.iov_base.cast(), now.len()) };
        rest = later;
    }
    Ok(bytes.len())
}

/// Sends from vectors: all of it, unless the socket does not wait.
///
/// # Safety
/// Each vector that is not null may be read for its length.
unsafe fn transmit(world: &World, fd: c_int, vectors: &[iovec], flags: c_int, name: Option<Name>) -> Sys<usize> {
    let mut bytes = Vec::new();
    for vector in vectors.iter().filter(|vector| vector.iov_len > 0) {
        if vector.iov_base.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: the caller's promise.
        bytes.extend_from_slice(unsafe { slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len) });
    }
    let mut sent = 0;
    if world.call(|state| state.opens_by_sending(fd, flags))? {
        sent = world.call(|state| state.open_by_sending(fd, name, &bytes))?;
        match world.call_blocking(|state| send_wait(state, fd, flags), |state| state.connected(fd)) {
            Ok(()) => {}
            Err(Errno(libc::EAGAIN)) if sent > 0 => return Ok(sent),
            Err(Errno(libc::EAGAIN)) => return Err(Errno(libc::EINPROGRESS)),
            Err(error) => return Err(error),
        }
        if sent == bytes.len() {
            return Ok(sent);
        }
    }
    let flags = flags & !libc::MSG_FASTOPEN;
    let result = world.call_blocking(
        |state| send_wait(state, fd, flags),
        |state| {
            sent += state.send(fd, &bytes[sent..], flags)?;
            if sent < bytes.len() { Err(Errno(libc::EAGAIN)) } else { Ok(()) }
        },
    );
    match result {
        Err(error) if sent == 0 => Err(error),
        _ => Ok(sent),
    }
}

/// Whether `fd` is a socket of ours; other descriptors go to the system.
fn is_ours(world: &World, fd: c_int) -> bool {
    world.call(|state| state.descriptors.has(fd))
}

unsafe extern "C" fn read(userdata: *mut c_void, fd: c_int, to: *mut c_void, len: size_t) -> ssize_t {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    if !is_ours(world, fd) {
        // SAFETY: the caller's arguments, which the system checks.
        return unsafe { libc::read(fd, to, len) };
    }
    // SAFETY: the caller gives room for so many bytes.
    done_long(unsafe { receive(world, fd, &[iovec { iov_base: to, iov_len: len }], 0) })
}

unsafe extern "C" fn readv(userdata: *mut c_void, fd: c_int, to: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    if !is_ours(world, fd) {
        // SAFETY: the caller's arguments, which the system checks.
        return unsafe { libc::readv(fd, to, count) };
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    // SAFETY: the caller gives so many vectors, each with room.
    done_long(unsafe { vectors(to, count).and_then(|to| receive(world, fd, to, 0)) })
}

unsafe extern "C" fn recv(userdata: *mut c_void, fd: c_int, to: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: as above; the caller gives room for so many bytes.
    done_long(unsafe { receive(world(userdata), fd, &[iovec { iov_base: to, iov_len: len }], flags) })
}

unsafe extern "C" fn recvfrom(
    userdata: *mut c_void,
    fd: c_int,
    to: *mut c_void,
    len: size_t,
    flags: c_int,
    _name: *mut sockaddr,
    name_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: as above; the caller gives room for so many bytes.
    let result = unsafe { receive(world(userdata), fd, &[iovec { iov_base: to, iov_len: len }], flags) };
    if result.is_ok() && !name_len.is_null() {
        // SAFETY: the caller gives room for the length. A stream names nobody.
        unsafe { *name_len = 0 };
    }
    done_long(result)
}

unsafe extern "C" fn recvmsg(userdata: *mut c_void, fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: as above; the caller gives a message, or null.
    let (world, message) = unsafe { (world(userdata), message.as_mut()) };
    let Some(message) = message else { return done_long(Err(Errno(libc::EFAULT))) };
    // SAFETY: the caller's message says how many vectors it has, each with room.
    let result = unsafe { vectors(message.msg_iov, message.msg_iovlen).and_then(|to| receive(world, fd, to, flags)) };
    if result.is_ok() {
        message.msg_namelen = 0;
        message.msg_controllen = 0;
        message.msg_flags = 0;
    }
    done_long(result)
}

unsafe extern "C" fn write(userdata: *mut c_void, fd: c_int, from: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    if !is_ours(world, fd) {
        // SAFETY: the caller's arguments, which the system checks.
        return unsafe { libc::write(fd, from, len) };
    }
    // SAFETY: the caller gives so many bytes.
    done_long(unsafe { transmit(world, fd, &[iovec { iov_base: from.cast_mut(), iov_len: len }], 0, None) })
}

unsafe extern "C" fn writev(userdata: *mut c_void, fd: c_int, from: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    if !is_ours(world, fd) {
        // SAFETY: the caller's arguments, which the system checks.
        return unsafe { libc::writev(fd, from, count) };
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    // SAFETY: the caller gives so many vectors of bytes.
    done_long(unsafe { vectors(from, count).and_then(|from| transmit(world, fd, from, 0, None)) })
}

unsafe extern "C" fn send(userdata: *mut c_void, fd: c_int, from: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: as above; the caller gives so many bytes.
    done_long(unsafe {
        transmit(world(userdata), fd, &[iovec { iov_base: from.cast_mut(), iov_len: len }], flags, None)
    })
}

/// The name that a `send` gives: Linux looks at it with MSG_FASTOPEN only, as a stream has its peer already.
///
/// # Safety
/// `name` is null or points to `len` readable bytes.
unsafe fn named(world: &World, fd: c_int, name: *const sockaddr, len: socklen_t, flags: c_int) -> Sys<Option<Name>> {
    if flags & libc::MSG_FASTOPEN == 0 || name.is_null() {
        return Ok(None);
    }
    let family = world.call(|state| state.descriptors.socket(fd).map(|socket| socket.family))?;
    // SAFETY: the caller's promise.
    unsafe { address::read(family, name, len) }.map(Some)
}

unsafe extern "C" fn sendto(
    userdata: *mut c_void,
    fd: c_int,
    from: *const c_void,
    len: size_t,
    flags: c_int,
    name: *const sockaddr,
    name_len: socklen_t,
) -> ssize_t {
    // SAFETY: as above; the caller gives so many bytes, and a name of that length.
    done_long(unsafe {
        let world = world(userdata);
        let vector = iovec { iov_base: from.cast_mut(), iov_len: len };
        named(world, fd, name, name_len, flags).and_then(|name| transmit(world, fd, &[vector], flags, name))
    })
}

unsafe extern "C" fn sendmsg(userdata: *mut c_void, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: as above; the caller gives a message, or null.
    let (world, message) = unsafe { (world(userdata), message.as_ref()) };
    let Some(message) = message else { return done_long(Err(Errno(libc::EFAULT))) };
    if message.msg_controllen > 0 {
        return done_long(Err(Errno(libc::EINVAL)));
    }
    // SAFETY: the caller's message says how many vectors of bytes it has, and how long its name is.
    done_long(unsafe {
        let name = named(world, fd, message.msg_name.cast(), message.msg_namelen, flags);
        let from = vectors(message.msg_iov, message.msg_iovlen);
        name.and_then(|name| from.and_then(|from| transmit(world, fd, from, flags, name)))
    })
}

unsafe extern "C" fn fcntl(userdata: *mut c_void, fd: c_int, command: c_int, argument: c_long) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    if !is_ours(world, fd) {
        // SAFETY: the caller's arguments, which the system checks.
        return unsafe { libc::fcntl(fd, command, argument) };
    }
    done(world.call(|state| {
        let socket = state.descriptors.socket(fd)?;
        match command {
            libc::F_GETFL => Ok(libc::O_RDWR | if socket.nonblocking { libc::O_NONBLOCK } else { 0 }),
            libc::F_SETFL => {
                socket.nonblocking = argument & c_long::from(libc::O_NONBLOCK) != 0;
                Ok(0)
            }
            // What lives in the descriptor and not in the socket: the real one has it.
            // SAFETY: commands whose argument is a number.
            libc::F_GETFD | libc::F_SETFD => match unsafe { libc::fcntl(fd, command, argument) } {
                -1 => Err(Errno::last()),
                value => Ok(value),
            },
            _ => Err(Errno(libc::EINVAL)),
        }
    }))
}

unsafe extern "C" fn ioctl(userdata: *mut c_void, fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    if !is_ours(world, fd) {
        // SAFETY: the caller's arguments, which the system checks.
        return unsafe { libc::ioctl(fd, request as _, argument) };
    }
    let number = argument.cast::<c_int>();
    done(world.call(|state| {
        let count = match request {
            libc::FIONREAD => state.unread(fd)?,
            libc::TIOCOUTQ => state.unacknowledged(fd)?.0,
            SIOCOUTQNSD => state.unacknowledged(fd)?.1,
            SIOCATMARK => usize::from(state.is_at_mark(fd)?),
            libc::FIONBIO if !number.is_null() => {
                // SAFETY: FIONBIO points to a number.
                state.descriptors.socket(fd)?.nonblocking = unsafe { *number } != 0;
                return Ok(0);
            }
            libc::FIONBIO => return Err(Errno(libc::EFAULT)),
            _ => return Err(Errno(libc::ENOTTY)),
        };
        if number.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: these requests point to room for a number.
        unsafe { *number = c_int::try_from(count).unwrap_or(c_int::MAX) };
        Ok(0)
    }))
}

unsafe extern "C" fn close(userdata: *mut c_void, fd: c_int) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    if !is_ours(world, fd) {
        // SAFETY: whoever closes a descriptor of the system has it.
        return unsafe { libc::close(fd) };
    }
    // RFC 9293 section 3.9.1.5, and POSIX: SO_LINGER with a time waits for the last acknowledgement, even where the
    // socket does not wait otherwise.
    let linger = world.call(|state| state.descriptors.socket(fd).ok().and_then(|socket| socket.linger));
    if let Some(time) = linger
        && !time.is_zero()
        && world.call(|state| state.begin_to_linger(fd))
    {
        // Whether it was long enough or not, the descriptor goes.
        let _in_time = world.call_blocking(|_| Ok(Wait::For(Some(time))), |state| state.lingered(fd));
    }
    done(world.call(|state| state.close(fd)).map(|()| 0))
}

unsafe extern "C" fn shutdown(userdata: *mut c_void, fd: c_int, how: c_int) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    done(world.call(|state| state.shutdown(fd, how)).map(|()| 0))
}

unsafe extern "C" fn getsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: as above; the caller's value and length.
    unsafe { get_option(world(userdata), fd, level, name, value, len) }
}

/// `getsockopt(2)`, for the table and for the name.
///
/// # Safety
/// `len` is null or points to the number of bytes that may be written to `value`.
pub(crate) unsafe fn get_option(
    world: &World,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    done(world.call(|state| {
        if len.is_null() || value.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        let bytes = state.option(fd, level, name)?;
        // SAFETY: the caller's promise.
        unsafe {
            let count = bytes.len().min(*len as usize);
            ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast(), count);
            *len = count as socklen_t;
        }
        Ok(0)
    }))
}

unsafe extern "C" fn setsockopt(
    userdata: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    done(world.call(|state| {
        if value.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: the caller gives so many bytes.
        let value = unsafe { slice::from_raw_parts(value.cast::<u8>(), len as usize) };
        state.set_option(fd, level, name, value).map(|()| 0)
    }))
}

/// A time-out in milliseconds, negative for none.
fn timeout(millis: c_int) -> Wait {
    match millis {
        0 => Wait::No,
        _ => Wait::For(u64::try_from(millis).ok().map(Duration::from_millis)),
    }
}

unsafe extern "C" fn poll(userdata: *mut c_void, entries: *mut pollfd, count: nfds_t, millis: c_int) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    if entries.is_null() && count > 0 {
        return done(Err(Errno(libc::EFAULT)));
    }
    // SAFETY: the caller gives so many entries, and nobody else touches them during the call.
    let entries = if count == 0 { &mut [] } else { unsafe { slice::from_raw_parts_mut(entries, count as usize) } };
    match world.call_blocking(|_| Ok(timeout(millis)), |state| state.poll(entries)) {
        Err(Errno(libc::EAGAIN)) => 0,
        other => done(other),
    }
}

unsafe extern "C" fn netdev_send(userdata: *mut c_void, packet: *const c_void, len: size_t) -> c_int {
    // SAFETY: as above; packetdrill gives a packet of that length.
    let (world, packet) = unsafe { (world(userdata), slice::from_raw_parts(packet.cast::<u8>(), len)) };
    world.call(|state| state.machine.receive(packet));
    0
}

unsafe extern "C" fn netdev_receive(
    userdata: *mut c_void,
    to: *mut c_void,
    len: *mut size_t,
    time: *mut c_longlong,
) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    let packet = world.next_packet();
    // SAFETY: packetdrill gives room for `*len` bytes, and for the two numbers.
    unsafe {
        // No packet will ever come: zero bytes, which packetdrill reports as an error, instead of waiting for ever.
        let (bytes, at) =
            packet.as_ref().map_or((&[][..], world.look_at_clock()), |packet| (&packet.bytes[..], packet.at));
        let count = bytes.len().min(*len);
        ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), count);
        *len = count;
        *time = c_longlong::try_from(at.as_nanos() / 1_000).unwrap_or(c_longlong::MAX);
    }
    0
}

unsafe extern "C" fn usleep(userdata: *mut c_void, micros: c_uint) -> c_int {
    // SAFETY: as above.
    unsafe { world(userdata) }.sleep(Duration::from_micros(micros.into()));
    0
}

unsafe extern "C" fn gettimeofday(userdata: *mut c_void, time: *mut timeval, _zone: *mut c_void) -> c_int {
    // SAFETY: as above.
    let now = unsafe { world(userdata) }.look_at_clock();
    let micros = now.as_nanos() / 1_000;
    // SAFETY: the caller gives room for the time, or null.
    if let Some(time) = unsafe { time.as_mut() } {
        time.tv_sec = (micros / 1_000_000).cast_signed();
        time.tv_usec = (micros % 1_000_000).cast_signed();
    }
    0
}

unsafe extern "C" fn epoll_create(userdata: *mut c_void, size: c_int) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    done(world.call(|state| state.epoll_create(size)))
}

unsafe extern "C" fn epoll_ctl(
    userdata: *mut c_void,
    epfd: c_int,
    op: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: as above; the caller gives an event, or null. The structure is packed, so it is read as a whole.
    let (world, event) = unsafe { (world(userdata), (!event.is_null()).then(|| event.read_unaligned())) };
    done(world.call(|state| state.epoll_ctl(epfd, op, fd, event)).map(|()| 0))
}

unsafe extern "C" fn epoll_wait(
    userdata: *mut c_void,
    epfd: c_int,
    events: *mut epoll_event,
    most: c_int,
    millis: c_int,
) -> c_int {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    let Some(room) = usize::try_from(most).ok().filter(|room| *room > 0) else {
        return done(Err(Errno(libc::EINVAL)));
    };
    match world.call_blocking(|_| Ok(timeout(millis)), |state| state.epoll_wait(epfd, room)) {
        Err(Errno(libc::EAGAIN)) => 0,
        Err(error) => done(Err(error)),
        Ok(ready) => {
            for (at, event) in ready.iter().enumerate() {
                // SAFETY: no more than the caller gave room for.
                unsafe { events.add(at).write_unaligned(*event) };
            }
            ready.len() as c_int
        }
    }
}

unsafe extern "C" fn pipe(_userdata: *mut c_void, ends: *mut c_int) -> c_int {
    // SAFETY: the caller gives room for two numbers.
    unsafe { libc::pipe(ends) }
}

unsafe extern "C" fn splice(
    userdata: *mut c_void,
    fd_in: c_int,
    offset_in: *mut loff_t,
    fd_out: c_int,
    offset_out: *mut loff_t,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    // SAFETY: as above.
    let world = unsafe { world(userdata) };
    let dont_wait = if flags & libc::SPLICE_F_NONBLOCK != 0 { libc::MSG_DONTWAIT } else { 0 };
    match (is_ours(world, fd_in), is_ours(world, fd_out)) {
        (true, true) => done_long(Err(Errno(libc::EINVAL))),
        (true, false) => done_long(world.call_blocking(
            |state| receive_wait(state, fd_in, dont_wait),
            |state| state.splice_out(fd_in, fd_out, len),
        )),
        (false, true) => {
            done_long(world.call_blocking(
                |state| send_wait(state, fd_out, dont_wait),
                |state| state.splice_in(fd_in, fd_out, len),
            ))
        }
        // SAFETY: the caller's arguments, which the system checks.
        (false, false) => unsafe { libc::splice(fd_in, offset_in, fd_out, offset_out, len, flags) },
    }
}

const _: () = assert!(size_of::<Interface>() == 33 * size_of::<usize>());
