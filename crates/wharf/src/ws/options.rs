//! What a connection may do and take.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::Error;
use crate::tls;

/// What both ends need to agree with themselves about.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes of a message, in and out. A larger one that comes in ends the connection with code 1009.
    pub max_message: usize,
    /// Most bytes of one frame that comes in.
    pub max_frame: usize,
    /// Most bytes that wait to be written when a further message is queued; see [`super::WebSocket::queue`].
    pub max_buffered: usize,
    /// Messages longer than this go out in several frames (RFC 6455 section 5.4); `None` for one frame each.
    pub fragment: Option<usize>,
    /// How long the opening handshake may take.
    pub handshake: Duration,
    /// How long the peer may take to answer a Close frame and to end the connection.
    pub close: Duration,
    /// Send a Ping when nothing came for so long, and give up when nothing comes for as long again, and for five
    /// seconds at least.
    pub keep_alive: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 16 << 20,
            max_frame: 16 << 20,
            max_buffered: 1 << 20,
            fragment: None,
            handshake: Duration::from_secs(30),
            close: Duration::from_secs(10),
            keep_alive: None,
        }
    }
}

impl Limits {
    /// The same for tungstenite.
    pub(super) fn config(&self) -> WebSocketConfig {
        const WRITE_AT: usize = 64 << 10;
        // The largest message fits when nothing waits, and what may wait is refused by us first.
        let room = self.max_message.saturating_add(self.max_buffered).saturating_add(2 * WRITE_AT);
        WebSocketConfig::default()
            .read_buffer_size(64 << 10)
            .write_buffer_size(WRITE_AT)
            .max_write_buffer_size(room)
            .max_message_size(Some(self.max_message))
            .max_frame_size(Some(self.max_frame))
    }
}

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Header fields of the request, beside those of the handshake.
    pub headers: HeaderMap,
    /// Subprotocols, the preferred one first. The server must take one of them.
    pub subprotocols: Vec<String>,
    /// Makes the sessions of `wss`; `None` trusts the Mozilla roots.
    pub tls: Option<tls::Connector>,
    /// Offer to compress messages (permessage-deflate, RFC 7692). It costs memory, some 300 KiB, and gives away by its
    /// length how alike a message is to those before: not for secrets among what others have a hand in.
    pub deflate: bool,
    /// Limits of size and time.
    pub limits: Limits,
}

impl Options {
    /// Adds a header field written `Name: value`.
    ///
    /// # Errors
    /// [`Error::Header`] when it is none, or one that the handshake sets itself.
    pub fn header_line(&mut self, line: &str) -> Result<(), Error> {
        let refused = || Error::Header(line.to_owned());
        let (name, value) = line.split_once(':').ok_or_else(refused)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| refused())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| refused())?;
        self.headers.append(name, value);
        Ok(())
    }
}

/// What a server takes.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Compress messages with clients that offer it, as [`Options::deflate`].
    pub deflate: bool,
    /// Subprotocols, the preferred one first. A client that offers none of them gets none.
    pub subprotocols: Vec<String>,
    /// Limits of size and time.
    pub limits: Limits,
}
