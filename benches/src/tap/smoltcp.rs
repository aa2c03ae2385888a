//! The peer, driven as in smoltcp's own benchmark program: its TAP device, its loop, and an application that hands out
//! and takes in what the buffers hold without touching it.

use std::os::fd::{AsRawFd, IntoRawFd};

use anyhow::{Context, Result, anyhow};
use device::Device as _;
use links::Link as _;
use links::tap::Tap;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, Medium, TunTapInterface};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, EthernetFrame, IpAddress, IpCidr};

use super::{Direction, Link, NAP, PORT, PREFIX, Run};

const BUFFER: usize = 65_535;

/// Attaches to the device.
///
/// # Errors
/// When the system refuses.
pub(super) fn open(link: &Link) -> Result<TunTapInterface> {
    TunTapInterface::new(link.name, Medium::Ethernet).with_context(|| format!("smoltcp's opening of {}", link.name))
}

/// Attaches to a device that is open already, since smoltcp itself has no way to open it so.
///
/// # Errors
/// When the system refuses.
pub(super) fn take_over(tap: &Tap) -> Result<TunTapInterface> {
    let fd = tap.fd().try_clone_to_owned().context("another descriptor of the TAP")?;
    // smoltcp counts whole frames.
    let mtu = usize::try_from(tap.capabilities().mtu)? + EthernetFrame::<&[u8]>::header_len();
    // It closes the descriptor.
    TunTapInterface::from_fd(fd.into_raw_fd(), Medium::Ethernet, mtu).context("smoltcp's taking over of the TAP")
}

/// Serves one connection until it is told to stop.
///
/// # Errors
/// When smoltcp refuses what it is asked for, or the device fails.
pub(super) fn run(device: &mut TunTapInterface, link: &Link, run: &Run) -> Result<()> {
    let fd = device.as_raw_fd();
    let mut config = Config::new(EthernetAddress([0x02, 0, 0, 0, 0, 1]).into());
    config.random_seed = 1;
    let mut interface = Interface::new(config, device, Instant::now());
    let cidr = IpCidr::new(IpAddress::Ipv4(link.stack), PREFIX);
    let mut added = Ok(());
    interface.update_ip_addrs(|addresses| added = addresses.push(cidr));
    added.map_err(|cidr| anyhow!("smoltcp has no room for the address {cidr}"))?;

    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_congestion_control(CongestionControl::None);
    socket.listen(PORT).map_err(|error| anyhow!("smoltcp's listening: {error}"))?;
    let mut sockets = SocketSet::new(Vec::with_capacity(1));
    let handle = sockets.add(socket);

    while !run.must_stack_stop() {
        let now = Instant::now();
        interface.poll(now, device, &mut sockets);
        let socket = sockets.get_mut::<Socket<'_>>(handle);
        match run.direction {
            Direction::Transmit => {
                while socket.can_send() {
                    socket.send(|buffer| (buffer.len(), ())).map_err(|error| anyhow!("smoltcp's sending: {error}"))?;
                }
            }
            Direction::Receive => {
                while socket.can_recv() {
                    let received = socket.recv(|buffer| (buffer.len(), buffer.len()));
                    run.count(received.map_err(|error| anyhow!("smoltcp's receiving: {error}"))?);
                }
            }
        }
        let nap = Duration::from_millis(NAP.as_millis() as u64);
        match interface.poll_at(now, &sockets) {
            Some(at) if at <= now => {}
            at => phy::wait(fd, Some(at.map_or(nap, |at| nap.min(at - now)))).context("smoltcp's waiting")?,
        }
    }
    Ok(())
}
