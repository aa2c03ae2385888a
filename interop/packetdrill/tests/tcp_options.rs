//! TCP options between scripts and bytes, with their padding as it stands.

/// Bytes of an option list, and where the parts lie that are relative to a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub bytes: Vec<u8>,
}

/// Kinds (IANA).
pub(crate) const END: u8 = 0;
pub(crate) const NOP: u8 = 1;
pub(crate) const MSS: u8 = 2;
pub(crate) const WINDOW_SCALE: u8 = 3;
pub(crate) const SACK_PERMITTED: u8 = 4;
pub(crate) const SACK: u8 = 5;
pub(crate) const TIMESTAMPS: u8 = 8;
pub(crate) const FAST_OPEN: u8 = 34;

impl Options {
    /// Appends an option that has data.
    pub(crate) fn push(&mut self, kind: u8, data: &[u8]) {
        self.bytes.push(kind);
        self.bytes.push(data.len() as u8 + 2);
        self.bytes.extend_from_slice(data);
    }

    /// The data of each option with where it begins, padding left out.
    pub(crate) fn parts(&self) -> Vec<(u8, usize, usize)> {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(&kind) = self.bytes.get(at) {
            if kind == END || kind == NOP {
                parts.push((kind, at + 1, 0));
                at += 1;
                continue;
            }
            let len = usize::from(self.bytes.get(at + 1).copied().unwrap_or(0)).max(2);
            parts.push((kind, at + 2, len - 2));
            at += len;
        }
        parts
    }

    fn word(&self, at: usize) -> u32 {
        self.bytes.get(at..at + 4).map_or(0, |four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    }

    /// Changes each number of SACK blocks.
    pub(crate) fn map_sack(&mut self, map: impl Fn(u32) -> u32) {
        for (_, at, len) in self.parts().into_iter().filter(|(kind, ..)| *kind == SACK) {
            for word in (at..at + len).step_by(4) {
                let mapped = map(self.word(word)).to_be_bytes();
                if let Some(place) = self.bytes.get_mut(word..word + 4) {
                    place.copy_from_slice(&mapped);
                }
            }
        }
    }

    /// The timestamp's value and echo, and where the option's data begins.
    pub(crate) fn timestamps(&self) -> Option<(usize, u32, u32)> {
        let (_, at, _) = self.parts().into_iter().find(|(kind, ..)| *kind == TIMESTAMPS)?;
        Some((at, self.word(at), self.word(at + 4)))
    }

    /// Writes a number at a place that `timestamps` gave.
    pub(crate) fn set_word(&mut self, at: usize, value: u32) {
        if let Some(place) = self.bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// As a script has them.
    pub(crate) fn show(&self) -> String {
        let number = |at: usize, len: usize| {
            self.bytes
                .get(at..at + len)
                .map_or(0, |bytes| bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)))
        };
        let show = |(kind, at, len): (u8, usize, usize)| match kind {
            END => "eol".to_string(),
            NOP => "nop".to_string(),
            MSS => format!("mss {}", number(at, 2)),
            WINDOW_SCALE => format!("wscale {}", number(at, 1)),
            SACK_PERMITTED => "sackOK".to_string(),
            TIMESTAMPS => format!("TS val {} ecr {}", number(at, 4), number(at + 4, 4)),
            SACK => {
                let blocks = (at..at + len).step_by(8).map(|at| format!(" {}:{}", number(at, 4), number(at + 4, 4)));
                format!("sack{}", blocks.collect::<String>())
            }
            FAST_OPEN => {
                let cookie = self.bytes.get(at..at + len).unwrap_or_default();
                format!("FO {}", cookie.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            other => format!("option {other} of {len} bytes"),
        };
        self.parts().into_iter().map(show).collect::<Vec<_>>().join(",")
    }
}
