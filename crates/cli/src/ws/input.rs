//! Lines of standard input, none longer than a message may be.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Reads lines. Waiting for one may be cancelled without losing a part of it.
pub(super) struct Lines<R> {
    input: R,
    /// What has come of the next line.
    begun: Vec<u8>,
    /// Most bytes of a line.
    most: usize,
    ended: bool,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end.
    Whole(Vec<u8>),
    /// A line that is longer than allowed; nothing after it is read.
    TooLong,
    /// The end.
    End,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(input: R, most: usize) -> Self {
        Self { input, begun: Vec::new(), most, ended: false }
    }

    /// The next line; the last one need not have an end.
    pub(super) async fn next(&mut self) -> io::Result<Line> {
        while !self.ended {
            let buffer = self.input.fill_buf().await?;
            if buffer.is_empty() {
                self.ended = true;
                if !self.begun.is_empty() {
                    return Ok(Line::Whole(std::mem::take(&mut self.begun)));
                }
                break;
            }
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            self.begun.extend_from_slice(part);
            let consumed = part.len() + usize::from(end.is_some());
            self.input.consume(consumed);
            if self.begun.len() > self.most {
                self.ended = true;
                return Ok(Line::TooLong);
            }
            if end.is_some() {
                if self.begun.last() == Some(&b'\r') {
                    self.begun.pop();
                }
                return Ok(Line::Whole(std::mem::take(&mut self.begun)));
            }
        }
        Ok(Line::End)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    #[test]
    fn lines_are_bounded_and_the_last_one_needs_no_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for capacity in [1, 3, 64] {
                let mut lines = Lines::new(BufReader::with_capacity(capacity, &b"one\r\n\ntwo"[..]), 4);
                for expected in ["one", "", "two"] {
                    assert_eq!(lines.next().await.unwrap(), Line::Whole(expected.into()));
                }
                assert_eq!(lines.next().await.unwrap(), Line::End);
                let mut lines = Lines::new(BufReader::with_capacity(capacity, &b"12345\nsix"[..]), 4);
                assert_eq!(lines.next().await.unwrap(), Line::TooLong);
                assert_eq!(lines.next().await.unwrap(), Line::End);
            }
        });
    }
}
