//! permessage-deflate (RFC 7692): its negotiation, and the compression of messages. `connect` negotiates it, `socket`
//! compresses what goes out and undoes what `marks` has noted as compressed.
//!
//! Windows are of 32 KiB, the largest, both ways: nothing smaller is offered, and an offer that demands it is declined.

use ::http::header::SEC_WEBSOCKET_EXTENSIONS;
use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

const NAME: &str = "permessage-deflate";
const SERVER_FORGETS: &str = "server_no_context_takeover";
const CLIENT_FORGETS: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// What ends a flushed block; it is not sent (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Output is made in pieces of so many bytes.
const PIECE: usize = 16 << 10;

/// What a client offers: everything as it is usual. Without `client_max_window_bits` the server cannot ask for a smaller
/// window of ours (RFC 7692 section 7.1.2.2).
pub(super) const OFFER: HeaderValue = HeaderValue::from_static(NAME);

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    /// The server begins each message anew.
    server_forgets: bool,
    /// The client does.
    client_forgets: bool,
}

/// Why a message cannot be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is larger than allowed.
    TooLarge,
    /// It is not compressed as it should be.
    Broken,
}

/// What the server's answer to [`OFFER`] agrees on; `None` if it wants no compression.
///
/// # Errors
/// What is wrong with it: the connection has to fail (RFC 7692 section 7.1, RFC 6455 section 4.1).
pub(super) fn agreed_by_server(headers: &HeaderMap, was_offered: bool) -> Result<Option<Agreed>, String> {
    let mut agreed = None;
    for extension in extensions(headers) {
        let unasked = || format!("it uses the extension {extension:?}, which was not asked for");
        let (name, parameters) = parts(&extension);
        if !was_offered || !name.eq_ignore_ascii_case(NAME) || agreed.is_some() {
            return Err(unasked());
        }
        let refused = || format!("it answers the offer of {NAME} with {extension:?}");
        let found = read(&parameters).ok_or_else(refused)?;
        // RFC 7692 section 7.1.2.2: only where it was offered. Whatever window the server keeps to, ours holds it.
        if found.client_bits.is_some() || found.server_bits == Some(None) {
            return Err(refused());
        }
        agreed = Some(found.agreed);
    }
    Ok(agreed)
}

/// The first of the client's offers that can be held to, and the answer that says so.
pub(super) fn agreed_by_client(headers: &HeaderMap) -> Option<(Agreed, HeaderValue)> {
    extensions(headers).iter().find_map(|extension| {
        let (name, parameters) = parts(extension);
        let found = read(&parameters).filter(|_| name.eq_ignore_ascii_case(NAME))?;
        // RFC 7692 section 7.1.2.1: to agree is to compress with a window as small as that, which is not done here.
        if !matches!(found.server_bits, None | Some(Some(15))) {
            return None;
        }
        let mut answer = NAME.to_owned();
        for (name, is_set) in [
            (SERVER_FORGETS, found.agreed.server_forgets),
            (CLIENT_FORGETS, found.agreed.client_forgets),
            ("server_max_window_bits=15", found.server_bits.is_some()),
        ] {
            if is_set {
                answer = format!("{answer}; {name}");
            }
        }
        Some((found.agreed, HeaderValue::from_str(&answer).ok()?))
    })
}

/// The elements of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1). A quoted value has to be a token, too, so that it
/// holds neither commas nor semicolons.
fn extensions(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    let text = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    text.flat_map(|text| text.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>())
        .filter(|one| !one.is_empty())
        .collect()
}

/// A parameter's name, and its value if it has one.
type Parameter<'a> = (&'a str, Option<&'a str>);

fn parts(extension: &str) -> (&str, Vec<Parameter<'_>>) {
    let mut parts = extension.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let parameters = parts.map(|part| match part.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
        None => (part, None),
    });
    (name, parameters.collect())
}

/// The parameters of an offer or an answer; of the window's bits, whether there are any, and which.
#[derive(Default)]
struct Found {
    agreed: Agreed,
    server_bits: Option<Option<u8>>,
    client_bits: Option<Option<u8>>,
}

