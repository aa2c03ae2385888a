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
}
