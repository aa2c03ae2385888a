//! How much may be in flight: the congestion window, one algorithm a file.
//!
//! An algorithm is told what happened and answers with a window; it knows nothing of sequence numbers. Which
//! segments are lost is `recovery`'s business.

mod new_reno;

pub(crate) use new_reno::NewReno;

/// The initial window in bytes.
pub(crate) fn initial_window(mss: u32) -> u32 {
    // RFC 6928 section 2: min (10*MSS, max (2*MSS, 14600)).
    (10 * mss).min((2 * mss).max(14_600))
}
