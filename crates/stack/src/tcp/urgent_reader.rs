//! Urgent data as POSIX shows it to who reads: reads stop at the mark, and the last urgent byte may be taken out of the
//! stream (SO_OOBINLINE off, MSG_OOB).
//!
//! POSIX puts the mark before the last urgent byte, not behind it as RFC 6093 does: with one urgent byte, which is all that
//! most who send any send, the mark stands where it was sent. Used by whoever holds the reading half of a receive ring: the
//! library and packetdrill's.

use ring::Consumer;

/// What a reader knows of urgent data.
#[derive(Clone, Debug, Default)]
pub struct UrgentReader {
    /// The position that follows the last urgent byte; zero for none.
    mark: u64,
    /// The last urgent byte is read apart from the stream.
    out_of_band: bool,
    /// It has been.
    taken: bool,
    /// It was stepped over before.
    kept: Option<u8>,
}

/// What reading out of band finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfBand {
    /// The byte.
    Byte(u8),
    /// It was announced and has not arrived.
    Awaited,
    /// Nothing urgent lies ahead, it was taken before, or it stays in the stream.
    Nothing,
}

impl UrgentReader {
    /// The engine's [mark](crate::Stack::tcp_urgent_mark) as it is now.
    pub fn set_mark(&mut self, mark: u64) {
        if mark > self.mark {
            self.mark = mark;
            // A byte that is not the last urgent one any more is one of the stream, as on other systems.
            self.taken = false;
            self.kept = None;
        }
    }

    /// Whether the last urgent byte is taken out of the stream: SO_OOBINLINE off.
    pub fn set_out_of_band(&mut self, on: bool) {
        self.out_of_band = on;
    }

    /// Whether it is.
    #[must_use]
    pub fn is_out_of_band(&self) -> bool {
        self.out_of_band
    }

    /// Whether the next byte of `receive` is the last urgent one (`sockatmark`).
    #[must_use]
    pub fn is_at_mark(&self, receive: &Consumer) -> bool {
        self.mark > 0 && receive.position() == self.mark - 1
    }

    /// RFC 9293 section 3.8.5: how many bytes remain to be read up to the end of urgent data, arrived or not.
    #[must_use]
    pub fn remaining(&self, receive: &Consumer) -> u64 {
        self.mark.saturating_sub(receive.position())
    }

    /// How many of the `arrived` bytes in `receive` a read may take: up to the mark, and from the mark on all. A byte that
    /// is read apart is stepped over here.
    pub fn admit(&mut self, receive: &mut Consumer, arrived: usize) -> usize {
        let Some(ahead) = self.mark.checked_sub(receive.position()).filter(|ahead| *ahead > 0) else { return arrived };
        if ahead > 1 {
            return arrived.min(usize::try_from(ahead - 1).unwrap_or(usize::MAX));
        }
        if !self.out_of_band || arrived == 0 {
            return arrived;
        }
        let mut byte = [0];
        if receive.read(&mut byte) == 1 {
            self.kept = Some(byte[0]);
        }
        arrived - 1
    }

    /// How many of the `arrived` bytes [`admit`](Self::admit) would admit.
    #[must_use]
    pub fn admissible(&self, receive: &Consumer, arrived: usize) -> usize {
        match self.remaining(receive) {
            0 => arrived,
            1 if self.out_of_band => arrived.saturating_sub(1),
            1 => arrived,
            ahead => arrived.min(usize::try_from(ahead - 1).unwrap_or(usize::MAX)),
        }
    }

    /// Takes the last urgent byte apart from the stream (`recv` with MSG_OOB), or looks at it (and MSG_PEEK). It can still be
    /// had when the stream was read beyond it.
    pub fn take(&mut self, receive: &Consumer, peek: bool) -> OutOfBand {
        let ahead = self.remaining(receive);
        if !self.out_of_band || self.taken {
            return OutOfBand::Nothing;
        }
        if ahead == 0 {
            let Some(byte) = self.kept else { return OutOfBand::Nothing };
            self.taken = !peek;
            return OutOfBand::Byte(byte);
        }
        let mut byte = [0];
        let offset = usize::try_from(ahead - 1).unwrap_or(usize::MAX);
        if receive.copy_at(offset, &mut byte) == 0 {
            return OutOfBand::Awaited;
        }
        self.taken = !peek;
        OutOfBand::Byte(byte[0])
    }
}
