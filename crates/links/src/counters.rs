//! What crossed a link and what did not, for statistics and for tests.

/// Frames of one link since it was opened. What the link drops is counted here, nowhere else: the engine never saw
/// it. What `transmit` refused as lost is counted here as well as by the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames handed to the engine.
    pub received: u64,
    /// Frames that arrived but made no sense: an offload header that points outside of the frame, a frame type that
    /// was not asked for, a length prefix beyond any frame.
    pub received_malformed: u64,
    /// Frames that arrived longer than the link's buffer.
    pub received_oversized: u64,
    /// Reads that failed for another reason than that nothing was there.
    pub receive_errors: u64,
    /// Frames the kernel took.
    pub transmitted: u64,
    /// Times a frame was refused because the queue was full; the engine keeps the frame.
    pub transmit_full: u64,
    /// Frames lost because the link was down, gone or refused them.
    pub transmit_lost: u64,
    /// Frames that crossed but could not be written to the capture file.
    pub capture_lost: u64,
    /// Frames that concerned another of the engines on the link's queues, and were handed over to it.
    pub handed_over: u64,
    /// Frames that could not be: the other engine had too many waiting, or was gone; and fragments that waited in vain
    /// for the one that says whose they are.
    pub handed_over_lost: u64,
}
