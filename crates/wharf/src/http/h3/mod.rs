//! HTTP/3 (RFC 9114)

use crate::UdpOptions;
use crate::tls;

/// The QUIC connections of a client.
pub(super) struct Quic;

impl Quic {
    pub(super) fn new(_tls: &tls::Connector) -> Self {
        Self
    }
}

/// The options of a socket that QUIC runs on.
pub(super) fn socket_options() -> UdpOptions {
    UdpOptions::default()
}
