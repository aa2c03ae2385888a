//! The virtual segment: the guest's end is a [`Link`], the other end the gateway's engine, and in between are calls.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use device::{Capabilities, Device, RxChecksum, RxFrame, TransmitError, TxChecksum, TxFrame};
use wire::ethernet::MacAddr;

use super::gateway::Gateway;
use super::{UserConfig, UserError};
use crate::Link;

/// The guest's station: locally administered, and the same on every segment, since none of them meet.
const GUEST_MAC: MacAddr = MacAddr([0x02, 0x57, 0x48, 0x41, 0x52, 0x15]);
/// The gateway's.
const GATEWAY_MAC: MacAddr = MacAddr([0x02, 0x57, 0x48, 0x41, 0x52, 0x02]);
/// MTUs that a segment may have: from what every host must take (RFC 1122 section 3.3.2) to what loopbacks have.
const MTU: std::ops::RangeInclusive<u32> = 576..=65_520;
/// The largest IP packet that crosses in one piece.
const LARGEST_PACKET: u32 = 65_535;
/// Room for the largest frame: a packet, Ethernet's header and a VLAN tag.
const FRAME: usize = LARGEST_PACKET as usize + 18;

/// A link with a gateway to the host's network at its other end.
pub struct UserLink {
    gateway: Gateway,
    capabilities: Capabilities,
    /// Where a frame's headers and slices are brought together, whichever way it goes.
    frame: Box<[u8]>,
}

impl UserLink {
    /// A segment with a gateway. Nothing else is needed: no right, no device, no set-up.
    ///
    /// # Errors
    /// [`UserError`] says which part of the configuration, or which call of the host's, stands in the way.
    pub fn open(config: &UserConfig) -> Result<Self, UserError> {
        if !MTU.contains(&config.mtu) {
            return Err(UserError::Mtu(config.mtu));
        }
        let station =
            |mac| Capabilities { mac, mtu: config.mtu, tx_checksum: true, tx_segmentation: Some(LARGEST_PACKET) };
        Ok(Self {
            gateway: Gateway::new(config, station(GATEWAY_MAC))?,
            capabilities: station(GUEST_MAC),
            frame: vec![0; FRAME].into(),
        })
    }

    /// The gateway at the other end, for its counters and the addresses of its forwards.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }
}

impl Device for UserLink {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        let Some(received) = cross(frame, &mut self.frame) else { return Err(TransmitError::Lost) };
        self.gateway.handle_frame(&received);
        Ok(())
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        self.gateway.turn();
        let mut far_end = FarEnd {
            capabilities: Capabilities { mac: GATEWAY_MAC, ..self.capabilities },
            frame: &mut self.frame,
            input,
            budget,
            count: 0,
        };
        self.gateway.poll_transmit(&mut far_end);
        far_end.count
    }
}

impl Link for UserLink {
    fn fd(&self) -> BorrowedFd<'_> {
        self.gateway.fd()
    }

    fn deadline(&self) -> Option<Instant> {
        self.gateway.deadline()
    }

    fn name(&self) -> &str {
        "user"
    }

    fn is_private(&self) -> bool {
        true
    }
}

/// The segment as the gateway sees it while the guest receives: what it transmits is the guest's input at once.
struct FarEnd<'a> {
    capabilities: Capabilities,
    frame: &'a mut [u8],
    input: &'a mut dyn FnMut(&RxFrame<'_>),
    budget: usize,
    count: usize,
}

impl Device for FarEnd<'_> {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        if self.count == self.budget {
            return Err(TransmitError::Full);
        }
        let Some(received) = cross(frame, self.frame) else { return Err(TransmitError::Lost) };
        self.count += 1;
        (self.input)(&received);
        Ok(())
    }

    fn receive(&mut self, _budget: usize, _input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        0
    }
}

/// What leaves one end arrives at the other; `None` if it is longer than any frame.
fn cross<'a>(frame: &TxFrame<'_>, buffer: &'a mut [u8]) -> Option<RxFrame<'a>> {
    if frame.len() > buffer.len() {
        return None;
    }
    let len = frame.copy_to(buffer);
    let checksum = match frame.checksum {
        TxChecksum::Complete => RxChecksum::Verified,
        TxChecksum::Partial { start, offset } => RxChecksum::Partial { start, offset },
    };
    Some(RxFrame { bytes: &buffer[..len], checksum, segment_size: frame.segment_size })
}
