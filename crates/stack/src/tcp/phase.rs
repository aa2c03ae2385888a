//! The eleven states of a connection and the steps between them (RFC 9293 section 3.3.2, figure 5).
//!
//! ```text
//!            connect                    SYN to a listener
//!  CLOSED ------------> SYN-SENT     LISTEN -----------> SYN-RECEIVED
//!                          |  \  SYN, no ACK                /   |
//!                          |   `------------> SYN-RECEIVED      | ACK
//!                  SYN+ACK |                                    v
//!                          `---------------------------> ESTABLISHED
//!                                        finish              |  |   FIN
//!                                    +-----------------------+  +------------+
//!                                    v                                       v
//!                               FIN-WAIT-1 --FIN--> CLOSING              CLOSE-WAIT
//!                                    | ACK of FIN      | ACK of FIN          | finish
//!                                    v                 v                     v
//!                               FIN-WAIT-2 --FIN--> TIME-WAIT             LAST-ACK --ACK of FIN--> CLOSED
//! ```
//!
//! A listener and a remembered connection in TIME-WAIT are types of their own (`listener`, `time_wait`); the phases
//! `Listen` and `TimeWait` exist here so that the owner can be told about them in the same words.

/// A state of RFC 9293.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// There is no connection.
    Closed,
    /// Waiting for connection requests.
    Listen,
    /// A SYN was sent.
    SynSent,
    /// A SYN was received and answered.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// This side has finished; its FIN is not acknowledged yet.
    FinWait1,
    /// This side has finished and the peer knows.
    FinWait2,
    /// The peer has finished; this side has not.
    CloseWait,
    /// Both have finished at the same time; this side's FIN is not acknowledged yet.
    Closing,
    /// Both have finished, the peer first; this side's FIN is not acknowledged yet.
    LastAck,
    /// Over; remembered for twice the maximum segment lifetime.
    TimeWait,
}

impl Phase {
    /// Both sides know each other's initial sequence number.
    #[must_use]
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Self::Closed | Self::Listen | Self::SynSent | Self::SynReceived)
    }

    /// The peer has not finished: what it sends is taken.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// Data or a FIN of ours may be on the way or waiting.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::Established | Self::CloseWait | Self::FinWait1 | Self::Closing | Self::LastAck)
    }

    /// This side has finished: a FIN follows its last byte.
    #[must_use]
    pub const fn has_finished(self) -> bool {
        matches!(self, Self::FinWait1 | Self::FinWait2 | Self::Closing | Self::LastAck | Self::TimeWait)
    }

    /// The step when this side finishes.
    pub(crate) const fn on_finish(self) -> Self {
        match self {
            Self::Established => Self::FinWait1,
            Self::CloseWait => Self::LastAck,
            other => other,
        }
    }

    /// The step when the peer's FIN has been taken.
    pub(crate) const fn on_fin(self) -> Self {
        match self {
            Self::Established => Self::CloseWait,
            Self::FinWait1 => Self::Closing,
            Self::FinWait2 => Self::TimeWait,
            other => other,
        }
    }

    /// The step when this side's FIN has been acknowledged.
    pub(crate) const fn on_fin_acknowledged(self) -> Self {
        match self {
            Self::FinWait1 => Self::FinWait2,
            Self::Closing => Self::TimeWait,
            Self::LastAck => Self::Closed,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
