//! The kernel's TUN/TAP driver: opening a device by name, and what its ioctls say of an open one (Linux
//! Documentation/networking/tuntap.rst). Called by `tap` and `fd`.

use std::ffi::{c_char, c_int, c_short, c_uint};
use std::mem;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Getter, IntegerSetter, Opcode, Setter, Updater, ioctl, opcode};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use wire::ethernet::MacAddr;

const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
const TUNSETOFFLOAD: Opcode = opcode::write::<c_uint>(b'T', 208);
const TUNGETIFF: Opcode = opcode::read::<c_uint>(b'T', 210);
const TUNSETSNDBUF: Opcode = opcode::write::<c_int>(b'T', 212);
const TUNGETVNETHDRSZ: Opcode = opcode::read::<c_int>(b'T', 215);
const TUNSETVNETHDRSZ: Opcode = opcode::write::<c_int>(b'T', 216);
const TUNSETVNETLE: Opcode = opcode::write::<c_int>(b'T', 220);

const SIOCGIFFLAGS: Opcode = libc::SIOCGIFFLAGS as Opcode;
const SIOCGIFMTU: Opcode = libc::SIOCGIFMTU as Opcode;
const SIOCGIFHWADDR: Opcode = libc::SIOCGIFHWADDR as Opcode;

/// The longest name: the kernel's 16 bytes end with a zero.
pub(crate) const MAX_NAME_LEN: usize = libc::IFNAMSIZ - 1;

/// Whether an interface can have this name. `%` is the kernel's pattern for a name it chooses itself.
pub(crate) fn is_interface_name(name: &str) -> bool {
    (1..=MAX_NAME_LEN).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"/:%\x0b".contains(&byte))
}

/// Opens the driver: a descriptor that is no device yet.
pub(crate) fn open_driver() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

/// What a descriptor asks of the TAP interface that it becomes the other end of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// An offload header before each frame.
    pub(crate) vnet_header: bool,
    /// A NAPI instance of its own, through which the kernel takes in what is written.
    pub(crate) napi: bool,
}

/// Makes the descriptor the other end of the TAP interface `name`, without the four bytes of packet information.
pub(crate) fn attach(fd: &OwnedFd, name: &str, asked: Asked) -> Result<(), Errno> {
    match attach_only_queue(fd, name, asked) {
        // A device that was made for several queues is refused to who does not ask for one of them.
        Err(Errno::INVAL) => attach_queue(fd, name, asked),
        result => result,
    }
}

/// Makes the descriptor one of several other ends of the TAP interface `name`. EINVAL also when the interface was not
/// made for several; E2BIG when it has as many as the driver allows.
pub(crate) fn attach_queue(fd: &OwnedFd, name: &str, asked: Asked) -> Result<(), Errno> {
    set_interface(fd, name, tap_flags(asked) | libc::IFF_MULTI_QUEUE)
}

/// Makes the descriptor the only other end of the TAP interface `name`.
pub(crate) fn attach_only_queue(fd: &OwnedFd, name: &str, asked: Asked) -> Result<(), Errno> {
    set_interface(fd, name, tap_flags(asked))
}

fn tap_flags(asked: Asked) -> c_int {
    let offload = if asked.vnet_header { libc::IFF_VNET_HDR } else { 0 };
    let napi = if asked.napi { libc::IFF_NAPI } else { 0 };
    libc::IFF_TAP | libc::IFF_NO_PI | offload | napi
}

fn set_interface(fd: impl AsFd, name: &str, flags: c_int) -> Result<(), Errno> {
    let mut request = request_for(name);
    // The kernel's own IFF_MULTI_QUEUE and IFF_VNET_HDR fit the 16 bits.
    request.ifr_ifru.ifru_flags = flags as c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq.
    unsafe { ioctl(fd, Updater::<TUNSETIFF, _>::new(&mut request)) }
}

/// What an open descriptor is the other end of. Whether four bytes of packet information stand before each frame is
/// not to be learned: the kernel answers with IFF_NOFILTER in the place of IFF_NO_PI.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub(crate) name: String,
    flags: c_int,
}

impl Attachment {
    /// Asks the driver; `None` when the descriptor is none of its own, or no device yet.
    pub(crate) fn of(fd: impl AsFd) -> Option<Self> {
        let mut request = request_for("");
        // SAFETY: TUNGETIFF writes one ifreq; its flags are the short of the union.
        let flags = unsafe {
            ioctl(fd, Updater::<TUNGETIFF, _>::new(&mut request)).ok()?;
            request.ifr_ifru.ifru_flags
        };
        let name = request.ifr_name.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect();
        Some(Self { name: String::from_utf8(name).ok()?, flags: c_int::from(flags as u16) })
    }

    /// Ethernet frames; otherwise bare IP packets.
    pub(crate) fn is_tap(&self) -> bool {
        self.flags & libc::IFF_TAP != 0
    }

    pub(crate) fn has_vnet_header(&self) -> bool {
        self.flags & libc::IFF_VNET_HDR != 0
    }
}

/// The length of the offload header, in bytes.
pub(crate) fn vnet_header_len(fd: impl AsFd) -> Result<usize, Errno> {
    // SAFETY: TUNGETVNETHDRSZ writes one int.
    let len: c_int = unsafe { ioctl(fd, Getter::<TUNGETVNETHDRSZ, c_int>::new()) }?;
    usize::try_from(len).map_err(|_| Errno::INVAL)
}

