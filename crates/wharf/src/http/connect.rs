//! From a place to a connection that takes requests: dialling, the proxy's part, TLS, and what ALPN chose.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::client::Timeouts;
use super::dial::{Dial, Dialed};
use super::early::Sent;
use super::error::Error;
use super::pool::{Place, Speaks};
use super::proxy;
use super::timing::Timing;
use super::{h1, h2};
use crate::tls::{self, Agreed, EarlyData};

/// What is known of a connection, whatever requests it carries.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The address that answered: a proxy's where there is one.
    pub remote: SocketAddr,
    pub tls: Option<Agreed>,
}

/// A connection just made.
pub(super) enum Connected {
    One(h1::Connection, Arc<Facts>),
    Two(h2::Connection),
}

/// A stream of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection to `place`. `speaks` says what it is to speak; where that is unknown, ALPN says it. Where there is an
/// `early` request of HTTP/1.1, it goes out with the handshake if a session can be resumed, and else when hyper sends it.
pub(super) async fn connect<D: Dial>(
    dial: &D,
    tls: &tls::Connector,
    place: &Place,
    speaks: Speaks,
    early: Option<Vec<u8>>,
    timeouts: &Timeouts,
    timing: &mut Timing,
) -> Result<Connected, Error> {
    let begun = Instant::now();
    let (remote, mut stream) = match &place.proxy {
        None => {
            let Dialed { stream, remote, name } = dial.dial(&place.host, place.port, timeouts.connect).await?;
            timing.name = Some(name);
            let stream: Box<dyn Stream> = Box::new(stream);
            (remote, stream)
        }
        Some(proxy) => {
            let Dialed { stream, remote, name } = dial.dial(proxy.host(), proxy.port(), timeouts.connect).await?;
            timing.name = Some(name);
            let mut stream: Box<dyn Stream> = Box::new(stream);
            let led = proxy::lead(proxy, &mut stream, place, dial);
            match tokio::time::timeout(timeouts.connect, led).await {
                Ok(led) => led?,
                Err(_) => {
                    let reason = "it took the request and did not answer in time; try again".to_owned();
                    return Err(proxy.refuses(place, reason));
                }
            }
            (remote, stream)
        }
    };
    timing.connect = Some(begun.elapsed().saturating_sub(timing.name.unwrap_or_default()));

    let mut agreed = None;
    if place.secure {
        let begun = Instant::now();
        let (session, sent) = match early {
            None => (tls.connect(&place.host, stream, timeouts.connect).await?, None),
            Some(head) => {
                // The server's choice cannot be another one than what goes early is written in.
                let tls = tls.with_alpn(&["http/1.1"]);
                let (session, fate) = tls.connect_early(&place.host, stream, &head, timeouts.connect).await?;
                (session, (fate == EarlyData::Accepted).then_some(head))
            }
        };
        timing.tls = Some(begun.elapsed());
        agreed = Some(Agreed::of(&session));
        stream = Box::new(session);
        if let Some(head) = sent {
            stream = Box::new(Sent::new(stream, head));
        }
    }
    let chosen = agreed.as_ref().and_then(|agreed| agreed.application.as_deref());
    let two = match (place.secure, chosen, speaks) {
        (true, Some("h2"), _) => true,
        // RFC 9113 section 3.3: without ALPN's word it is not HTTP/2.
        (true, _, Speaks::Two) => {
            let reason = "TLS did not agree on it".to_owned();
            return Err(Error::Version { host: place.host.clone(), wanted: "HTTP/2", reason });
        }
        (true, ..) => false,
        // RFC 9113 section 3.3: prior knowledge, the caller's.
        (false, _, speaks) => speaks == Speaks::Two,
    };
    let facts = Arc::new(Facts { remote, tls: agreed });
    if two {
        Ok(Connected::Two(h2::Connection::over(stream, facts, &place.host).await?))
    } else {
        Ok(Connected::One(h1::Connection::over(stream, &place.host).await?, facts))
    }
}
