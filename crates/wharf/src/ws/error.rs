//! Why a WebSocket did not come about or did not last, each as a sentence: the thing, and the next step.

use std::time::Duration;

use ::http::StatusCode;
use tokio_tungstenite::tungstenite;
use tungstenite::error::{CapacityError, ProtocolError, SubProtocolError};

use super::socket::Closed;
use crate::http::{self, Layer};
use crate::tls;

/// A WebSocket that did not come about, or did not last.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is none of a WebSocket.
    #[error("URL: {url:?} is not a WebSocket's: {reason}; write it like wss://example.com/chat")]
    Url {
        /// The text given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header field that cannot be sent.
    #[error("WebSocket: {0:?} is not a header field that can be added; write it like 'Authorization: ...'")]
    Header(String),
    /// A subprotocol's name that cannot be sent.
    #[error("WebSocket: {0:?} cannot be the name of a subprotocol (RFC 6455 section 4.1)")]
    Subprotocol(String),
    /// A code or a reason that no Close frame may carry.
    #[error("WebSocket: a Close frame cannot say {code} {reason:?}: {why}")]
    CloseFrame {
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A control frame carries 125 bytes at most.
    #[error("WebSocket: a Ping or Pong carries at most 125 bytes, not {0}")]
    ControlTooLong(usize),
    /// No connection, or no TLS session.
    #[error(transparent)]
    Connect(#[from] http::Error),
    /// The opening handshake was not done in time.
    #[error(
        "WebSocket: {host} did not answer the handshake in {after:?}; is it a WebSocket server? (--timeout allows more)"
    )]
    HandshakeTimedOut {
        /// The server.
        host: String,
        /// The time allowed.
        after: Duration,
    },
    /// The server answered the handshake with another status than 101.
    #[error("WebSocket: {host} refused the handshake: {status}{}", refused_hint(*status))]
    Refused {
        /// The server.
        host: String,
        /// Its status.
        status: StatusCode,
    },
    /// What came back to the handshake is none.
    #[error("WebSocket: {host} did not complete the handshake: {reason}")]
    Handshake {
        /// The peer.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A message that came in is larger than allowed. The peer was told with code 1009.
    #[error("WebSocket: the peer sent a message of {size} bytes or more, and {limit} are allowed")]
    TooLarge {
        /// The size that was seen.
        size: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A message to send is larger than allowed.
    #[error("WebSocket: a message of {size} bytes is not sent, {limit} are allowed")]
    TooLargeToSend {
        /// Its size.
        size: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A text message that came in is no text. The peer was told with code 1007.
    #[error("WebSocket: the peer sent a text message that is not UTF-8")]
    NotUtf8,
    /// The peer broke the protocol. It was told with code 1002.
    #[error("WebSocket: the peer broke the protocol: {0}")]
    Protocol(String),
    /// The connection ended without a closing handshake.
    #[error("WebSocket: the connection was lost without a Close frame: {0}; try again")]
    Lost(String),
    /// Nothing came from the peer, not even a Pong.
    #[error("WebSocket: nothing came from the peer in {after:?} after a Ping; the connection is given up")]
    Silent {
        /// The time allowed.
        after: Duration,
    },
    /// The peer did not answer a Close frame.
    #[error("WebSocket: the peer did not answer the Close frame in {after:?}; the connection is given up")]
    CloseTimedOut {
        /// The time allowed.
        after: Duration,
    },
    /// Too much waits to be written; nothing was queued.
    #[error("WebSocket: {buffered} bytes wait to be written already")]
    Full {
        /// Bytes that wait.
        buffered: u64,
    },
    /// The connection is closing or closed.
    #[error("WebSocket: the connection is closed{}", closed_as_words(.0))]
    Closed(Option<Closed>),
}

impl Error {
    /// The layer that failed, for exit statuses.
    pub fn layer(&self) -> Layer {
        match self {
            Self::Url { .. }
            | Self::Header(_)
            | Self::Subprotocol(_)
            | Self::CloseFrame { .. }
            | Self::ControlTooLong(_)
            | Self::TooLargeToSend { .. } => Layer::Usage,
            Self::Connect(error) => error.layer(),
            Self::HandshakeTimedOut { .. } | Self::Lost(_) | Self::Silent { .. } | Self::CloseTimedOut { .. } => {
                Layer::Network
            }
            _ => Layer::Protocol,
        }
    }

    /// What a handshake with `host` came to.
    pub(super) fn from_handshake(host: &str, error: tungstenite::Error) -> Self {
        use tungstenite::Error as E;
        let host = host.to_owned();
        let reason = match error {
            E::Http(response) => return Self::Refused { host, status: response.status() },
            E::Protocol(ProtocolError::HandshakeIncomplete) => "it closed the connection in the middle".to_owned(),
            E::Protocol(ProtocolError::SecWebSocketAcceptKeyMismatch) => {
                "its Sec-WebSocket-Accept does not answer our key; something in between may have answered".to_owned()
            }
            E::Protocol(ProtocolError::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol)) => {
                "it speaks none of the subprotocols offered".to_owned()
            }
            E::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => {
                "it chose a subprotocol that was not offered".to_owned()
            }
            E::Protocol(ProtocolError::HttparseError(error)) => {
                format!("what it sent is not HTTP ({error}); is this the right port, and ws or wss right?")
            }
            E::AttackAttempt | E::Capacity(_) => "its answer has endless header fields".to_owned(),
            E::Io(error) => format!("the connection was lost: {error}"),
            other => other.to_string(),
        };
        Self::Handshake { host, reason }
    }

    /// What ended an open connection, and the code by which the peer is told (RFC 6455 section 7.4.1).
    pub(super) fn from_open(error: tungstenite::Error) -> (Self, Option<u16>) {
        use tungstenite::Error as E;
        match error {
            E::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                (Self::TooLarge { size, limit: max_size }, Some(1009))
            }
            E::Utf8(_) => (Self::NotUtf8, Some(1007)),
            E::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                (Self::Lost("the peer ended it".to_owned()), None)
            }
            E::Protocol(error) => (Self::Protocol(error.to_string()), Some(1002)),
            E::Io(error) => (Self::Lost(error.to_string()), None),
            E::ConnectionClosed | E::AlreadyClosed => (Self::Closed(None), None),
            other => (Self::Protocol(other.to_string()), Some(1002)),
        }
    }
}

impl From<tls::Error> for Error {
    fn from(error: tls::Error) -> Self {
        Self::Connect(error.into())
    }
}

fn refused_hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "; give a user name and password in the URL, or --header 'Authorization: ...'",
        StatusCode::FORBIDDEN => "; it may want an Origin or a token (--header)",
        StatusCode::NOT_FOUND => "; check the path of the URL",
        _ if status.is_redirection() => "; it wants another URL, which is not followed",
        _ if status.is_success() => "; it answers as a web server, with no WebSocket at this path",
        _ => "",
    }
}

fn closed_as_words(closed: &Option<Closed>) -> String {
    closed.as_ref().map(|closed| format!(": {closed}")).unwrap_or_default()
}
