//! Whole files, with many requests under way, so that a long round trip costs little.
//!
//! The bytes go to and come from whatever the caller has, in order. How far it came is told as it goes, so that an
//! interrupted transfer can go on from there.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::client::{Handle, Pending, Sftp, done, unexpected};
use super::error::Error;
use super::pace::Pace;
use super::packet::{Reply, Request, Writing};

/// Bytes that may be under way: as many as the SSH channel's window lets come.
const UNDER_WAY: u64 = 16 << 20;

/// Bytes on their way out, in order.
pub trait Source {
    /// Fills `buffer` as far as there are bytes; 0 is the end.
    ///
    /// # Errors
    /// Whatever the reader says.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize>;
}

impl<R: std::io::Read> Source for R {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match std::io::Read::read(self, &mut buffer[filled..]) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

struct Asked {
    pending: Pending,
    offset: u64,
    length: u32,
}

impl Sftp {
    /// Reads `file` from `offset` to its end and hands the bytes to `take` in order, with up to `requests` under way.
    /// Returns how many came.
    ///
    /// # Errors
    /// The server's reason, what `take` says, or [`Error::CutShort`] if the file ends before the `size` that the server
    /// told.
    pub async fn read_to(
        &self,
        file: &Handle,
        offset: u64,
        size: Option<u64>,
        requests: usize,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<u64, Error> {
        let mut under_way: VecDeque<Asked> = VecDeque::new();
        let (mut next, mut taken, mut at_end) = (offset, offset, false);
        let mut pace = Pace::reading(&self.limits().await?, Instant::now());
        loop {
            // Beyond the size as told one request at a time: it finds the end, or a file that grows.
            while !at_end
                && under_way.len() < requests.max(1)
                && (size.is_some_and(|size| next < size && next - taken < UNDER_WAY) || under_way.is_empty())
            {
                let length = pace.piece();
                let pending = self.ask(&Request::Read { handle: &file.handle, offset: next, length }).await?;
                under_way.push_back(Asked { pending, offset: next, length });
                next = next.saturating_add(length.into());
            }
            let Some(Asked { pending, offset: at, length }) = under_way.pop_front() else { break };
            let reply = pending.reply().await?;
            pace.answered(Instant::now());
            match reply {
                Reply::Data(data) if data.is_empty() => {
                    return Err(Error::Protocol("a read brought nothing, and no end".to_owned()));
                }
                Reply::Data(data) if data.len() > length as usize => {
                    return Err(Error::Protocol("a read brought more than was asked for".to_owned()));
                }
                Reply::Data(data) => {
                    take(&data).map_err(Error::Local)?;
                    let end = at + data.len() as u64;
                    taken = end;
                    let missing = length - u32::try_from(data.len()).unwrap_or(length);
                    if missing > 0 {
                        // Less than asked for is no end: the rest is asked for again, in its place.
                        let pending =
                            self.ask(&Request::Read { handle: &file.handle, offset: end, length: missing }).await?;
                        under_way.push_front(Asked { pending, offset: end, length: missing });
                    }
                }
                // The end of the file. What was asked for beyond it ends likewise.
                Reply::Status { code: 1, .. } => {
                    at_end = true;
                    under_way.clear();
                }
                other => return Err(unexpected(other, &file.path)),
            }
        }
        match size {
            Some(size) if taken < size => {
                Err(Error::CutShort { path: super::shown(&file.path), at: taken, expected: size })
            }
            _ => Ok(taken - offset),
        }
    }

    /// Writes what `source` has to `file` from `offset` on, with up to `requests` under way, and tells `progress` how many
    /// bytes more have been confirmed, each time. Returns how many there were.
    ///
    /// # Errors
    /// The server's reason, or what the source says. Up to the first piece that is not confirmed the file is whole.
    pub async fn write_from(
        &self,
        file: &Handle,
        offset: u64,
        requests: usize,
        source: &mut impl Source,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, Error> {
        let mut under_way: VecDeque<(Pending, u64)> = VecDeque::new();
        let (mut next, mut confirmed, mut at_end) = (offset, offset, false);
        let mut pace = Pace::writing(&self.limits().await?, Instant::now());
        loop {
            while !at_end && under_way.len() < requests.max(1) && (next - confirmed < UNDER_WAY || under_way.is_empty())
            {
                let mut request = Writing::new(&file.handle, next, pace.piece() as usize);
                let length = source.read(request.room()).map_err(Error::Local)?;
                if length == 0 {
                    at_end = true;
                    break;
                }
                request.cut(length);
                let pending = self.ask_as(|id| request.encode(id)).await?;
                under_way.push_back((pending, length as u64));
                next += length as u64;
            }
            let Some((pending, length)) = under_way.pop_front() else { break };
            done(pending.reply().await?, &file.path)?;
            pace.answered(Instant::now());
            confirmed += length;
            progress(length);
        }
        Ok(next - offset)
    }
}
