//! The wire of an in-memory pair: frames in a queue, in buffers that go back to who sent them. Both contenders' devices
//! are made of this, so that neither pays for an allocation that the other does not have.

use std::collections::VecDeque;

/// Room for the largest IP packet behind Ethernet's header.
const BUFFER: usize = 65_535 + 14;
/// Room for an Ethernet frame of MTU 1500.
const SMALL_BUFFER: usize = 1_514;

/// A frame, and what the sending device was asked to do to it.
#[derive(Debug)]
pub(crate) struct Frame {
    buffer: Box<[u8]>,
    len: usize,
    /// Payload bytes a segment, for a frame that stands for several.
    pub segment_size: Option<u16>,
    /// The sender left the checksum to the device.
    pub verified: bool,
}

impl Frame {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// One end of the wire.
#[derive(Debug)]
pub(crate) struct Port {
    large: bool,
    /// Frames under way to the other end.
    out: VecDeque<Frame>,
    /// Frames that arrived.
    pub arrived: VecDeque<Frame>,
    /// Frames that arrived and were read: their buffers belong to the other end.
    spent: Vec<Frame>,
    /// Buffers of our own that are free.
    free: Vec<Frame>,
}

/// The part of a port that sends, apart from the part that receives.
pub(crate) struct Sender<'a> {
    large: bool,
    out: &'a mut VecDeque<Frame>,
    free: &'a mut Vec<Frame>,
}

/// A frame taken in, and where its buffer goes afterwards.
pub(crate) struct Receipt<'a> {
    frame: Frame,
    spent: &'a mut Vec<Frame>,
}

impl Port {
    /// Takes a frame that was sent, in place of the other end.
    pub(crate) fn take_sent(&mut self) -> Option<Frame> {
        self.out.pop_front()
    }

    /// Gives back the buffer of a frame that was taken.
    pub(crate) fn recycle(&mut self, frame: Frame) {
        self.free.push(frame);
    }

    /// Lets a frame of `len` bytes arrive, which `write` fills in, in place of the other end.
    pub(crate) fn deliver(&mut self, len: usize, write: impl FnOnce(&mut [u8])) {
        let Self { large, arrived, spent, .. } = self;
        Sender { large: *large, out: arrived, free: spent }.send(len, None, false, write);
    }

    /// A port for frames of 64 KiB, or of MTU 1500.
    pub(crate) fn new(large: bool) -> Self {
        Self { large, out: VecDeque::new(), arrived: VecDeque::new(), spent: Vec::new(), free: Vec::new() }
    }

    /// Takes over what the other end has sent, and gives it its buffers back. Returns whether anything came.
    pub(crate) fn exchange(&mut self, from: &mut Self) -> bool {
        from.free.append(&mut self.spent);
        if from.out.is_empty() {
            return false;
        }
        if self.arrived.is_empty() {
            std::mem::swap(&mut self.arrived, &mut from.out);
        } else {
            self.arrived.append(&mut from.out);
        }
        true
    }

    pub(crate) fn sender(&mut self) -> Sender<'_> {
        Sender { large: self.large, out: &mut self.out, free: &mut self.free }
    }

    /// The next frame that arrived, and the means to answer it.
    pub(crate) fn receive(&mut self) -> Option<(Receipt<'_>, Sender<'_>)> {
        let frame = self.arrived.pop_front()?;
        let Self { large, out, spent, free, .. } = self;
        Some((Receipt { frame, spent }, Sender { large: *large, out, free }))
    }
}

impl Sender<'_> {
    /// Sends a frame of `len` bytes, which `write` fills in.
    pub(crate) fn send<R>(
        self,
        len: usize,
        segment_size: Option<u16>,
        verified: bool,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let mut frame = self.free.pop().unwrap_or_else(|| {
            let size = if self.large { BUFFER } else { SMALL_BUFFER };
            Frame { buffer: vec![0; size].into_boxed_slice(), len: 0, segment_size: None, verified: false }
        });
        frame.len = len;
        frame.segment_size = segment_size;
        frame.verified = verified;
        let result = write(&mut frame.buffer[..len]);
        self.out.push_back(frame);
        result
    }
}

impl Receipt<'_> {
    /// Reads the frame, and lets its buffer go.
    pub(crate) fn read<R>(self, read: impl FnOnce(&Frame) -> R) -> R {
        let result = read(&self.frame);
        self.spent.push(self.frame);
        result
    }
}
