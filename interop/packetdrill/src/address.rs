//! Socket addresses between C's memory and Rust's types. An AF_INET6 socket speaks IPv4 through mapped addresses
//! (RFC 4291 section 2.5.5.2), as packetdrill's `ipv4-mapped-ipv6` mode has it.

use std::ffi::c_int;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ptr;

use libc::{sa_family_t, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};

use crate::errno::{Errno, Sys};

/// What `connect` and `bind` can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// AF_UNSPEC: let go of the peer.
    Unspecified,
    /// An address; mapped ones are IPv4 already.
    Address(SocketAddr),
}

/// Reads an address for a socket of `family`.
///
/// # Safety
/// `name` is null or points to `len` readable bytes.
pub(crate) unsafe fn read(family: c_int, name: *const sockaddr, len: socklen_t) -> Sys<Name> {
    if name.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    let len = len as usize;
    if len < size_of::<sa_family_t>() || len > size_of::<sockaddr_storage>() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: zero bytes are an address without a family.
    let mut storage: sockaddr_storage = unsafe { std::mem::zeroed() };
    // SAFETY: the caller's promise; `len` is at most the size of the storage.
    unsafe { ptr::copy_nonoverlapping(name.cast::<u8>(), (&raw mut storage).cast::<u8>(), len) };
    match c_int::from(storage.ss_family) {
        libc::AF_UNSPEC => Ok(Name::Unspecified),
        libc::AF_INET if len < size_of::<sockaddr_in>() => Err(Errno(libc::EINVAL)),
        libc::AF_INET if family == libc::AF_INET => {
            // SAFETY: sockaddr_storage holds and aligns every kind of address; this one says that it is sockaddr_in.
            let v4 = unsafe { &*(&raw const storage).cast::<sockaddr_in>() };
            let address = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Ok(Name::Address(SocketAddr::new(IpAddr::V4(address), u16::from_be(v4.sin_port))))
        }
        // The scope at the end may be missing (RFC 2133 had none).
        libc::AF_INET6 if len < offset_of!(sockaddr_in6, sin6_scope_id) => Err(Errno(libc::EINVAL)),
        libc::AF_INET6 if family == libc::AF_INET6 => {
            // SAFETY: as above, and the rest of the storage is zero.
            let v6 = unsafe { &*(&raw const storage).cast::<sockaddr_in6>() };
            let address = Ipv6Addr::from(v6.sin6_addr.s6_addr).to_canonical();
            Ok(Name::Address(SocketAddr::new(address, u16::from_be(v6.sin6_port))))
        }
        _ => Err(Errno(libc::EAFNOSUPPORT)),
    }
}

/// Writes an address as a socket of `family` shows it, cut to the room that there is, as `accept` and its like do.
///
/// # Safety
/// `name` is null, or `len` points to the number of bytes that may be written there.
pub(crate) unsafe fn write(family: c_int, address: SocketAddr, name: *mut sockaddr, len: *mut socklen_t) {
    if name.is_null() || len.is_null() {
        return;
    }
    // SAFETY: as in `read`.
    let mut storage: sockaddr_storage = unsafe { std::mem::zeroed() };
    let size = match (family, address) {
        (libc::AF_INET, SocketAddr::V4(v4)) => {
            let out = (&raw mut storage).cast::<sockaddr_in>();
            // SAFETY: sockaddr_storage holds and aligns a sockaddr_in.
            unsafe {
                (*out).sin_family = libc::AF_INET as sa_family_t;
                (*out).sin_port = v4.port().to_be();
                (*out).sin_addr.s_addr = v4.ip().to_bits().to_be();
            }
            size_of::<sockaddr_in>()
        }
        (_, address) => {
            let v6 = match address {
                SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
                SocketAddr::V6(v6) => v6,
            };
            let out = (&raw mut storage).cast::<sockaddr_in6>();
            // SAFETY: sockaddr_storage holds and aligns a sockaddr_in6.
            unsafe {
                (*out).sin6_family = libc::AF_INET6 as sa_family_t;
                (*out).sin6_port = v6.port().to_be();
                (*out).sin6_addr.s6_addr = v6.ip().octets();
            }
            size_of::<sockaddr_in6>()
        }
    };
    // SAFETY: the caller's promise; no more is copied than there is on either side.
    unsafe {
        let room = (*len as usize).min(size);
        ptr::copy_nonoverlapping((&raw const storage).cast::<u8>(), name.cast::<u8>(), room);
        *len = size as socklen_t;
    }
}
