//! What frames of plain TCP segments look like below TCP: Ethernet without a tag, IPv4 without options, whole. They are told by
//! comparing words, without reading field by field.
//!
//! `tcp/fast_path` and `tcp/textless` look for them.

use wire::ethernet::MacAddr;
use wire::protocol::Protocol;

/// Of Ethernet's header and IPv4's first two bytes: the destination, the source's group bit, the type, version and length.
pub(crate) const LINK: u128 =
    u128::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0]);
/// Of fragmentation, TTL and protocol: everything but DF and TTL.
pub(crate) const WHOLE: u32 = u32::from_ne_bytes([0xbf, 0xff, 0, 0xff]);
/// What these are of a TCP segment that is no fragment.
pub(crate) const TCP_ALONE: u32 = u32::from_ne_bytes([0, 0, 0, Protocol::TCP.0]);

/// What [`LINK`] leaves of a frame to this station from one, with an IPv4 header without options.
pub(crate) fn link_of(MacAddr([a, b, c, d, e, f]): MacAddr) -> u128 {
    u128::from_ne_bytes([a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0x08, 0x00, 0x45, 0])
}