/// `None` for what is not defined, comes twice, or has a value that it must not have (RFC 7692 section 7.1).
fn read(parameters: &[Parameter<'_>]) -> Option<Found> {
    let mut found = Found::default();
    for &(name, value) in parameters {
        let flag = |flag: &mut bool| (value.is_none() && !std::mem::replace(flag, true)).then_some(());
        let bits = |bits: &mut Option<Option<u8>>| {
            let value = match value {
                None => None,
                // RFC 7692 section 7.1.2.1: a decimal integer without leading zeros, from 8 to 15.
                Some(text) if text.starts_with('0') => return None,
                Some(text) => Some(text.parse().ok().filter(|bits| (8..=15).contains(bits))?),
            };
            bits.replace(value).is_none().then_some(())
        };
        match name {
            SERVER_FORGETS => flag(&mut found.agreed.server_forgets)?,
            CLIENT_FORGETS => flag(&mut found.agreed.client_forgets)?,
            SERVER_BITS => bits(&mut found.server_bits)?,
            CLIENT_BITS => bits(&mut found.client_bits)?,
            _ => return None,
        }
    }
    Some(found)
}

/// The compression of one connection, both ways.
pub(super) struct Deflate {
    out: Compress,
    out_forgets: bool,
    into: Decompress,
    into_forgets: bool,
}

impl Deflate {
    pub(super) fn new(agreed: Agreed, is_client: bool) -> Self {
        let Agreed { server_forgets, client_forgets } = agreed;
        let (out_forgets, into_forgets) =
            if is_client { (client_forgets, server_forgets) } else { (server_forgets, client_forgets) };
        Self {
            out: Compress::new(Compression::default(), false),
            out_forgets,
            into: Decompress::new(false),
            into_forgets,
        }
    }

    /// The payload for `message` (RFC 7692 section 7.2.1).
    pub(super) fn compress(&mut self, message: &[u8]) -> Bytes {
        if message.is_empty() {
            // RFC 7692 section 7.2.3.6: an empty block, without the bytes that end it.
            return Bytes::from_static(&[0]);
        }
        let mut payload = Vec::with_capacity(message.len() / 2 + 64);
        let begin = self.out.total_in();
        loop {
            payload.reserve(PIECE);
            let taken = (self.out.total_in() - begin) as usize;
            let before = payload.len();
            // It has no errors to tell of but that there was nothing to do.
            let done = self.out.compress_vec(&message[taken..], &mut payload, FlushCompress::Sync);
            let is_full = payload.len() == payload.capacity();
            if done.is_err() || (!is_full && (self.out.total_in() - begin) as usize == message.len()) {
                break;
            }
            if payload.len() == before && !is_full {
                break;
            }
        }
        if payload.ends_with(&TAIL) {
            payload.truncate(payload.len() - TAIL.len());
        }
        if self.out_forgets {
            self.out.reset();
        }
        payload.into()
    }

    /// The message that `payload` was made of, of `limit` bytes at most (RFC 7692 section 7.2.2).
    ///
    /// # Errors
    /// A message after one that could not be undone cannot be, either.
    pub(super) fn expand(&mut self, payload: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
        let mut message = Vec::new();
        for piece in [payload, &TAIL] {
            self.expand_piece(piece, limit, &mut message)?;
        }
        if self.into_forgets {
            self.into.reset(false);
        }
        Ok(message)
    }

    fn expand_piece(&mut self, mut piece: &[u8], limit: usize, message: &mut Vec<u8>) -> Result<(), Fault> {
        loop {
            if message.len() == message.capacity() {
                // One byte more than is allowed shows what is too large.
                let room = limit.saturating_add(1) - message.len();
                message.reserve_exact(room.min(message.len().max(PIECE)));
            }
            let (taken, made) = (self.into.total_in(), message.len());
            let status = self.into.decompress_vec(piece, message, FlushDecompress::Sync).map_err(|_| Fault::Broken)?;
            piece = &piece[(self.into.total_in() - taken) as usize..];
            if message.len() > limit {
                return Err(Fault::TooLarge);
            }
            let has_room = message.len() < message.capacity();
            match (status, piece.is_empty()) {
                // RFC 7692 section 7.2.3.4: a block may say that it is the last, and another may follow.
                (Status::StreamEnd, is_over) => {
                    self.into.reset(false);
                    if is_over {
                        return Ok(());
                    }
                }
                // Nothing more comes out of what there is.
                (_, true) if has_room => return Ok(()),
                (_, false) if has_room && message.len() == made && self.into.total_in() == taken => {
                    return Err(Fault::Broken);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
