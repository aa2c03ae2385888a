//! HTTP/3 (RFC 9114) over QUIC (RFC 9000), by h3 and quinn on datagram sockets of ours: one connection for each
//! origin, shared by its requests.
//!
//! `attempt` asks [`Quic::known`] whether an origin has said that it speaks it, and sends by [`Quic::connection`] and
//! [`exchange()`].

mod alternatives;
mod exchange;
mod socket;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::HeaderMap;
use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use tokio::time::Instant;

use self::alternatives::Alternatives;
use self::socket::{OnTokio, Socket};
use super::client::Timeouts;
use super::connect::Facts;
use super::dial::Dial;
use super::error::Error;
use super::head::MAX_HEAD;
use super::pool::{IDLE, Place};
use super::timing::Timing;
use crate::connect::race;
use crate::tls;
use crate::{SocketError, lock};

pub(super) use self::alternatives::Alternative;
pub(super) use self::exchange::exchange;
pub(super) use self::socket::options as socket_options;

/// How long QUIC is given before a request that could go over TCP goes there.
// RFC 9002 section 6.2.2: a first datagram that is lost is sent again after a second. One loss must not cost QUIC.
const HEAD_START: Duration = Duration::from_secs(2);

/// What a server may send on one stream before it is read, and on all together, in bytes.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// RFC 9000 section 10.1: a connection on which nothing comes for so long is given up.
const SILENCE: u32 = 30_000;

/// A connection is kept alive as long as it is of use; when it is not, this side closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Places whose connections are remembered.
const MAX_PLACES: usize = 1024;

/// The QUIC connections of a client and its clones, and what origins have said of HTTP/3.
pub(super) struct Quic {
    tls: tls::Connector,
    config: Mutex<Option<quinn::ClientConfig>>,
    places: Mutex<HashMap<Place, Arc<Shelf>>>,
    alternatives: Alternatives,
}

/// The connection to one place. Who makes it holds the lock, so that the others wait and share it.
type Shelf = tokio::sync::Mutex<Option<Connection>>;

/// A connection, shared by its clones.
#[derive(Clone)]
pub(super) struct Connection {
    sender: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    quic: quinn::Connection,
    facts: Arc<Facts>,
    use_: Arc<Use>,
}

/// Who uses a connection.
struct Use {
    under_way: AtomicUsize,
    served: AtomicUsize,
    /// The server takes no more requests.
    gone: AtomicBool,
    idle_since: Mutex<Instant>,
}

/// A request under way, for the count.
struct UnderWay(Arc<Use>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
            *lock(&self.0.idle_since) = Instant::now();
        }
    }
}

impl Connection {
    pub(super) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    pub(super) fn has_served(&self) -> bool {
        self.use_.served.load(Ordering::Relaxed) > 0
    }

    fn is_open(&self) -> bool {
        self.quic.close_reason().is_none() && !self.use_.gone.load(Ordering::Relaxed)
    }
}

impl Quic {
    pub(super) fn new(tls: &tls::Connector) -> Self {
        Self {
            tls: tls.with_alpn(&["h3"]),
            config: Mutex::default(),
            places: Mutex::default(),
            alternatives: Alternatives::default(),
        }
    }

    /// Takes in what a response from `place` says of HTTP/3.
    pub(super) fn learn(&self, place: &Place, headers: &HeaderMap) {
        // RFC 7838 section 2.1: only what is said over TLS can be believed of TLS.
        if place.secure && place.proxy.is_none() {
            self.alternatives.learn(&origin(place), headers);
        }
    }

    /// Where `place` speaks HTTP/3, if it said so and it has not failed of late.
    pub(super) fn known(&self, place: &Place) -> Option<Alternative> {
        if !place.secure || place.proxy.is_some() {
            return None;
        }
        self.alternatives.find(&origin(place))
    }

    /// What `place` said of HTTP/3 did not hold.
    pub(super) fn failed(&self, place: &Place) {
        self.alternatives.failed(&origin(place));
    }

    /// A connection to `place`, at `alternative` where it named one: there quickly or not at all, since there is TCP.
    pub(super) async fn connection<D: Dial>(
        &self,
        dial: &D,
        place: &Place,
        alternative: Option<&Alternative>,
        timeouts: &Timeouts,
        timing: &mut Timing,
    ) -> Result<Connection, Error> {
        let shelf = {
            let mut places = lock(&self.places);
            if places.len() >= MAX_PLACES {
                // One that somebody uses is held by him too.
                places.retain(|_, shelf| Arc::strong_count(shelf) > 1);
            }
            Arc::clone(places.entry(place.clone()).or_default())
        };
        let patience = match alternative {
            Some(_) => timeouts.connect.min(HEAD_START),
            None => timeouts.connect,
        };
        let (host, port) = alternative.map_or((&*place.host, place.port), |other| (&*other.host, other.port));
        let too_long = || no_connection(place, format!("no answer in {} s", patience.as_secs_f32()));
        let deadline = Instant::now() + patience;
        let mut shelf = tokio::time::timeout_at(deadline, shelf.lock_owned()).await.map_err(|_| too_long())?;
        timing.waited = timing.began.elapsed();
        if let Some(connection) = shelf.as_ref().filter(|connection| connection.is_open()) {
            return Ok(connection.clone());
        }
        *shelf = None;
        let begun = Instant::now();
        let addresses = dial.resolve(host).await?;
        timing.name = Some(begun.elapsed());
        // Looking the name up is not QUIC's time.
        let begun = Instant::now();
        let attempt = |address| self.connect(dial, place, SocketAddr::new(address, port));
        match race(&addresses, patience, attempt).await {
            Ok((_, connection)) => {
                timing.connect = Some(begun.elapsed());
                *shelf = Some(connection.clone());
                self.alternatives.worked(&origin(place));
                Ok(connection)
            }
            Err(Some((_, error))) => Err(error.unwrap_or_else(too_long)),
            Err(None) => Err(no_connection(place, "the name has no address".to_owned())),
        }
    }

