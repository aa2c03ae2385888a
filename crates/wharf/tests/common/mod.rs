//! Two `Net`s on one cable: a pair of datagram sockets inside the process, an Ethernet frame each datagram.

#![allow(dead_code)]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use links::Link;
use wharf::{Cidr, MacAddr, Net, NetBuilder};

/// One end of a cable.
pub(crate) struct CableEnd {
    socket: UnixDatagram,
    capabilities: Capabilities,
    name: &'static str,
    /// A frame was refused in this turn, or in the one before it.
    full: bool,
    waits: bool,
    frame: Vec<u8>,
}

/// A cable's two ends, of this MTU.
pub(crate) fn cable(mtu: u32) -> (CableEnd, CableEnd) {
    let (left, right) = UnixDatagram::pair().expect("a socket pair");
    (CableEnd::new(left, 1, "left", mtu), CableEnd::new(right, 2, "right", mtu))
}

impl CableEnd {
    fn new(socket: UnixDatagram, station: u8, name: &'static str, mtu: u32) -> Self {
        socket.set_nonblocking(true).expect("a nonblocking socket");
        let capabilities = Capabilities::plain(MacAddr([2, 0, 0, 0, 0, station]), mtu);
        Self { socket, capabilities, name, full: false, waits: false, frame: vec![0; 70_000] }
    }
}

impl Device for CableEnd {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        let len = frame.copy_to(&mut self.frame);
        match self.socket.send(&self.frame[..len]) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.full = true;
                Err(TransmitError::Full)
            }
            Err(_) => Err(TransmitError::Lost),
        }
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        for received in 0..budget {
            match self.socket.recv(&mut self.frame) {
                Ok(len) => input(&RxFrame::plain(&self.frame[..len])),
                Err(_) => return received,
            }
        }
        budget
    }

    fn flush(&mut self) {
        // A turn without a refusal ends the waiting for room.
        self.waits = std::mem::take(&mut self.full);
    }
}

impl Link for CableEnd {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn wants_write(&self) -> bool {
        self.waits || self.full
    }

    fn name(&self) -> &str {
        self.name
    }

    fn is_private(&self) -> bool {
        true
    }
}

pub(crate) const LEFT: [u8; 4] = [10, 9, 0, 1];
pub(crate) const RIGHT: [u8; 4] = [10, 9, 0, 2];
/// Nobody has this address.
pub(crate) const NOBODY: [u8; 4] = [10, 9, 0, 77];

/// An address on the cable's subnet.
pub(crate) fn on_cable(address: [u8; 4]) -> Cidr {
    Cidr::new(IpAddr::from(address), 24).expect("a prefix of 24")
}

/// A builder with a fixed seed and an address.
pub(crate) fn host(link: CableEnd, address: [u8; 4]) -> NetBuilder {
    Net::builder().link(link).address(on_cable(address)).seed([address[3]; 32])
}

/// Two hosts on a cable of 1500 bytes.
pub(crate) fn pair() -> (Net, Net) {
    pair_of_mtu(1_500)
}

/// Two hosts on a cable of this MTU.
pub(crate) fn pair_of_mtu(mtu: u32) -> (Net, Net) {
    let (left, right) = cable(mtu);
    let left = host(left, LEFT).build().expect("a left host");
    let right = host(right, RIGHT).build().expect("a right host");
    for net in [&left, &right] {
        net.wait_configured(Duration::from_secs(10)).expect("an address set by hand");
    }
    (left, right)
}

/// Bytes that are different everywhere, from a seed.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A hash that tells streams apart (FNV-1a).
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
