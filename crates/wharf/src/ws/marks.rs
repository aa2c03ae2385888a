//! What comes in, on its way to tungstenite, which knows no extension and refuses a frame with a reserved bit: the bit that
//! says that a message is compressed (RFC 7692 section 6) is noted and taken off, and a compressed text is passed on as
//! bytes, which it is until it is expanded.
//!
//! Frames are told apart as their bytes come; of each only the first byte is changed. Called by `stream`, asked by
//! `socket`.

use std::collections::VecDeque;

/// Ends the head of the handshake.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

const COMPRESSED: u8 = 0x40;
const OPCODE: u8 = 0x0f;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// What was said of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) is_compressed: bool,
    pub(super) is_text: bool,
}

/// Where in the stream the next byte stands.
#[derive(Debug)]
enum Place {
    /// In the head of the handshake, with so many bytes of its end seen.
    Head(usize),
    /// In the head of a frame: its second byte once it is there, and how many bytes of the length and the mask are.
    Frame { second: Option<u8>, length: u64, seen: usize },
    /// In a payload, with so many bytes to come.
    Payload(u64),
}

/// Follows the frames of one direction.
#[derive(Debug)]
pub(super) struct Marks {
    place: Place,
    /// Of the messages that have begun and were not asked for: no more than fit into what is read at once.
    marks: VecDeque<Mark>,
}

impl Marks {
    /// From the first byte of the handshake on.
    pub(super) fn new() -> Self {
        Self { place: Place::Head(0), marks: VecDeque::new() }
    }

    /// What was said of the next message.
    pub(super) fn next(&mut self) -> Option<Mark> {
        self.marks.pop_front()
    }

    /// Takes the marks off `bytes`, which have just come.
    pub(super) fn take_off(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            self.place = match self.place {
                Place::Payload(left) => {
                    let here = left.min((bytes.len() - at) as u64);
                    at += here as usize;
                    if here == left { Place::FRAME } else { Place::Payload(left - here) }
                }
                Place::Head(seen) => {
                    let byte = bytes[at];
                    at += 1;
                    match seen {
                        _ if byte == END_OF_HEAD[seen] && seen + 1 == END_OF_HEAD.len() => Place::FRAME,
                        _ if byte == END_OF_HEAD[seen] => Place::Head(seen + 1),
                        _ => Place::Head(usize::from(byte == END_OF_HEAD[0])),
                    }
                }
                Place::Frame { second: None, seen: 0, .. } => {
                    self.first_byte(&mut bytes[at]);
                    at += 1;
                    Place::Frame { second: None, length: 0, seen: 1 }
                }
                Place::Frame { second: None, .. } => {
                    let second = bytes[at];
                    at += 1;
                    Place::within(second, u64::from(second & 0x7f), 0)
                }
                Place::Frame { second: Some(second), length, seen } => {
                    let byte = u64::from(bytes[at]);
                    at += 1;
                    // What follows the length is the mask, which is none of ours.
                    let length = if seen < length_bytes(second) { length << 8 | byte } else { length };
                    Place::within(second, length, seen + 1)
                }
            };
        }
    }

    fn first_byte(&mut self, first: &mut u8) {
        let is_compressed = *first & COMPRESSED != 0;
        // RFC 7692 section 6.1: the bit is for the first frame of a message. Elsewhere it stays, and is an error.
        if let kind @ (TEXT | BINARY) = *first & OPCODE {
            self.marks.push_back(Mark { is_compressed, is_text: kind == TEXT });
            if is_compressed {
                *first = (*first & !COMPRESSED & !OPCODE) | BINARY;
            }
        }
    }
}

impl Place {
    const FRAME: Self = Self::Frame { second: None, length: 0, seen: 0 };

    /// After the second byte of a frame and `seen` bytes of its length and mask (RFC 6455 section 5.2).
    fn within(second: u8, length: u64, seen: usize) -> Self {
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let extended = length_bytes(second);
        if seen < extended + mask {
            // A length of 126 or 127 says only that the length follows.
            let length = if seen == 0 && extended > 0 { 0 } else { length };
            return Self::Frame { second: Some(second), length, seen };
        }
        if length == 0 { Self::FRAME } else { Self::Payload(length) }
    }
}

/// Bytes of the length that follow the second byte.
fn length_bytes(second: u8) -> usize {
    match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

// A fuzz target takes this file in by itself: it is told where the tests are.
#[cfg(test)]
#[path = "marks/tests.rs"]
mod tests;
