//! DHCP for IPv4 (RFC 2131), message and fixed header. Called by the stack's client and by links that serve addresses.
//!
//! `dhcpv4/options.rs` holds the options (RFC 2132) and their emission, `dhcpv4/reader.rs` finds them in a message:
//! overloaded into the `file` and `sname` fields, or split (RFC 3396).

mod options;
mod reader;

use core::fmt;
use core::net::Ipv4Addr;

use crate::Malformed;
use crate::ethernet::MacAddr;

pub use options::{Addresses, DhcpOptions, MessageType, OptionBytes, option};

/// The port that servers listen on.
pub const SERVER_PORT: u16 = 67;

/// The port that clients listen on.
pub const CLIENT_PORT: u16 = 68;

/// The shortest message that every relay and server takes.
// RFC 1542 section 2.1: a BOOTP message shorter than 300 octets may be discarded by a relay.
pub const MIN_MESSAGE_LEN: usize = 300;

/// Longest message that a client must take, when it does not say otherwise.
// RFC 2131 section 2: a client must be prepared for options of 312 octets, so for an IP datagram of 576.
pub const DEFAULT_MAX_MESSAGE_LEN: usize = 548;

const SNAME: usize = 44;
const FILE: usize = 108;
const COOKIE_OFFSET: usize = 236;
const OPTIONS: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const HARDWARE_ETHERNET: u8 = 1;
const BROADCAST_FLAG: u16 = 0x8000;

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// BOOTREQUEST: a client.
    Request,
    /// BOOTREPLY: a server.
    Reply,
}

/// A DHCP message for a client on Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhcpMessage {
    /// From a client or from a server.
    pub operation: Operation,
    /// Chosen by the client, repeated by the server.
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// The client cannot take unicast before it is configured.
    pub broadcast: bool,
    /// The client's address, if it has one and can answer ARP for it.
    pub ciaddr: Ipv4Addr,
    /// The address that the server gives.
    pub yiaddr: Ipv4Addr,
    /// The server to boot from next.
    pub siaddr: Ipv4Addr,
    /// The relay between the two.
    pub giaddr: Ipv4Addr,
    /// The client's hardware address.
    pub chaddr: MacAddr,
    /// Everything else.
    pub options: DhcpOptions,
}

impl DhcpMessage {
    /// A message with every address unspecified and no options.
    pub const fn new(operation: Operation, xid: u32, chaddr: MacAddr) -> DhcpMessage {
        DhcpMessage {
            operation,
            xid,
            secs: 0,
            broadcast: false,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            chaddr,
            options: DhcpOptions::NONE,
        }
    }

    /// Reads a message: the whole UDP payload. Options of kinds that [`DhcpOptions`] does not have are skipped.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::Value`] for another operation, hardware, cookie or message type;
    /// [`Malformed::OptionLength`].
    pub fn parse(message: &[u8]) -> Result<DhcpMessage, Malformed> {
        let fixed = message.first_chunk::<OPTIONS>().ok_or(Malformed::Truncated)?;
        let operation = match fixed[0] {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(Malformed::Value),
        };
        if fixed[1] != HARDWARE_ETHERNET || fixed[2] != 6 || fixed[COOKIE_OFFSET..] != COOKIE {
            return Err(Malformed::Value);
        }
        let ip = |at: usize| Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]);
        let areas = reader::Areas::find(&message[OPTIONS..], &fixed[FILE..COOKIE_OFFSET], &fixed[SNAME..FILE])?;
        Ok(DhcpMessage {
            operation,
            xid: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            secs: u16::from_be_bytes([fixed[8], fixed[9]]),
            // RFC 2131 section 2: the other bits of the flags field are ignored.
            broadcast: u16::from_be_bytes([fixed[10], fixed[11]]) & BROADCAST_FLAG != 0,
            ciaddr: ip(12),
            yiaddr: ip(16),
            siaddr: ip(20),
            giaddr: ip(24),
            chaddr: MacAddr(core::array::from_fn(|i| fixed[28 + i])),
            options: DhcpOptions::read(&areas)?,
        })
    }

    /// Bytes that `emit` writes: at least 300.
    pub fn len(&self) -> usize {
        (OPTIONS + self.options.len() + 1).max(MIN_MESSAGE_LEN)
    }

    /// A message is never empty; here for the convention that goes with `len`.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes the message, padded to 300 bytes, and returns its length.
    ///
    /// # Errors
    /// [`DoesNotFit`] when `buffer` is shorter than [`len`](Self::len); what it holds then is unspecified.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, DoesNotFit> {
        let message = buffer.get_mut(..self.len()).ok_or(DoesNotFit)?;
        message.fill(0);
        message[0] = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        message[1] = HARDWARE_ETHERNET;
        message[2] = 6;
        message[4..8].copy_from_slice(&self.xid.to_be_bytes());
        message[8..10].copy_from_slice(&self.secs.to_be_bytes());
        let flags = if self.broadcast { BROADCAST_FLAG } else { 0 };
        message[10..12].copy_from_slice(&flags.to_be_bytes());
        message[12..16].copy_from_slice(&self.ciaddr.octets());
        message[16..20].copy_from_slice(&self.yiaddr.octets());
        message[20..24].copy_from_slice(&self.siaddr.octets());
        message[24..28].copy_from_slice(&self.giaddr.octets());
        message[28..34].copy_from_slice(&self.chaddr.0);
        message[COOKIE_OFFSET..OPTIONS].copy_from_slice(&COOKIE);
        let options = &mut message[OPTIONS..];
        let end = self.options.emit(options);
        options[end] = option::END;
        Ok(message.len())
    }
}

/// The buffer is too short for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoesNotFit;

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the DHCP options do not fit the message")
    }
}

impl core::error::Error for DoesNotFit {}
