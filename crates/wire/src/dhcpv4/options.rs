//! DHCP options (RFC 2132): the ones that a host's configuration needs, as values.

use core::fmt;
use core::net::Ipv4Addr;
use core::ops::Deref;

use super::reader::Areas;
use crate::Malformed;

/// Option codes, for parameter request lists.
#[allow(missing_docs, reason = "the names are RFC 2132's")]
pub mod option {
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTERS: u8 = 3;
    pub const DNS_SERVERS: u8 = 6;
    pub const HOSTNAME: u8 = 12;
    pub const DOMAIN_NAME: u8 = 15;
    pub const INTERFACE_MTU: u8 = 26;
    pub const BROADCAST_ADDRESS: u8 = 28;
    pub const REQUESTED_IP: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const PARAMETER_LIST: u8 = 55;
    pub const MESSAGE: u8 = 56;
    pub const MAX_MESSAGE_SIZE: u8 = 57;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const CLIENT_ID: u8 = 61;
    pub const DOMAIN_SEARCH: u8 = 119;
    pub const END: u8 = 255;
}

/// What a DHCP message says (RFC 2132 section 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// Client: who has an address for me?
    Discover = 1,
    /// Server: this one.
    Offer = 2,
    /// Client: I take it, or want to keep it.
    Request = 3,
    /// Client: somebody else uses it.
    Decline = 4,
    /// Server: it is yours.
    Ack = 5,
    /// Server: it is not yours.
    Nak = 6,
    /// Client: I am done with it.
    Release = 7,
    /// Client: I have an address; tell me the rest.
    Inform = 8,
}

impl MessageType {
    fn from_code(code: u8) -> Option<MessageType> {
        Some(match code {
            1 => MessageType::Discover,
            2 => MessageType::Offer,
            3 => MessageType::Request,
            4 => MessageType::Decline,
            5 => MessageType::Ack,
            6 => MessageType::Nak,
            7 => MessageType::Release,
            8 => MessageType::Inform,
            _ => return None,
        })
    }
}

/// The bytes of one option, at most 255, kept in place.
#[derive(Clone, Copy)]
pub struct OptionBytes {
    len: u8,
    bytes: [u8; OptionBytes::MAX],
}

impl OptionBytes {
    /// What one option holds.
    pub const MAX: usize = 255;

    /// No bytes.
    pub const EMPTY: OptionBytes = OptionBytes { len: 0, bytes: [0; OptionBytes::MAX] };

    /// `None` when there are more than 255 bytes.
    pub fn new(bytes: &[u8]) -> Option<OptionBytes> {
        let mut value = OptionBytes::EMPTY;
        value.push(bytes).then_some(value)
    }

    /// Appends what there is room for.
    pub(super) fn fill(&mut self, piece: &[u8]) {
        let room = OptionBytes::MAX - usize::from(self.len);
        self.push(&piece[..piece.len().min(room)]);
    }

    /// Appends; false, and no change, when it does not fit.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let start = usize::from(self.len);
        let end = start + piece.len();
        let Some(space) = self.bytes.get_mut(start..end) else {
            return false;
        };
        space.copy_from_slice(piece);
        self.len = end as u8;
        true
    }
}

impl Deref for OptionBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl PartialEq for OptionBytes {
    fn eq(&self, other: &OptionBytes) -> bool {
        **self == **other
    }
}

impl Eq for OptionBytes {}

impl fmt::Debug for OptionBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

/// The first eight addresses of a list, in order of preference.
#[derive(Clone, Copy)]
pub struct Addresses {
    len: u8,
    addresses: [Ipv4Addr; Addresses::MAX],
}

impl Addresses {
    /// More routers or name servers than a host makes use of.
    pub const MAX: usize = 8;

    /// No addresses.
    pub const EMPTY: Addresses = Addresses { len: 0, addresses: [Ipv4Addr::UNSPECIFIED; Addresses::MAX] };

    /// Appends an address; false, and no change, when there are eight.
    pub fn push(&mut self, address: Ipv4Addr) -> bool {
        let Some(free) = self.addresses.get_mut(usize::from(self.len)) else {
            return false;
        };
        *free = address;
        self.len += 1;
        true
    }
}

/// Takes the first eight.
impl FromIterator<Ipv4Addr> for Addresses {
    fn from_iter<I: IntoIterator<Item = Ipv4Addr>>(addresses: I) -> Addresses {
        let mut list = Addresses::EMPTY;
        for address in addresses.into_iter().take(Addresses::MAX) {
            list.push(address);
        }
        list
    }
}

