//! What TCP counts over all connections, beside the reasons in [`Discards`](crate::discard::Discards).

/// Counts since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpCounters {
    /// SYNs that were answered with a SYN cookie (RFC 4987 section 3.6).
    pub cookies_sent: u64,
    /// Connections that came of a SYN cookie. ACKs that no cookie of ours explains are counted as
    /// [`Discard::TcpBadCookie`](crate::Discard::TcpBadCookie).
    pub cookies_accepted: u64,
    /// Connections whose SYN brought text with a good Fast Open cookie (RFC 7413).
    pub fast_open_accepted: u64,
    /// SYNs with a Fast Open cookie that is not, or no more, of their sender.
    pub fast_open_refused: u64,
    /// SYNs with a good one that found too many waiting.
    pub fast_open_overflowed: u64,
    /// Connections of ours whose SYN's text was taken.
    pub fast_open_connected: u64,
    /// Segments that were taken in as one with the segment before them (receive coalescing).
    pub coalesced: u64,
}
