//! One coding undone, in steps of bounded size. Called by `coding`.

use std::io;

use bytes::{Buf, Bytes};
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::DParameter;
use compression_codecs::{BrotliDecoder, DecodeV2, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};

use super::{Coding, CodingError, DecodingBounds};

/// The most that one step gives.
const STEP: usize = 64 * 1024;

/// RFC 9659 section 3: a window of the zstd content coding is at most 8 MB.
const ZSTD_WINDOW_LOG: u32 = 23;

/// One coding of one body.
pub(super) struct Stage {
    coding: Coding,
    codec: Codec,
    input: Bytes,
    buffer: Box<[u8]>,
    /// The last step filled the buffer: more may be inside without more input.
    full: bool,
    /// The stream has come to its end.
    ended: bool,
    received: u64,
    decoded: u64,
}

enum Codec {
    Gzip(Box<GzipDecoder>),
    /// Whether it is a zlib stream or a bare one shows in its first two bytes.
    Undecided(Vec<u8>),
    Zlib(Box<ZlibDecoder>),
    Deflate(Box<DeflateDecoder>),
    Brotli(BrotliDecoder),
    Zstd(Box<ZstdDecoder>),
}

impl Stage {
    pub(super) fn new(coding: Coding) -> Self {
        let codec = match coding {
            Coding::Gzip => Codec::Gzip(Box::default()),
            Coding::Deflate => Codec::Undecided(Vec::new()),
            Coding::Brotli => Codec::Brotli(BrotliDecoder::new()),
            Coding::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG);
                Codec::Zstd(Box::new(ZstdDecoder::new_with_params(&[window])))
            }
        };
        let buffer = vec![0; STEP].into_boxed_slice();
        Self { coding, codec, input: Bytes::new(), buffer, full: false, ended: false, received: 0, decoded: 0 }
    }

    pub(super) fn is_hungry(&self) -> bool {
        self.input.is_empty() && !self.full
    }

    pub(super) fn feed(&mut self, bytes: Bytes) {
        self.received += bytes.len() as u64;
        self.input = bytes;
    }

    /// Whether too much came out for what went in.
    pub(super) fn check(&self, bounds: &DecodingBounds) -> Result<(), CodingError> {
        if self.decoded > bounds.free && self.decoded / bounds.ratio.max(1) > self.received {
            return Err(CodingError::Bomb { received: self.received, decoded: self.decoded, ratio: bounds.ratio });
        }
        Ok(())
    }

    /// Decodes until the buffer is full or the input used up; nothing may come out of it.
    pub(super) fn step(&mut self) -> Result<Bytes, CodingError> {
        if !self.decide() {
            return Ok(Bytes::new());
        }
        if self.ended && !self.input.is_empty() {
            self.begin_again()?;
        }
        let drains = self.input.is_empty();
        let before = self.input.len();
        let mut input = PartialBuffer::new(&self.input[..]);
        let mut output = WriteBuffer::new_initialized(&mut self.buffer);
        let ended = if drains {
            self.codec.drain(&mut output)
        } else {
            self.codec.decoder().map_or(Ok(false), |decoder| decoder.decode(&mut input, &mut output))
        };
        let (used, given) = (input.written_len(), output.written_len());
        let ended = ended.map_err(|error| damaged(self.coding, &error))?;
        self.ended |= ended;
        self.full = given == self.buffer.len() && !ended;
        self.decoded += given as u64;
        self.input.advance(used);
        if !drains && given == 0 && !ended && self.input.len() == before {
            return Err(damaged(self.coding, &io::Error::other("it leads nowhere")));
        }
        Ok(Bytes::copy_from_slice(&self.buffer[..given]))
    }

    /// There is no more input: was the stream whole?
    pub(super) fn finish(&mut self) -> Result<(), CodingError> {
        // An empty body is nobody's stream, and servers send it with the field all the same.
        if self.ended || self.received == 0 {
            return Ok(());
        }
        let mut nothing = [0; 1];
        let mut output = WriteBuffer::new_initialized(&mut nothing);
        let ended = self.codec.decoder().map(|decoder| decoder.finish(&mut output));
        if matches!(ended, Some(Ok(true))) && output.written_len() == 0 {
            return Ok(());
        }
        Err(CodingError::Truncated(self.coding.name()))
    }

    /// Whether it is known what kind of stream this is; if not, the input is kept for later.
    fn decide(&mut self) -> bool {
        let Codec::Undecided(seen) = &mut self.codec else { return true };
        while seen.len() < 2 && !self.input.is_empty() {
            seen.push(self.input.get_u8());
        }
        let &[method, flags] = &seen[..] else { return false };
        // RFC 1950 section 2.2: method 8, and the two bytes a multiple of 31. Some servers send RFC 1951 alone.
        let is_zlib = method & 0x0f == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31);
        let mut input = std::mem::take(seen);
        input.extend_from_slice(&self.input);
        self.input = input.into();
        self.codec = if is_zlib { Codec::Zlib(Box::default()) } else { Codec::Deflate(Box::default()) };
        true
    }

    /// More input after the end of a stream: another one, where the coding allows it.
    fn begin_again(&mut self) -> Result<(), CodingError> {
        // RFC 1952 section 2.2: members follow each other; RFC 8878 section 3.1: so do frames.
        match &mut self.codec {
            Codec::Gzip(decoder) => decoder.reinit(),
            Codec::Zstd(decoder) => decoder.reinit(),
            _ => Err(io::Error::other("bytes follow its end")),
        }
        .map_err(|error| damaged(self.coding, &error))?;
        self.ended = false;
        Ok(())
    }
}

impl Codec {
    fn decoder(&mut self) -> Option<&mut dyn DecodeV2> {
        Some(match self {
            Self::Undecided(_) => return None,
            Self::Gzip(decoder) => &mut **decoder,
            Self::Zlib(decoder) => &mut **decoder,
            Self::Deflate(decoder) => &mut **decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => &mut **decoder,
        })
    }

    /// What is still inside, without more input. The ends of brotli and zstd streams show here; those of the others
    /// when they are finished.
    fn drain(&mut self, output: &mut WriteBuffer<'_>) -> io::Result<bool> {
        match self {
            Self::Brotli(decoder) => DecodeV2::decode(decoder, &mut PartialBuffer::new(&[][..]), output),
            Self::Zstd(decoder) => decoder.decode(&mut PartialBuffer::new(&[][..]), output),
            Self::Gzip(decoder) => decoder.flush(output).map(|_| false),
            Self::Zlib(decoder) => decoder.flush(output).map(|_| false),
            Self::Deflate(decoder) => decoder.flush(output).map(|_| false),
            Self::Undecided(_) => Ok(false),
        }
    }
}

fn damaged(coding: Coding, error: &io::Error) -> CodingError {
    CodingError::Damaged { coding: coding.name(), reason: error.to_string() }
}