impl Deref for Addresses {
    type Target = [Ipv4Addr];

    fn deref(&self) -> &[Ipv4Addr] {
        &self.addresses[..usize::from(self.len)]
    }
}

impl PartialEq for Addresses {
    fn eq(&self, other: &Addresses) -> bool {
        **self == **other
    }
}

impl Eq for Addresses {}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The options of a message. A list or text that is empty is absent. About 1.7 KB: pass it by reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhcpOptions {
    /// What the message says; `None` in a plain BOOTP message.
    pub message_type: Option<MessageType>,
    /// The server that the message is from or for.
    pub server_id: Option<Ipv4Addr>,
    /// The address that the client would like.
    pub requested_ip: Option<Ipv4Addr>,
    /// Lease in seconds; `u32::MAX` is for ever.
    pub lease_time: Option<u32>,
    /// T1 in seconds: when to renew.
    pub renewal_time: Option<u32>,
    /// T2 in seconds: when to rebind.
    pub rebinding_time: Option<u32>,
    /// Mask of the client's network.
    pub subnet_mask: Option<Ipv4Addr>,
    /// Broadcast address of the client's network.
    pub broadcast_address: Option<Ipv4Addr>,
    /// Default routers, the preferred one first.
    pub routers: Addresses,
    /// Name servers, the preferred one first.
    pub dns_servers: Addresses,
    /// MTU of the interface in bytes, at least 68.
    pub mtu: Option<u16>,
    /// Longest message in bytes that the sender takes, at least 576, IP and UDP headers included.
    pub max_message_size: Option<u16>,
    /// Name of the client.
    pub hostname: OptionBytes,
    /// Domain of the client.
    pub domain_name: OptionBytes,
    /// Domains to search, in the encoding of RFC 3397; of a longer list the first 255 bytes.
    pub domain_search: OptionBytes,
    /// What the server knows the client by, in place of its hardware address.
    pub client_id: OptionBytes,
    /// Codes of the options that the client wants.
    pub parameter_list: OptionBytes,
    /// Text that explains a NAK or a DECLINE.
    pub message: OptionBytes,
}

impl DhcpOptions {
    /// No options.
    pub const NONE: DhcpOptions = DhcpOptions {
        message_type: None,
        server_id: None,
        requested_ip: None,
        lease_time: None,
        renewal_time: None,
        rebinding_time: None,
        subnet_mask: None,
        broadcast_address: None,
        routers: Addresses::EMPTY,
        dns_servers: Addresses::EMPTY,
        mtu: None,
        max_message_size: None,
        hostname: OptionBytes::EMPTY,
        domain_name: OptionBytes::EMPTY,
        domain_search: OptionBytes::EMPTY,
        client_id: OptionBytes::EMPTY,
        parameter_list: OptionBytes::EMPTY,
        message: OptionBytes::EMPTY,
    };

    pub(super) fn read(areas: &Areas<'_>) -> Result<DhcpOptions, Malformed> {
        let address = |code| Ok(fixed::<4>(areas, code)?.map(Ipv4Addr::from_octets));
        let seconds = |code| Ok(fixed::<4>(areas, code)?.map(u32::from_be_bytes));
        let short = |code| Ok(fixed::<2>(areas, code)?.map(u16::from_be_bytes));
        let text = |code| Ok(areas.value(code)?.unwrap_or(OptionBytes::EMPTY));
        let message_type = match fixed::<1>(areas, option::MESSAGE_TYPE)? {
            Some([code]) => Some(MessageType::from_code(code).ok_or(Malformed::Value)?),
            None => None,
        };
        Ok(DhcpOptions {
            message_type,
            server_id: address(option::SERVER_ID)?,
            requested_ip: address(option::REQUESTED_IP)?,
            lease_time: seconds(option::LEASE_TIME)?,
            renewal_time: seconds(option::RENEWAL_TIME)?,
            rebinding_time: seconds(option::REBINDING_TIME)?,
            subnet_mask: address(option::SUBNET_MASK)?,
            broadcast_address: address(option::BROADCAST_ADDRESS)?,
            routers: addresses(areas, option::ROUTERS)?,
            dns_servers: addresses(areas, option::DNS_SERVERS)?,
            // RFC 2132 sections 5.1 and 9.10: 68 and 576 are the least legal values. A lesser one says nothing, and a
            // lease is not lost for it.
            mtu: short(option::INTERFACE_MTU)?.filter(|mtu| *mtu >= 68),
            max_message_size: short(option::MAX_MESSAGE_SIZE)?.filter(|size| *size >= 576),
            hostname: text(option::HOSTNAME)?,
            domain_name: text(option::DOMAIN_NAME)?,
            domain_search: areas.beginning(option::DOMAIN_SEARCH),
            client_id: text(option::CLIENT_ID)?,
            parameter_list: text(option::PARAMETER_LIST)?,
            message: text(option::MESSAGE)?,
        })
    }

