//! A TAP device: the kernel's network stack at the other end of a descriptor, with checksum and segmentation offload
//! in both directions by the virtio-net header. Opened by `spec` (`tap:NAME`) and by `fd` when the descriptor it was
//! given is one.
//!
//! One frame is one system call: `read` into one buffer, `writev` of header and ring slices without a copy. What makes
//! this fast is that a frame may be 64 KiB long.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use rustix::io::Errno;
use wire::ethernet::MacAddr;

use crate::counters::Counters;
use crate::descriptor::Descriptor;
use crate::error::OpenError;
use crate::tun::Asked;
use crate::vnet::{self, VnetHeader};
use crate::{Link, gather, mac, threaded, tun};

/// The largest IP packet of any kind that an offloading device is given or gives: an IPv4 header's total length.
const MAX_PACKET: usize = 65_535;

/// Ethernet's header and two VLAN tags.
const MAX_ETHERNET_HEADER: usize = 22;

/// The IPv6 header, which its payload length does not count.
const IPV6_HEADER: usize = 40;

/// The most queues of one TAP interface: MAX_TAP_QUEUES of Linux's drivers/net/tun.c.
pub const MAX_QUEUES: usize = 256;

/// The bytes, as the kernel counts its buffers, that may wait for the kernel's thread: the driver itself has no limit
/// for them, and a flood that outruns the thread would take all memory.
const THREADED_QUEUE: usize = 4 << 20;

/// How a TAP device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapOptions {
    /// Our hardware address; `None` derives one from the kernel's, so that it is the same every time.
    pub mac: Option<MacAddr>,
    /// Whether checksums and segmentation are left to the other side, both ways.
    pub offload: bool,
    /// Whether the kernel takes in what is transmitted on a thread of its own (`napi/NAME-0` in a list of processes),
    /// and not within `transmit`. It merges the segments of a stream there before its TCP sees them, so that a device
    /// without offload sends faster where a second processor is free (docs/performance.md). A frame that comes alone
    /// costs a wake-up more, and on a busy machine the thread, of ordinary priority, waits for its turn.
    ///
    /// It takes Linux 5.12, and CAP_NET_ADMIN in the device's network namespace the first time: the device keeps the
    /// setting (`/sys/class/net/NAME/threaded`) for whoever opens it so later. The bytes that wait for the thread are
    /// limited; [`set_queue_limit`](Tap::set_queue_limit) changes it.
    pub threaded: bool,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self { mac: None, offload: true, threaded: false }
    }
}

/// One queue of a TAP device.
pub struct Tap {
    descriptor: Descriptor,
    /// What messages call it.
    name: String,
    /// The interface's name in our network namespace; `None` when it lives in another.
    interface: Option<String>,
    capabilities: Capabilities,
    /// Bytes of offload header before each frame; 0 without offload.
    header_len: usize,
    /// One frame and its header, and one byte more: a read that fills it all was cut.
    buffer: Box<[u8]>,
    /// For frames in more pieces than one call takes.
    scratch: Vec<u8>,
    /// Whether the last frame was not refused for the interface being down.
    up: bool,
}

