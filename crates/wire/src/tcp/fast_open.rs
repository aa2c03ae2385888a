//! The Fast Open cookie option (RFC 7413 section 4.1.1). It stands on SYNs and SYN-ACKs alone, so it is no field of
//! [`TcpOptions`](super::TcpOptions), which every segment pays for: whoever wants it looks for it, and appends it.

use super::{HEADER_LEN, MAX_HEADER_LEN};

const END: u8 = 0;
const NOP: u8 = 1;
const FAST_OPEN: u8 = 34;

/// A cookie: 4 to 16 bytes, of an even number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpenCookie {
    len: u8,
    bytes: [u8; FastOpenCookie::MAX],
}

impl FastOpenCookie {
    /// Most bytes of a cookie.
    pub const MAX: usize = 16;

    /// The cookie of these bytes; `None` if none has so many.
    #[must_use]
    pub fn new(cookie: &[u8]) -> Option<Self> {
        // RFC 7413 section 4.1.1: 4 to 16 bytes, a multiple of two.
        if !(4..=Self::MAX).contains(&cookie.len()) || !cookie.len().is_multiple_of(2) {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        bytes[..cookie.len()].copy_from_slice(cookie);
        Some(Self { len: cookie.len() as u8, bytes })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What the option says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastOpen {
    /// An empty option: the client asks for a cookie.
    Request,
    /// A cookie: the server's gift, or the client's proof.
    Cookie(FastOpenCookie),
}

impl FastOpen {
    /// Looks for the option among the bytes between the fixed header and the payload. One of an impossible length is none.
    #[must_use]
    pub fn find(options: &[u8]) -> Option<Self> {
        let mut rest = options;
        while let [kind, after @ ..] = rest {
            match *kind {
                END => return None,
                NOP => {
                    rest = after;
                    continue;
                }
                _ => {}
            }
            let (&len, after) = after.split_first()?;
            let (data, after) = after.split_at_checked(usize::from(len).checked_sub(2)?)?;
            if *kind == FAST_OPEN {
                return if data.is_empty() { Some(Self::Request) } else { FastOpenCookie::new(data).map(Self::Cookie) };
            }
            rest = after;
        }
        None
    }

    /// Appends the option to a header of `len` bytes that was emitted into `header`, and returns the new length; `None`,
    /// and no change, where it does not fit.
    pub fn append(&self, header: &mut [u8], len: usize) -> Option<usize> {
        let cookie = match self {
            Self::Request => &[],
            Self::Cookie(cookie) => cookie.as_bytes(),
        };
        let option_len = 2 + cookie.len();
        let end = len + option_len.next_multiple_of(4);
        if len < HEADER_LEN || end > MAX_HEADER_LEN || end > header.len() {
            return None;
        }
        header[len] = FAST_OPEN;
        header[len + 1] = option_len as u8;
        header[len + 2..len + option_len].copy_from_slice(cookie);
        header[len + option_len..end].fill(NOP);
        header[12] = (end as u8 / 4) << 4;
        Some(end)
    }
}
