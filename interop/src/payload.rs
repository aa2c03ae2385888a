//! Bytes that a transfer can be checked against: every offset's byte follows from a seed.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// A stream of pseudo-random bytes. Two with the same seed are the same stream, wherever they are read, so a
/// receiver needs no copy of what was sent; no two blocks are alike, so that swapped, repeated or lost ones show.
#[derive(Clone, Debug)]
pub struct Payload {
    seed: u64,
    offset: u64,
}

impl Payload {
    /// The stream of `seed`, from its beginning.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, offset: 0 }
    }

    /// The next bytes of the stream.
    pub fn fill(&mut self, into: &mut [u8]) {
        let mut rest = into;
        while !rest.is_empty() {
            let word = self.word().to_le_bytes();
            let from = (self.offset % 8) as usize;
            let take = rest.len().min(8 - from);
            let (now, later) = rest.split_at_mut(take);
            now.copy_from_slice(&word[from..from + take]);
            self.offset += take as u64;
            rest = later;
        }
    }

    /// Compares the next bytes of the stream with `received`.
    ///
    /// # Panics
    ///
    /// When they differ, with the offset of the first byte that does.
    pub fn check(&mut self, received: &[u8]) {
        let start = self.offset;
        let mut expected = [0; 4096];
        for (block, received) in received.chunks(expected.len()).enumerate() {
            let expected = &mut expected[..received.len()];
            self.fill(expected);
            if expected != received {
                let at = expected.iter().zip(received).position(|(a, b)| a != b).unwrap_or_default();
                panic!("byte {} of the stream differs", start + (block * 4096 + at) as u64);
            }
        }
    }

    /// Reads `from` to its end, which must come after exactly `length` bytes of this stream.
    ///
    /// # Panics
    ///
    /// When the bytes or the length differ.
    ///
    /// # Errors
    ///
    /// Those of `from`.
    pub fn check_to_end(&mut self, from: &mut impl Read, length: u64) -> io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            self.check(&buffer[..read]);
        }
        assert_eq!(self.offset, length, "the stream ended at another length");
        Ok(())
    }

    /// Writes the next `length` bytes to `into`.
    ///
    /// # Errors
    ///
    /// Those of `into`.
    pub fn write_to(&mut self, into: &mut impl Write, length: u64) -> io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        let mut left = length;
        while left > 0 {
            let take = left.min(buffer.len() as u64) as usize;
            self.fill(&mut buffer[..take]);
            into.write_all(&buffer[..take])?;
            left -= take as u64;
        }
        into.flush()
    }

    /// Makes a file of the stream's first `length` bytes and returns its hash.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    #[must_use]
    pub fn write_file(&self, path: &Path, length: u64) -> String {
        let file = File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut hashing = Hashing { inner: BufWriter::new(file), hash: Sha256::new() };
        self.clone().write_to(&mut hashing, length).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        hexadecimal(hashing.hash)
    }

    /// The eight bytes around the current offset: a strong mix (splitmix64's) of seed and position.
    fn word(&self) -> u64 {
        let mut z = self.seed.wrapping_add((self.offset / 8 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Panics
///
/// When the file cannot be read.
#[must_use]
pub fn sha256_of_file(path: &Path) -> String {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return hexadecimal(hash),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
