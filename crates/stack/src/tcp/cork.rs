//! Holding back what does not fill a segment while the application has more to write: TCP_CORK and MSG_MORE of Linux,
//! TCP_NOPUSH of the BSDs. `output` asks here.
//!
//! RFC 9293 section 3.7.4 lets a sender wait for more, and RFC 1122 section 4.2.3.4 demands an override: what is held
//! back goes after the time at which a window would be probed for (`persist`).

use crate::stack::Stack;
use crate::tcp::ConnectionId;
use crate::tcp::connection::{Connection, Flags};
use crate::time::Instant;

impl Connection {
    /// Whether what does not fill a segment has to wait. Nothing waits for an application that has finished, and urgent
    /// data for nothing.
    pub(super) fn is_corked(&self) -> bool {
        self.flags.has(Flags::CORKED) && !self.flags.has(Flags::FINISHED) && !self.has_unsent_urgent_text()
    }
}

impl Stack {
    /// [`SocketOption::Cork`](crate::tcp::SocketOption::Cork). It changes with every response, and so is none of the settings
    /// that connections share.
    pub(super) fn cork(&mut self, now: Instant, connection: ConnectionId, on: bool) {
        self.change_connection(now, connection, |connection, _| {
            if on {
                connection.flags.set(Flags::CORKED);
            } else {
                connection.flags.clear(Flags::CORKED);
            }
        });
    }
}
