//! Content codings (RFC 9110 section 8.4) undone as a body arrives: gzip (RFC 1952), deflate (RFC 1950), br (RFC 7932)
//! and zstd (RFC 8878), one in another. Pure: bytes go in, bytes come out, never more than the bounds allow. Called by
//! `keeping`.

mod stage;

use ::http::header::{CONTENT_ENCODING, CONTENT_RANGE};
use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;

use self::stage::Stage;

/// What a client that decodes asks for, in the order of preference that RFC 9110 section 12.5.3 leaves to it.
pub(super) const ACCEPT_ENCODING: &str = "zstd, br, gzip, deflate";

/// The most codings that are undone one after another. Nobody in earnest applies more than two.
pub const MAX_CODINGS: usize = 4;

/// How much may come out of a coded body. A body that would give more is refused while it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodingBounds {
    /// The most bytes in all.
    pub bytes: u64,
    /// The most bytes for each byte that came in, once [`DecodingBounds::free`] bytes have come out.
    pub ratio: u64,
    /// So many bytes may come out whatever the ratio: small pages of spaces are no attack.
    pub free: u64,
}

impl Default for DecodingBounds {
    /// 8 GiB; 250 for one after the first 16 MiB, where text gives 3 to 20 and a bomb of gzip 1000.
    fn default() -> Self {
        Self { bytes: 8 << 30, ratio: 250, free: 16 << 20 }
    }
}

/// Why a coded body could not be undone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodingError {
    /// A coding that is not spoken here, though only those that are were asked for.
    #[error("the body is coded as {0:?}, which is not spoken here")]
    Unknown(String),
    /// More codings in a row than [`MAX_CODINGS`].
    #[error("the body is coded {0} times over; at most {MAX_CODINGS} are undone")]
    TooMany(usize),
    /// The bytes are not what the coding's name says.
    #[error("the body is damaged: it is not {coding} ({reason})")]
    Damaged {
        /// The coding's name.
        coding: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The body ended within the coded stream.
    #[error("the body was cut short: its {0} stream has no end")]
    Truncated(&'static str),
    /// Far more came out than went in.
    #[error(
        "a decompression bomb: {received} bytes already gave {decoded}, more than {ratio} for one; it is not decoded \
         any further"
    )]
    Bomb {
        /// Bytes that went into the coding.
        received: u64,
        /// Bytes that came out of it.
        decoded: u64,
        /// The ratio allowed.
        ratio: u64,
    },
    /// More came out than may in all.
    #[error("the body is larger than {0} bytes once decoded, which is the most allowed")]
    TooLarge(u64),
}

/// The codings that were applied to a body, in the order in which they have to be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Codings(Vec<Coding>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

impl Codings {
    /// What has to be undone on the body of a response to `method`; `None` for nothing.
    ///
    /// # Errors
    /// [`CodingError::Unknown`] and [`CodingError::TooMany`].
    pub(super) fn of(method: &Method, status: StatusCode, headers: &HeaderMap) -> Result<Option<Self>, CodingError> {
        // RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5: these have no body, whatever their fields describe.
        let without_body = *method == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
        // RFC 9110 section 14.4: a range is of the coded bytes, and a part of a stream cannot be undone alone.
        let part = status == StatusCode::PARTIAL_CONTENT || headers.contains_key(CONTENT_RANGE);
        if without_body || part {
            return Ok(None);
        }
        let mut codings = Vec::new();
        for value in headers.get_all(CONTENT_ENCODING) {
            let value = String::from_utf8_lossy(value.as_bytes());
            for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                // RFC 9110 section 8.4.1: names without regard to case; x-gzip is the same as gzip.
                codings.push(match name.to_ascii_lowercase().as_str() {
                    "identity" => continue,
                    "gzip" | "x-gzip" => Coding::Gzip,
                    "deflate" => Coding::Deflate,
                    "br" => Coding::Brotli,
                    "zstd" => Coding::Zstd,
                    _ => return Err(CodingError::Unknown(name.chars().take(40).collect())),
                });
                if codings.len() > MAX_CODINGS {
                    return Err(CodingError::TooMany(codings.len()));
                }
            }
        }
        // RFC 9110 section 8.4: listed in the order in which they were applied.
        codings.reverse();
        Ok(if codings.is_empty() { None } else { Some(Self(codings)) })
    }

    /// A decoder for one body.
    pub(super) fn decoder(&self, bounds: DecodingBounds) -> Decoder {
        let stages = self.0.iter().map(|&coding| Stage::new(coding)).collect();
        Decoder { stages, source: Source { waiting: Bytes::new(), ended: false }, bounds, decoded: 0 }
    }
}

/// Undoes the codings of one body. **Feed it, then pull until it wants more; say when there is no more.**
pub(super) struct Decoder {
    /// The first takes what arrives, the last gives the plain body.
    stages: Vec<Stage>,
    source: Source,
    bounds: DecodingBounds,
    decoded: u64,
}

struct Source {
    waiting: Bytes,
    ended: bool,
}

/// What a [`Decoder`] has to give.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pulled {
    /// Plain bytes, never none.
    Bytes(Bytes),
    /// Nothing until it is fed.
    Hungry,
    /// The body is whole.
    End,
}

impl Decoder {
    /// More of the coded body. Only when it is hungry: what was fed before is forgotten.
    pub(super) fn feed(&mut self, bytes: Bytes) {
        debug_assert!(self.source.waiting.is_empty(), "fed before it was hungry");
        self.source.waiting = bytes;
    }

    /// The coded body has ended.
    pub(super) fn end(&mut self) {
        self.source.ended = true;
    }

    /// The next piece of the plain body.
    pub(super) fn pull(&mut self) -> Result<Pulled, CodingError> {
        let pulled = pull(&mut self.stages, &mut self.source, &self.bounds)?;
        if let Pulled::Bytes(bytes) = &pulled {
            self.decoded += bytes.len() as u64;
            if self.decoded > self.bounds.bytes {
                return Err(CodingError::TooLarge(self.bounds.bytes));
            }
        }
        Ok(pulled)
    }
}

/// What comes out of the last of `stages`. The depth is bounded by [`MAX_CODINGS`].
fn pull(stages: &mut [Stage], source: &mut Source, bounds: &DecodingBounds) -> Result<Pulled, CodingError> {
    let Some((stage, before)) = stages.split_last_mut() else {
        return Ok(match std::mem::take(&mut source.waiting) {
            bytes if !bytes.is_empty() => Pulled::Bytes(bytes),
            _ if source.ended => Pulled::End,
            _ => Pulled::Hungry,
        });
    };
    loop {
        if stage.is_hungry() {
            match pull(before, source, bounds)? {
                Pulled::Bytes(bytes) => stage.feed(bytes),
                Pulled::Hungry => return Ok(Pulled::Hungry),
                Pulled::End => {
                    stage.finish()?;
                    return Ok(Pulled::End);
                }
            }
        }
        let bytes = stage.step()?;
        // Each stage is held to the ratio: a bomb within a bomb costs time even if little of it comes out.
        stage.check(bounds)?;
        if !bytes.is_empty() {
            return Ok(Pulled::Bytes(bytes));
        }
    }
}

#[cfg(test)]
mod tests;
