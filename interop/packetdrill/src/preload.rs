//! `getsockopt(2)` by its own name.
//!
//! packetdrill asks for TCP_INFO on behalf of `%{ }%` with the C library's `getsockopt`, not through the table. Where
//! this library is also loaded first (`LD_PRELOAD`), that call comes here; everything that is not ours goes on to the
//! system. Loaded by `--so_filename` alone, nobody calls this.

use std::ffi::{c_int, c_long, c_void};
use std::sync::{Mutex, PoisonError};

use libc::socklen_t;

use crate::calls;
use crate::world::World;

struct Current(*const World);

// SAFETY: the world is shared between threads by its own lock; this is only its address.
unsafe impl Send for Current {}

/// The world of the script that runs now.
static CURRENT: Mutex<Current> = Mutex::new(Current(std::ptr::null()));

/// Says which world the calls are about; null for none.
pub(crate) fn set_current(world: *const World) {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner).0 = world;
}

/// The C library's `getsockopt`, for sockets of ours.
///
/// # Safety
/// As `getsockopt(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: set by `packetdrill_interface_init` and cleared, under this lock, before the world is freed.
    let ours = unsafe { current.0.as_ref() }.filter(|world| world.call(|state| state.descriptors.has(fd)));
    match ours {
        // SAFETY: the caller's promise.
        Some(world) => unsafe { calls::get_option(world, fd, level, name, value, len) },
        // SAFETY: the system checks the arguments.
        None => unsafe { libc::syscall(libc::SYS_getsockopt, c_long::from(fd), level, name, value, len) as c_int },
    }
}
