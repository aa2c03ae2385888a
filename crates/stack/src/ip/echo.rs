//! Echo sockets: ICMP echo requests out, replies and errors in. What `ping` stands on.

use crate::handle::Handle;

/// Marks handles of echo sockets.
pub enum EchoKind {}

/// Names an echo socket of one engine.
pub type EchoId = Handle<EchoKind>;