    async fn connect<D: Dial>(&self, dial: &D, place: &Place, remote: SocketAddr) -> Result<Connection, Error> {
        let failed = |reason: String| no_connection(place, reason);
        let config = self.config(place)?;
        let socket = dial.bind(remote).await.map_err(|error| failed(error.to_string()))?;
        let (socket, mut trouble) = Socket::new(socket);
        let mut endpoint =
            Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, Arc::new(OnTokio))
                .map_err(|error| failed(error.to_string()))?;
        endpoint.set_default_client_config(config);
        let connecting = endpoint.connect(remote, &place.host).map_err(|error| failed(error.to_string()))?;
        let quic = tokio::select! {
            connected = connecting => connected.map_err(|error| refused(place, &error))?,
            // ICMP says that nobody is there: waiting would not change that. The engine checked that it is about us.
            told = trouble.wait_for(Option::is_some) => {
                let reason = told.ok().and_then(|told| *told).unwrap_or(SocketError::EngineStopped);
                return Err(failed(reason.to_string()));
            }
        };
        let (mut driver, sender) = h3::client::builder()
            .max_field_section_size(MAX_HEAD as u64)
            .send_grease(false)
            .build::<_, _, Bytes>(h3_quinn::Connection::new(quic.clone()))
            .await
            .map_err(|error| failed(error.to_string()))?;
        let use_ = Arc::new(Use {
            under_way: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
        });
        let (watched, closing) = (Arc::clone(&use_), quic.clone());
        tokio::spawn(async move {
            tokio::select! {
                // Its error reaches the requests and bodies that it concerns.
                _ = std::future::poll_fn(|context| driver.poll_close(context)) => {}
                () = unused(&watched) => {}
            }
            closing.close(VarInt::from_u32(NO_ERROR), b"");
            // What is still to be said is said while the endpoint lives.
            endpoint.wait_idle().await;
        });
        // What its TLS agreed on, beyond the version, quinn keeps to itself.
        Ok(Connection { sender, quic, facts: Arc::new(Facts { remote, tls: None }), use_ })
    }

    /// quinn's configuration, made when it is first wanted.
    fn config(&self, place: &Place) -> Result<quinn::ClientConfig, Error> {
        let mut made = lock(&self.config);
        if let Some(config) = &*made {
            return Ok(config.clone());
        }
        let mut tls = rustls::ClientConfig::clone(&self.tls.config());
        // Tickets of TCP's sessions are not QUIC's.
        tls.resumption = rustls::client::Resumption::in_memory_sessions(256);
        let crypto = QuicClientConfig::try_from(tls)
            .map_err(|_| no_connection(place, "QUIC wants TLS 1.3, which is switched off".to_owned()))?;
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(SILENCE))))
            .keep_alive_interval(Some(KEEP_ALIVE))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
            .receive_window(VarInt::from_u32(CONNECTION_WINDOW));
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        Ok(made.insert(config).clone())
    }
}

/// RFC 9114 section 8.1: H3_NO_ERROR.
const NO_ERROR: u32 = 0x100;

/// Waits until nobody has used a connection for a while.
async fn unused(watched: &Use) {
    loop {
        let since = *lock(&watched.idle_since);
        let used = watched.under_way.load(Ordering::Relaxed) > 0;
        if !used && since.elapsed() >= IDLE {
            return;
        }
        tokio::time::sleep(if used { IDLE } else { IDLE.saturating_sub(since.elapsed()) }).await;
    }
}

fn origin(place: &Place) -> alternatives::Origin {
    (place.host.clone(), place.port)
}

fn no_connection(place: &Place, reason: String) -> Error {
    Error::Quic { host: place.host.clone(), reason }
}

fn refused(place: &Place, error: &quinn::ConnectionError) -> Error {
    match error {
        // RFC 9001 section 4.8: an alert of TLS is a code from 0x100 to 0x1ff.
        quinn::ConnectionError::TransportError(error) if (0x100..0x200).contains(&u64::from(error.code)) => {
            Error::Tls(tls::Error::Handshake { name: place.host.clone(), reason: error.reason.clone() })
        }
        other => no_connection(place, other.to_string()),
    }
}
