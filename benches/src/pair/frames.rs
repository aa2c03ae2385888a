//! The wire of an in-memory pair: two rings of frames, whose buffers stay where they are, as a NIC's descriptors do. Both
//! contenders' devices are made of this, so that neither pays for an allocation or a move that the other does not have.

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
    fn new(large: bool) -> Self {
        let size = if large { BUFFER } else { SMALL_BUFFER };
        Self { buffer: vec![0; size].into_boxed_slice(), len: 0, segment_size: None, verified: false }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// Frames in the order in which they were sent. Those before `written` are filled in, those before `read` were read; both
/// begin anew when there are no more.
#[derive(Debug, Default)]
struct Queue {
    frames: Vec<Frame>,
    written: usize,
    read: usize,
}

impl Queue {
    /// One more frame, for as long as the queue lives.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, large: bool) {
        self.frames.push(Frame::new(large));
    }

    /// The next frame.
    #[inline]
    fn next(&mut self) -> Option<&Frame> {
        if self.read == self.written {
            (self.written, self.read) = (0, 0);
            return None;
        }
        self.read += 1;
        self.frames.get(self.read - 1)
    }

    /// The next frames, `most` of them at most.
    #[inline]
    fn take(&mut self, most: usize) -> &[Frame] {
        let from = self.read;
        let to = self.written.min(from.saturating_add(most));
        if to == self.written {
            (self.written, self.read) = (0, 0);
        } else {
            self.read = to;
        }
        &self.frames[from..to]
    }
}

/// One end of the wire.
#[derive(Debug)]
pub(crate) struct Port {
    large: bool,
    /// Frames under way to the other end.
    out: Box<Queue>,
    /// Frames that arrived.
    arrived: Box<Queue>,
}

/// The part of a port that sends, apart from the part that receives.
pub(crate) struct Sender<'a> {
    large: bool,
    queue: &'a mut Queue,
}

impl Port {
    /// A port for frames of 64 KiB, or of MTU 1500.
    pub(crate) fn new(large: bool) -> Self {
        Self { large, out: Box::default(), arrived: Box::default() }
    }

    /// Takes over what the other end has sent; returns whether that is anything.
    ///
    /// # Panics
    /// If what it had sent before was not all received.
    #[inline]
    pub(crate) fn exchange(&mut self, from: &mut Self) -> bool {
        if from.out.written == 0 {
            return false;
        }
        assert_eq!(self.arrived.written, 0, "whoever receives takes all there is");
        std::mem::swap(&mut self.arrived, &mut from.out);
        true
    }

    #[inline]
    pub(crate) fn sender(&mut self) -> Sender<'_> {
        Sender { large: self.large, queue: &mut self.out }
    }

    /// The next frames that arrived, `most` of them at most.
    #[inline]
    pub(crate) fn take(&mut self, most: usize) -> &[Frame] {
        self.arrived.take(most)
    }

    /// The next frame that arrived, and the means to answer it.
    #[inline]
    pub(crate) fn receive(&mut self) -> Option<(&Frame, Sender<'_>)> {
        let frame = self.arrived.next()?;
        Some((frame, Sender { large: self.large, queue: &mut self.out }))
    }

    /// In place of the other end: the next frame that was sent, and the means to answer it.
    pub(crate) fn take_sent(&mut self) -> Option<(&Frame, Sender<'_>)> {
        let frame = self.out.next()?;
        Some((frame, Sender { large: self.large, queue: &mut self.arrived }))
    }

    /// In place of the other end: the means to let a frame arrive.
    pub(crate) fn other_sender(&mut self) -> Sender<'_> {
        Sender { large: self.large, queue: &mut self.arrived }
    }
}

impl Sender<'_> {
    /// Sends a frame of `len` bytes, which `write` fills in.
    #[inline]
    pub(crate) fn send<R>(
        self,
        len: usize,
        segment_size: Option<u16>,
        verified: bool,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let frame = self.next();
        frame.len = len;
        frame.segment_size = segment_size;
        frame.verified = verified;
        write(&mut frame.buffer[..len])
    }

    /// Sends a frame of as many bytes as `write` fills in.
    #[inline]
    pub(crate) fn send_filled(self, segment_size: Option<u16>, verified: bool, write: impl FnOnce(&mut [u8]) -> usize) {
        let frame = self.next();
        frame.segment_size = segment_size;
        frame.verified = verified;
        frame.len = write(&mut frame.buffer);
    }
}

impl<'a> Sender<'a> {
    /// The buffer of the next frame.
    #[inline]
    fn next(self) -> &'a mut Frame {
        let Self { large, queue } = self;
        if queue.written == queue.frames.len() {
            queue.grow(large);
        }
        let frame = &mut queue.frames[queue.written];
        queue.written += 1;
        frame
    }
}