pub(crate) fn set_vnet_header_len(fd: impl AsFd, len: usize) -> Result<(), Errno> {
    let len = c_int::try_from(len).map_err(|_| Errno::INVAL)?;
    // SAFETY: TUNSETVNETHDRSZ reads one int.
    unsafe { ioctl(fd, Setter::<TUNSETVNETHDRSZ, c_int>::new(len)) }
}

/// Makes the offload header little endian on every machine.
pub(crate) fn set_vnet_little_endian(fd: impl AsFd) -> Result<(), Errno> {
    // SAFETY: TUNSETVNETLE reads one int.
    unsafe { ioctl(fd, Setter::<TUNSETVNETLE, c_int>::new(1)) }
}

/// Says what the kernel may leave to us: checksums, and cutting into segments. Not UDP's segmentation, of which the
/// engine knows nothing, and not the mixed case of a TSO frame with CWR set.
pub(crate) fn accept_offloads(fd: impl AsFd) -> Result<(), Errno> {
    let offloads = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    // SAFETY: TUNSETOFFLOAD takes an integer of TUN_F_* bits.
    unsafe { ioctl(fd, IntegerSetter::<TUNSETOFFLOAD>::new_usize(offloads as usize)) }
}

/// Limits the bytes that were written and that the kernel has not finished with; beyond them a write says EAGAIN.
pub(crate) fn set_send_buffer(fd: impl AsFd, bytes: usize) -> Result<(), Errno> {
    let bytes = c_int::try_from(bytes).map_err(|_| Errno::INVAL)?;
    // SAFETY: TUNSETSNDBUF reads one int.
    unsafe { ioctl(fd, Setter::<TUNSETSNDBUF, c_int>::new(bytes)) }
}

/// Whether there is an interface of this name in our network namespace.
pub(crate) fn interface_exists(name: &str) -> Result<bool, Errno> {
    match ask::<SIOCGIFFLAGS>(name) {
        Ok(_) => Ok(true),
        Err(Errno::NODEV) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the interface is up on the kernel's side.
pub(crate) fn interface_is_up(name: &str) -> Result<bool, Errno> {
    let request = ask::<SIOCGIFFLAGS>(name)?;
    // SAFETY: SIOCGIFFLAGS wrote the short of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(c_int::from(flags) & libc::IFF_UP != 0)
}

/// Waits until the kernel has noticed that its interface has a carrier. It has one from the moment a descriptor is
/// attached, but learns of it in a task of its own, and drops what it sends before: the answer to our first frame. The
/// question whether there is a link makes it look at once.
pub(crate) fn settle_carrier(name: &str) -> Result<(), Errno> {
    /// `struct ethtool_value`.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    const ETHTOOL_GLINK: u32 = 0x0a;
    const SIOCETHTOOL: Opcode = 0x8946;
    let socket = ioctl_socket()?;
    let mut value = Value { command: ETHTOOL_GLINK, data: 0 };
    let mut request = request_for(name);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL takes an ifreq whose data points to the structure of the command, here one ethtool_value that
    // is read and written, and that lives longer than the call.
    unsafe { ioctl(&socket, Updater::<SIOCETHTOOL, _>::new(&mut request)) }
}

/// The largest IP packet of the interface.
pub(crate) fn interface_mtu(name: &str) -> Result<u32, Errno> {
    let request = ask::<SIOCGIFMTU>(name)?;
    // SAFETY: SIOCGIFMTU wrote the int of the union.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    u32::try_from(mtu).map_err(|_| Errno::RANGE)
}

/// The kernel's own address on the interface, not ours.
pub(crate) fn interface_mac(name: &str) -> Result<MacAddr, Errno> {
    Ok(hardware_address(&ask::<SIOCGIFHWADDR>(name)?))
}

/// The same, asked of the device itself, wherever its interface lives.
pub(crate) fn attached_mac(fd: impl AsFd) -> Result<MacAddr, Errno> {
    let mut request = request_for("");
    // SAFETY: on a TAP descriptor too SIOCGIFHWADDR writes into one ifreq.
    unsafe { ioctl(fd, Updater::<SIOCGIFHWADDR, _>::new(&mut request)) }?;
    Ok(hardware_address(&request))
}

fn hardware_address(request: &libc::ifreq) -> MacAddr {
    // SAFETY: the sockaddr of the union is bytes, all of which request_for and SIOCGIFHWADDR have written.
    let octets = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
    let mut mac = [0; 6];
    for (octet, byte) in mac.iter_mut().zip(octets) {
        *octet = byte as u8;
    }
    MacAddr(mac)
}

/// What questions about interfaces are put to. A socket of AF_UNIX serves as well as any other, and Wharf opens no
/// Internet socket of the kernel's.
fn ioctl_socket() -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
}

/// Asks the kernel about an interface.
fn ask<const REQUEST: Opcode>(name: &str) -> Result<libc::ifreq, Errno> {
    let socket = ioctl_socket()?;
    let mut request = request_for(name);
    // SAFETY: the three requests this is called with each take the name and write into the union of one ifreq.
    unsafe { ioctl(&socket, Updater::<REQUEST, _>::new(&mut request)) }?;
    Ok(request)
}

fn request_for(name: &str) -> libc::ifreq {
    // SAFETY: an ifreq of zeros is valid: an empty name and a union of integers, addresses and a null pointer.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero whatever the name's length.
    for (to, byte) in request.ifr_name[..MAX_NAME_LEN].iter_mut().zip(name.bytes()) {
        *to = byte as c_char;
    }
    request
}
