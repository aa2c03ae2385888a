//! `~` at the start of a line: the person speaks to us, not to the remote program.

use std::io::Write;

/// Listens for the escape in what is typed.
pub(super) struct Escape {
    letter: u8,
    state: State,
}

enum State {
    /// At the start of a line.
    Start,
    /// The letter came there.
    Escaped,
    Within,
}

/// What is left of what was typed.
pub(super) enum Heard {
    Bytes(Vec<u8>),
    End,
}

impl Escape {
    pub(super) fn new(letter: u8) -> Self {
        Self { letter, state: State::Start }
    }

    pub(super) fn hear(&mut self, typed: &[u8]) -> Heard {
        let mut bytes = Vec::with_capacity(typed.len() + 1);
        for &byte in typed {
            match self.state {
                State::Start if byte == self.letter => {
                    self.state = State::Escaped;
                    continue;
                }
                State::Escaped if byte == b'.' => return Heard::End,
                State::Escaped if byte == b'?' => {
                    self.state = State::Start;
                    self.help();
                    continue;
                }
                // Twice is once.
                State::Escaped if byte == self.letter => {}
                State::Escaped => bytes.push(self.letter),
                _ => {}
            }
            bytes.push(byte);
            self.state = if matches!(byte, b'\r' | b'\n') { State::Start } else { State::Within };
        }
        Heard::Bytes(bytes)
    }

    fn help(&self) {
        let letter = char::from(self.letter);
        // The terminal is raw: a line begins with its own return.
        let _ = write!(
            std::io::stderr().lock(),
            "\r\n{letter}.  ends the session\r\n{letter}?  shows this\r\n{letter}{letter}  sends {letter}\r\n"
        );
    }
}
