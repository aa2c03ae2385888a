//! What a connection has counted that nothing but [`TcpInfo`](super::TcpInfo) asks for.
//!
//! Made when the first text goes out or the first mark arrives, so that a connection that never spoke has none. Bytes
//! acknowledged and received need no counter: the rings' positions tell.

use alloc::boxed::Box;

use crate::tcp::connection::Connection;

/// Counters since the connection began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Segments that arrived with a mark (CE).
    pub marks_received: u32,
    /// Acknowledgements that echoed one (ECE).
    pub echoes_received: u32,
}

impl Connection {
    /// The ledger, made when there is something to enter.
    pub(crate) fn ledger_mut(&mut self) -> &mut Ledger {
        self.ledger.get_or_insert_with(Box::default)
    }
}