    /// Bytes that the options take, without the end option.
    pub(super) fn len(&self) -> usize {
        let mut len = 0;
        self.each(|_, value| len += 2 + value.len());
        len
    }

    /// Writes the options and returns how many bytes they took: `len`, which the caller has made room for.
    pub(super) fn emit(&self, buffer: &mut [u8]) -> usize {
        let mut at = 0;
        self.each(|code, value| {
            let end = at + 2 + value.len();
            let space = &mut buffer[at..end];
            space[0] = code;
            space[1] = value.len() as u8;
            space[2..].copy_from_slice(value);
            at = end;
        });
        at
    }

    /// Calls `write` with the code and the bytes of every option that is present, in the order of emission.
    fn each(&self, mut write: impl FnMut(u8, &[u8])) {
        // No rest pattern: a new field must be thought of here.
        let Self {
            message_type,
            server_id,
            requested_ip,
            lease_time,
            renewal_time,
            rebinding_time,
            subnet_mask,
            broadcast_address,
            routers,
            dns_servers,
            mtu,
            max_message_size,
            hostname,
            domain_name,
            domain_search,
            client_id,
            parameter_list,
            message,
        } = self;
        // RFC 2132 section 3.3: the subnet mask MUST come before the routers.
        if let Some(kind) = message_type {
            write(option::MESSAGE_TYPE, &[*kind as u8]);
        }
        for (code, address) in [
            (option::SERVER_ID, server_id),
            (option::REQUESTED_IP, requested_ip),
            (option::SUBNET_MASK, subnet_mask),
            (option::BROADCAST_ADDRESS, broadcast_address),
        ] {
            if let Some(address) = address {
                write(code, &address.octets());
            }
        }
        for (code, seconds) in [
            (option::LEASE_TIME, lease_time),
            (option::RENEWAL_TIME, renewal_time),
            (option::REBINDING_TIME, rebinding_time),
        ] {
            if let Some(seconds) = seconds {
                write(code, &seconds.to_be_bytes());
            }
        }
        for (code, list) in [(option::ROUTERS, routers), (option::DNS_SERVERS, dns_servers)] {
            if list.is_empty() {
                continue;
            }
            let mut bytes = [0; 4 * Addresses::MAX];
            for (space, address) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(list.iter()) {
                *space = address.octets();
            }
            write(code, &bytes[..4 * list.len()]);
        }
        for (code, short) in [(option::INTERFACE_MTU, mtu), (option::MAX_MESSAGE_SIZE, max_message_size)] {
            if let Some(short) = short {
                write(code, &short.to_be_bytes());
            }
        }
        for (code, text) in [
            (option::CLIENT_ID, client_id),
            (option::PARAMETER_LIST, parameter_list),
            (option::HOSTNAME, hostname),
            (option::DOMAIN_NAME, domain_name),
            (option::DOMAIN_SEARCH, domain_search),
            (option::MESSAGE, message),
        ] {
            if !text.is_empty() {
                write(code, text);
            }
        }
    }
}

/// The value of an option of exactly `N` bytes.
fn fixed<const N: usize>(areas: &Areas<'_>, code: u8) -> Result<Option<[u8; N]>, Malformed> {
    let Some(value) = areas.value(code)? else {
        return Ok(None);
    };
    match <[u8; N]>::try_from(&*value) {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Malformed::OptionLength),
    }
}

/// The value of an option that lists at least one address.
fn addresses(areas: &Areas<'_>, code: u8) -> Result<Addresses, Malformed> {
    let Some(value) = areas.value(code)? else {
        return Ok(Addresses::EMPTY);
    };
    let (addresses, rest) = value.as_chunks::<4>();
    if addresses.is_empty() || !rest.is_empty() {
        return Err(Malformed::OptionLength);
    }
    Ok(addresses.iter().copied().map(Ipv4Addr::from_octets).collect())
}
