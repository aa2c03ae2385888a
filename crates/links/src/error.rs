//! Why a link could not be opened, as a sentence with what to do about it.

use std::fmt;
use std::io;

use crate::user::UserError;

/// Why a link could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// No interface can have this name: the kernel takes 1 to 15 bytes without blanks, `/`, `:` and `%`.
    Name(String),
    /// There is no interface of this name.
    NoInterface(String),
    /// The interface is there but is no TAP device.
    NotTap(String),
    /// Another program has the TAP device open.
    Busy(String),
    /// The TAP device was made for one queue.
    OneQueue(String),
    /// The TAP device has as many queues as there can be.
    NoQueueLeft(String),
    /// So many queues no TAP device can have: 1 to 256.
    QueueCount(usize),
    /// The TAP device belongs to another user.
    NotPermitted(String),
    /// The kernel's half of the TAP device cannot be given a thread of its own.
    NotThreaded {
        /// The interface.
        name: String,
        /// Why its setting could not be made.
        error: io::Error,
    },
    /// `/dev/net/tun` is not there: the kernel has no TUN/TAP driver, or it is not loaded.
    NoDriver,
    /// `/dev/net/tun` is there, but not for this user.
    DriverNotPermitted,
    /// The number is not that of an open descriptor.
    NotOpen(i32),
    /// The descriptor is open, but frames cannot cross it; the text says what it is.
    NotALink {
        /// What messages call the descriptor.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// The largest packet asked for is outside of what the link can carry, 68 to 65535 bytes.
    Mtu(u32),
    /// The largest packet of this TAP device is its interface's, and not ours to choose.
    TapMtu(String),
    /// The user-mode gateway could not be made.
    User(UserError),
    /// A call to the kernel failed that should not.
    System {
        /// What messages call the link.
        name: String,
        /// What was asked.
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
}

impl OpenError {
    pub(crate) fn system(name: &str, what: &'static str, error: impl Into<io::Error>) -> Self {
        Self::System { name: name.to_owned(), what, error: error.into() }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "no interface can be called {name:?}: a name has 1 to 15 bytes, without blanks, '/', ':' and '%'"
            ),
            Self::NoInterface(name) => write!(
                f,
                "there is no interface {name}; make it: ip tuntap add dev {name} mode tap user $USER && \
                 ip link set {name} up"
            ),
            Self::NotTap(name) => write!(
                f,
                "{name} is not a TAP device; make one of another name: ip tuntap add dev NAME mode tap user $USER"
            ),
            Self::Busy(name) => {
                write!(
                    f,
                    "another program uses {name}; end it, or make one queue for each: ip tuntap add ... multi_queue"
                )
            }
            Self::OneQueue(name) => write!(
                f,
                "{name} was made for one queue; make it for several: ip tuntap del dev {name} mode tap && \
                 ip tuntap add dev {name} mode tap multi_queue user $USER"
            ),
            Self::NoQueueLeft(name) => write!(f, "all queues of {name} are in use: end a program that uses it"),
            Self::QueueCount(count) => write!(f, "{count} queues are not possible: 1 to 256 are"),
            Self::NotPermitted(name) => write!(
                f,
                "{name} belongs to another user; give it to this one: ip tuntap del dev {name} mode tap && \
                 ip tuntap add dev {name} mode tap user $USER"
            ),
            Self::NotThreaded { name, error } => write!(
                f,
                "/sys/class/net/{name}/threaded cannot be set: {error}; open {name} so once as root of its network \
                 namespace, with that namespace's /sys: the device keeps the setting"
            ),
            Self::NoDriver => f.write_str("there is no /dev/net/tun; load the driver: modprobe tun"),
            Self::DriverNotPermitted => f.write_str(
                "/dev/net/tun is closed to this user; open it to all, as udev does: chmod 0666 /dev/net/tun",
            ),
            Self::NotOpen(number) => {
                write!(f, "fd:{number} is not open; pass it to this program without close-on-exec, as in {number}<>...")
            }
            Self::NotALink { name, what } => write!(
                f,
                "{name} is {what}, which carries no Ethernet frames; a TAP device or a datagram, seqpacket or stream \
                 socket does"
            ),
            Self::Mtu(mtu) => write!(f, "an MTU of {mtu} is not possible: 68 to 65535 bytes are"),
            Self::TapMtu(name) => {
                write!(f, "the MTU of {name} is the interface's; set it there: ip link set {name} mtu BYTES")
            }
            Self::User(error) => error.fmt(f),
            Self::System { name, what, error } => write!(f, "{name}: {what}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { error, .. } | Self::NotThreaded { error, .. } => Some(error),
            Self::User(error) => error.source(),
            _ => None,
        }
    }
}
