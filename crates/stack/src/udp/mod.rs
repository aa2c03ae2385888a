//! UDP (RFC 768): `input` finds the socket, `output` sends, `ports` chooses ephemeral ports.

use crate::handle::Handle;

/// Marks handles of UDP sockets.
pub enum UdpKind {}

/// Names a UDP socket of one engine.
pub type UdpId = Handle<UdpKind>;
