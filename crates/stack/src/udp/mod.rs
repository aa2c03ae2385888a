//! UDP (RFC 768): `input` finds the socket, `output` sends, `socket` is one, `sockets` the tables that find it, `held`
//! keeps what any-address mode has not decided about, `commands` are the calls of [`Stack`](crate::Stack).

mod commands;
pub(crate) mod held;
mod input;
mod output;
mod socket;
mod sockets;

pub use output::SendError;
pub use socket::{DatagramRings, UdpError, UdpOptions, UdpStats};

pub(crate) use sockets::Udp;

use crate::handle::Handle;

/// Marks handles of UDP sockets.
pub enum UdpKind {}

/// Names a UDP socket of one engine.
pub type UdpId = Handle<UdpKind>;
