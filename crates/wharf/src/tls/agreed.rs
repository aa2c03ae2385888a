//! What a handshake agreed on, for display and for those who choose by ALPN.

use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::{ServerStream, TlsStream};

/// What a handshake agreed on, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The protocol's version: `TLS 1.3` or `TLS 1.2`.
    pub version: &'static str,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: String,
    /// The key exchange, such as `X25519MLKEM768`; `None` for a session that was resumed without one.
    pub key_exchange: Option<String>,
    /// The application protocol that ALPN chose (RFC 7301), if both sides named one.
    pub application: Option<String>,
    /// Whether an earlier session was resumed, so that no certificate was sent and checked anew.
    pub resumed: bool,
}

impl Agreed {
    /// What the handshake of `stream` agreed on.
    pub fn of<IO>(stream: &TlsStream<IO>) -> Self {
        Self::from_state(stream.get_ref().1)
    }

    /// What the handshake of `stream`, the server's end, agreed on.
    pub fn of_server<IO>(stream: &ServerStream<IO>) -> Self {
        Self::from_state(stream.get_ref().1)
    }

    fn from_state(session: &CommonState) -> Self {
        Self {
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS 1.3",
            },
            cipher_suite: session
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown")
                .to_owned(),
            key_exchange: session
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str())
                .map(str::to_owned),
            application: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}
