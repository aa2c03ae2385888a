//! Why bytes are not a packet. Every parser returns it, the stack counts by it.

use core::fmt;

/// The first reason found why a packet cannot be what its place says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// The bytes end before what the header promises.
    Truncated,
    /// The IP version is not the one of the parser.
    Version,
    /// The header length field is below the fixed header or beyond the packet.
    HeaderLength,
    /// The total or payload length field contradicts the header.
    TotalLength,
    /// The checksum is wrong, or absent where it must be present.
    Checksum,
    /// An option's length is below its minimum, beyond the header, or not the one its kind demands.
    OptionLength,
    /// More extension headers than any honest sender writes.
    HeaderChain,
    /// A field holds a value that its RFC forbids or that this implementation does not speak.
    Value,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Truncated => "the packet ends before its header says",
            Malformed::Version => "the IP version is another one",
            Malformed::HeaderLength => "the header length is impossible",
            Malformed::TotalLength => "the total length contradicts the header",
            Malformed::Checksum => "the checksum is wrong",
            Malformed::OptionLength => "the length of an option is impossible",
            Malformed::HeaderChain => "the chain of extension headers is too long",
            Malformed::Value => "a field holds a forbidden value",
        })
    }
}

impl core::error::Error for Malformed {}
