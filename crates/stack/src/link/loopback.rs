//! The device that leads back: what TCP sends to an address of ours, as large as it likes, with nothing summed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use device::{Capabilities, Device, RxChecksum, RxFrame, TransmitError, TxChecksum, TxFrame};

use super::interface::Interface;

/// Bytes and frames that are under way inside the engine at most; then TCP waits, as at any full device.
const MOST_BYTES: usize = 1024 * 1024;
const MOST_FRAMES: usize = 1024;

/// A frame on its way back.
pub(crate) struct LoopbackFrame {
    bytes: Vec<u8>,
    checksum: RxChecksum,
    segment_size: Option<u16>,
}

impl LoopbackFrame {
    pub(crate) fn as_received(&self) -> RxFrame<'_> {
        RxFrame { bytes: &self.bytes, checksum: self.checksum, segment_size: self.segment_size }
    }
}

/// The loopback's device.
pub(crate) struct Loopback {
    frames: VecDeque<LoopbackFrame>,
    bytes: usize,
    /// One buffer of a frame that has arrived, for the next.
    spare: Vec<u8>,
}

impl Loopback {
    pub(crate) const fn new() -> Self {
        Self { frames: VecDeque::new(), bytes: 0, spare: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many frames wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn pop(&mut self) -> Option<LoopbackFrame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.bytes.len();
        Some(frame)
    }

    pub(crate) fn recycle(&mut self, frame: LoopbackFrame) {
        // The large buffer is kept while there is traffic.
        self.spare = if self.frames.is_empty() { Vec::new() } else { frame.bytes };
    }
}

impl Device for Loopback {
    fn capabilities(&self) -> Capabilities {
        Interface::loopback().capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        let len = frame.len();
        if self.frames.len() >= MOST_FRAMES || self.bytes + len > MOST_BYTES {
            return Err(TransmitError::Full);
        }
        let mut bytes = core::mem::take(&mut self.spare);
        bytes.clear();
        bytes.resize(len, 0);
        frame.copy_to(&mut bytes);
        let checksum = match frame.checksum {
            TxChecksum::Complete => RxChecksum::Verified,
            TxChecksum::Partial { start, offset } => RxChecksum::Partial { start, offset },
        };
        self.bytes += len;
        self.frames.push_back(LoopbackFrame { bytes, checksum, segment_size: frame.segment_size });
        Ok(())
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        let mut received = 0;
        while received < budget
            && let Some(frame) = self.pop()
        {
            input(&frame.as_received());
            received += 1;
        }
        received
    }
}
