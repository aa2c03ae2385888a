//! A segment for the puppet to send, put together field by field.

use std::time::Duration;

use wire::tcp::{TcpFlags, TcpOptions, Timestamps, UserTimeout};

/// A segment for the puppet to send, in relative numbers. Made with [`seg`].
#[derive(Clone, Debug)]
pub struct Seg {
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) flags: TcpFlags,
    pub(super) window: u16,
    pub(super) options: TcpOptions,
    pub(super) sack: Vec<(u32, u32)>,
    pub(super) text: Vec<u8>,
    pub(super) tos: u8,
    pub(super) urgent: u16,
}

/// A segment that begins at `seq`, relative to the puppet's ISN.
#[must_use]
pub fn seg(seq: u32) -> Seg {
    Seg {
        seq,
        ack: None,
        flags: TcpFlags(0),
        window: 65_535,
        options: TcpOptions::NONE,
        sack: Vec::new(),
        text: Vec::new(),
        tos: 0,
        urgent: 0,
    }
}

impl Seg {
    /// With the ACK bit: everything before `ack`, relative to the engine's ISN, has arrived.
    #[must_use]
    pub fn ack(mut self, ack: u32) -> Self {
        self.ack = Some(ack);
        self
    }

    /// With these control bits, besides ACK.
    #[must_use]
    pub fn flags(mut self, flags: TcpFlags) -> Self {
        self.flags = flags;
        self
    }

    /// With this window field; 65,535 otherwise.
    #[must_use]
    pub fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    /// With this text.
    #[must_use]
    pub fn text(mut self, text: &[u8]) -> Self {
        self.text = text.to_vec();
        self
    }

    /// With an MSS option.
    #[must_use]
    pub fn mss(mut self, mss: u16) -> Self {
        self.options.mss = Some(mss);
        self
    }

    /// With a window-scale option.
    #[must_use]
    pub fn scale(mut self, shift: u8) -> Self {
        self.options.window_scale = Some(shift);
        self
    }

    /// With the option that permits SACK.
    #[must_use]
    pub fn sack_permitted(mut self) -> Self {
        self.options.sack_permitted = true;
        self
    }

    /// With these SACK blocks, relative to the engine's ISN, at most four.
    #[must_use]
    pub fn sack(mut self, blocks: &[(u32, u32)]) -> Self {
        self.sack = blocks.to_vec();
        self
    }

    /// In a packet with this TOS byte; zero otherwise.
    #[must_use]
    pub fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    /// With the URG bit and this pointer.
    #[must_use]
    pub fn urgent(mut self, pointer: u16) -> Self {
        self.flags |= TcpFlags::URG;
        self.urgent = pointer;
        self
    }

    /// With a user timeout of so many seconds (RFC 5482).
    #[must_use]
    pub fn user_timeout(mut self, seconds: u64) -> Self {
        self.options.user_timeout = Some(UserTimeout::of(Duration::from_secs(seconds)));
        self
    }

    /// With timestamps.
    #[must_use]
    pub fn timestamps(mut self, value: u32, echo: u32) -> Self {
        self.options.timestamps = Some(Timestamps { value, echo });
        self
    }
}