impl Tap {
    /// Attaches to the TAP interface `name`, which exists: `ip tuntap add dev NAME mode tap user $USER`. Its
    /// addresses, its MTU and whether it is up are the administrator's, and stay as they are.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(name: &str) -> Result<Self, OpenError> {
        Self::open_with(name, TapOptions::default())
    }

    /// [`open`](Self::open) with options.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open_with(name: &str, options: TapOptions) -> Result<Self, OpenError> {
        Self::open_attached(name, options, tun::attach)
    }

    /// Attaches to `count` queues of the TAP interface `name`, which was made for several: `ip tuntap add dev NAME
    /// mode tap multi_queue user $USER`. All have the same hardware address: they are one station, whose frames the
    /// kernel spreads over the queues; [`steered::join`](crate::steered::join) makes them links of several engines.
    ///
    /// The kernel chooses the queue by a hash of a frame's addresses and ports, under a secret of its own; for a flow
    /// of which it has seen a frame of ours in the last three seconds it is the queue by which that came (`automq` in
    /// Linux's drivers/net/tun.c, for up to 4,096 flows). Fragments and frames that are not IP have no ports: those of
    /// two stations take one queue.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open_queues(name: &str, count: usize) -> Result<Vec<Self>, OpenError> {
        Self::open_queues_with(name, count, TapOptions::default())
    }

    /// [`open_queues`](Self::open_queues) with options.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open_queues_with(name: &str, count: usize, options: TapOptions) -> Result<Vec<Self>, OpenError> {
        if !(1..=MAX_QUEUES).contains(&count) {
            return Err(OpenError::QueueCount(count));
        }
        let opened = (0..count).map(|_| Self::open_attached(name, options, tun::attach_queue)).collect();
        match opened {
            // What is a TAP device when it is asked for as one of a single queue was not made for several. One that is
            // busy then is the same in use; one that was made for several, and is full, said so before.
            Err(OpenError::NotTap(_)) => match Self::open_attached(name, options, tun::attach_only_queue) {
                Ok(_) | Err(OpenError::Busy(_)) => Err(OpenError::OneQueue(name.to_owned())),
                Err(error) => Err(error),
            },
            opened => opened,
        }
    }

    fn open_attached(
        name: &str,
        options: TapOptions,
        attach: impl FnOnce(&OwnedFd, &str, Asked) -> Result<(), Errno>,
    ) -> Result<Self, OpenError> {
        if !tun::is_interface_name(name) {
            return Err(OpenError::Name(name.to_owned()));
        }
        // For root the driver would make a new interface, without an address and down: no help to anybody.
        if !tun::interface_exists(name).map_err(|error| OpenError::system(name, "looking it up", error))? {
            return Err(OpenError::NoInterface(name.to_owned()));
        }
        let fd = tun::open_driver().map_err(|error| match error {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => OpenError::NoDriver,
            Errno::ACCESS | Errno::PERM => OpenError::DriverNotPermitted,
            error => OpenError::system(name, "opening /dev/net/tun", error),
        })?;
        let asked = Asked { vnet_header: options.offload, napi: options.threaded };
        attach(&fd, name, asked).map_err(|error| match error {
            Errno::BUSY => OpenError::Busy(name.to_owned()),
            Errno::TOOBIG => OpenError::NoQueueLeft(name.to_owned()),
            Errno::PERM => OpenError::NotPermitted(name.to_owned()),
            Errno::INVAL => OpenError::NotTap(name.to_owned()),
            error => OpenError::system(name, "attaching to it", error),
        })?;
        if options.offload {
            tun::set_vnet_header_len(&fd, vnet::HEADER_LEN)
                .map_err(|error| OpenError::system(name, "setting the offload header's length", error))?;
        }
        if options.threaded {
            let own_mac =
                tun::attached_mac(&fd).map_err(|error| OpenError::system(name, "asking its address", error))?;
            threaded::enable(name, own_mac).map_err(|error| OpenError::NotThreaded { name: name.to_owned(), error })?;
            tun::set_send_buffer(&fd, THREADED_QUEUE)
                .map_err(|error| OpenError::system(name, "limiting its queue", error))?;
        }
        let header_len = if options.offload { vnet::HEADER_LEN } else { 0 };
        Self::attached(fd, name.to_owned(), name, header_len, options.mac, None)
    }

    /// A TAP descriptor that somebody else opened; `label` is what messages call it.
    pub(crate) fn from_attached(
        fd: OwnedFd,
        label: String,
        attachment: &tun::Attachment,
        mtu: Option<u32>,
    ) -> Result<Self, OpenError> {
        let not = |what| OpenError::NotALink { name: label.clone(), what };
        if !attachment.is_tap() {
            return Err(not("a TUN device (bare IP packets)"));
        }
        let header_len = if attachment.has_vnet_header() {
            let len = tun::vnet_header_len(&fd)
                .map_err(|error| OpenError::system(&label, "asking for the offload header's length", error))?;
            if !(vnet::HEADER_LEN..=vnet::MAX_HEADER_LEN).contains(&len) {
                return Err(not("a TAP device with an offload header of an unknown kind"));
            }
            len
        } else {
            0
        };
        Self::attached(fd, label.clone(), &attachment.name, header_len, None, mtu)
    }

    fn attached(
        fd: OwnedFd,
        label: String,
        interface: &str,
        header_len: usize,
        mac: Option<MacAddr>,
        mtu: Option<u32>,
    ) -> Result<Self, OpenError> {
        let offload = header_len > 0;
        if offload {
            tun::set_vnet_little_endian(&fd)
                .map_err(|error| OpenError::system(&label, "setting the offload header's byte order", error))?;
            tun::accept_offloads(&fd).map_err(|error| OpenError::system(&label, "accepting offloads", error))?;
        }
        // A descriptor from another namespace: its interface is not to be found here, or another has its name. The
        // driver itself knows the address, and when the two agree it is the same interface.
        let own_mac = tun::attached_mac(&fd).map_err(|error| OpenError::system(&label, "asking its address", error))?;
        let is_here = tun::interface_mac(interface).is_ok_and(|found| found == own_mac);
        let interface = is_here.then(|| interface.to_owned());
        let mtu = match (mtu, &interface) {
            (Some(mtu), _) => mtu,
            (None, Some(interface)) => {
                tun::interface_mtu(interface).map_err(|error| OpenError::system(&label, "asking its MTU", error))?
            }
            (None, None) => crate::fd::DEFAULT_MTU,
        };
        if !crate::fd::MTU_RANGE.contains(&mtu) {
            return Err(OpenError::Mtu(mtu));
        }
        // Another frame than the kernel's own address must come of it, whatever that is.
        let mac = mac.unwrap_or_else(|| mac::derived(&own_mac.0));
        let capabilities =
            Capabilities { mac, mtu, tx_checksum: offload, tx_segmentation: offload.then_some(MAX_PACKET as u32) };
        if let Some(interface) = &interface {
            // A kernel that does not know the question costs us at worst the first answer, as on any wire.
            let _ = tun::settle_carrier(interface);
        }
        let up = interface.as_deref().is_none_or(|name| tun::interface_is_up(name).unwrap_or(true));
        let buffer_len = header_len + MAX_ETHERNET_HEADER + MAX_PACKET + IPV6_HEADER + 1;
        Ok(Self {
            descriptor: Descriptor::new(fd),
            name: label,
            interface,
            capabilities,
            header_len,
            buffer: vec![0; buffer_len].into_boxed_slice(),
            scratch: Vec::new(),
            up,
        })
    }

    /// Limits the bytes the kernel holds of what was transmitted and not yet delivered. Beyond them `transmit` says
    /// Full; without a limit the kernel drops what overflows its own queues.
    ///
    /// # Errors
    /// When the kernel refuses the number; zero is no limit.
    pub fn set_queue_limit(&self, bytes: usize) -> std::io::Result<()> {
        Ok(tun::set_send_buffer(self.descriptor.fd(), bytes)?)
    }

    fn handle_transmit_error(&mut self, error: Errno) -> TransmitError {
        match error {
            Errno::AGAIN => return self.descriptor.full(),
            // The interface is down; it may come up again.
            Errno::IO | Errno::NETDOWN => self.up = false,
            // The device was deleted.
            Errno::BADFD => self.descriptor.close(),
            // ENOBUFS, ENOMEM and EINVAL concern this frame. To wait for room would be to spin: there is room.
            _ => {}
        }
        self.descriptor.lost()
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("name", &self.name).field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl Device for Tap {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        if self.descriptor.is_gone() {
            return Err(self.descriptor.lost());
        }
        let mut header = [0; vnet::MAX_HEADER_LEN];
        let prefix = &mut header[..self.header_len];
        if self.header_len > 0 {
            match VnetHeader::for_frame(frame) {
                Ok(vnet) => vnet.emit(prefix),
                Err(vnet::NotSegmentable) => return Err(self.descriptor.lost()),
            }
        }
        match gather::writev(self.descriptor.fd(), prefix, frame, &mut self.scratch) {
            Ok(_) => {
                self.up = true;
                self.descriptor.taken();
                Ok(())
            }
            Err(error) => Err(self.handle_transmit_error(error)),
        }
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        // A frame that makes no sense costs as much as another, and counts against the budget: a flood of them ends.
        let mut taken = 0;
        while taken < budget && !self.descriptor.is_gone() {
            let len = match rustix::io::read(self.descriptor.fd(), &mut self.buffer[..]) {
                Ok(len) => len,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(Errno::BADFD) => {
                    self.descriptor.close();
                    break;
                }
                Err(_) => {
                    self.descriptor.read_failed();
                    break;
                }
            };
            self.descriptor.read_succeeded();
            taken += 1;
            if len == self.buffer.len() {
                self.descriptor.counters.received_oversized += 1;
                continue;
            }
            match parse(&self.buffer[..len], self.header_len) {
                Ok(frame) => {
                    self.descriptor.counters.received += 1;
                    input(&frame);
                }
                Err(_) => self.descriptor.counters.received_malformed += 1,
            }
        }
        taken
    }

    fn flush(&mut self) {
        self.descriptor.end_batch();
    }

    fn link_up(&self) -> bool {
        if self.descriptor.is_gone() {
            return false;
        }
        // While frames are taken the link is up. Once one was refused only the interface itself can tell.
        self.up || self.interface.as_deref().is_none_or(|name| tun::interface_is_up(name).unwrap_or(false))
    }
}

/// The frame behind the offload header, with its marks.
fn parse(bytes: &[u8], header_len: usize) -> Result<RxFrame<'_>, vnet::Malformed> {
    if header_len == 0 {
        return Ok(RxFrame::plain(bytes));
    }
    let (header, bytes) = bytes.split_at_checked(header_len).ok_or(vnet::Malformed::Truncated)?;
    let (checksum, segment_size) = VnetHeader::parse(header)?.received(bytes.len())?;
    Ok(RxFrame { bytes, checksum, segment_size })
}

impl Link for Tap {
    fn fd(&self) -> BorrowedFd<'_> {
        self.descriptor.fd()
    }

    fn wants_write(&self) -> bool {
        self.descriptor.wants_write()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn counters(&self) -> Counters {
        self.descriptor.counters
    }
}
