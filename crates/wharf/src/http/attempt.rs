//! One request over the network: which way it goes, the attempts it takes, and when another is allowed.
//!
//! `client` calls [`Client::send_once`] for each hop of a redirect; what is kept stands in between.

use std::sync::Arc;

use ::http::{Response as ResponseHead, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::body::{Body, Limits, Source};
use super::client::{Client, Response, Versions, Whole};
use super::connect::{Connected, Facts, connect};
use super::dial::{Dial, destination};
use super::early::{head_of, may_go_early};
use super::error::Error;
use super::exchange::{Again, Failed, announced};
use super::h3::Alternative;
use super::head::{Reader, authority, expects_continue};
use super::pool::{Kept, Place, Slot, Speaks, Turn};
use super::request::Request;
use super::timing::Timing;
use super::{h1, h2, h3};

/// The most attempts at one request, where it is certain that the server has not looked at those before.
const ATTEMPTS: usize = 3;

/// An attempt that failed, and on what.
struct Missed {
    failed: Failed,
    /// The connection had been used before, so that it may just have been stale.
    reused: bool,
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Self { failed: error.into(), reused: false }
    }
}

/// How a request travels.
enum Way {
    Tcp,
    /// Where the origin said, or, where only HTTP/3 is wanted, where its URLs say.
    Quic(Option<Alternative>),
}

/// The head of a response, and where the body comes from.
struct Answer {
    head: ResponseHead<()>,
    source: Source,
    facts: Arc<Facts>,
}

impl<D: Dial> Client<D> {
    /// One request over the network and the head of its response: no redirects, and nothing kept or decoded.
    pub(super) async fn send_once(&self, request: &Request, whole: Whole) -> Result<Response, Error> {
        let response = self.send_as_it_is(request, whole, self.early).await?;
        // RFC 8470 section 5.2: the server wants to see the handshake done first.
        if self.early && response.status == StatusCode::TOO_EARLY && request.method.is_safe() && !request.has_body() {
            drop(response);
            return self.send_as_it_is(request, whole, false).await;
        }
        // RFC 9110 section 15.5.18: the expectation was not met; the request may come without one.
        if response.status == StatusCode::EXPECTATION_FAILED && expects_continue(request) && request.body.is_there() {
            let mut plain = request.clone();
            plain.expects_continue = false;
            drop(response);
            return self.send_as_it_is(&plain, whole, self.early).await;
        }
        Ok(response)
    }

    /// `early` allows it to go out before the handshake is done.
    async fn send_as_it_is(&self, request: &Request, whole: Whole, early: bool) -> Result<Response, Error> {
        let place = self.place(&request.url)?;
        let early = early && may_go_early(request, &place);
        let began = Instant::now();
        // A kept connection may have been closed by the server just now: the second attempt trusts none.
        let mut fresh = false;
        let mut without_quic = false;
        let mut attempt = 1;
        loop {
            let mut timing = Timing { began, ..Timing::begin() };
            let attempted = match self.way(&place, without_quic)? {
                Way::Tcp => self.over_tcp(request, &place, fresh, early && attempt == 1, &mut timing).await,
                Way::Quic(alternative) => {
                    let answer = self.over_quic(request, &place, alternative.as_ref(), &mut timing).await;
                    // There is TCP too: what failed on the way, and not on the request's account, is tried there.
                    if let (Err(missed), Some(_)) = (&answer, &alternative)
                        && missed.failed.again != Again::Never
                    {
                        self.quic.failed(&place);
                        let again = missed.failed.again == Again::Harmless || request.is_idempotent();
                        if again && request.body.is_there() {
                            without_quic = true;
                            continue;
                        }
                    }
                    answer
                }
            };
            let missed = match attempted {
                Ok(Answer { head, source, facts }) => {
                    self.quic.learn(&place, head.headers());
                    let limits = Limits { idle: self.timeouts.idle, whole };
                    let body = |headers: &_| Body::from_network(source, announced(headers), limits);
                    let mut response = Response::new(request, head, body, timing);
                    response.remote = Some(facts.remote);
                    response.tls = facts.tls.clone();
                    return Ok(response);
                }
                Err(missed) => missed,
            };
            let again = request.body.is_there()
                && match missed.failed.again {
                    Again::Harmless => attempt < ATTEMPTS,
                    // RFC 9110 section 9.2.2: only what does no more twice than once, and only once.
                    Again::IfIdempotent => missed.reused && !fresh && request.is_idempotent(),
                    Again::Never => false,
                };
            if !again {
                return Err(missed.failed.error);
            }
            attempt += 1;
            fresh = true;
        }
    }

    /// An attempt over a connection of the pool; `fresh` wants one of HTTP/1.1 that nobody has used, `early` has a new one
    /// begin with the request.
    async fn over_tcp(
        &self,
        request: &Request,
        place: &Place,
        fresh: bool,
        early: bool,
        timing: &mut Timing,
    ) -> Result<Answer, Missed> {
        let speaks = self.speaks(place);
        let origin = self.pool.origin(place, speaks);
        let turn = origin.turn(&authority(&request.url)).await?;
        timing.waited = timing.began.elapsed();
        let slot = match turn {
            Turn::Shared(connection) => return self.over_two(request, connection, timing).await,
            Turn::Open(slot) => slot,
            Turn::Kept(Kept { mut connection, facts, slot }) => {
                let patience = self.timeouts.connect;
                let ready = !fresh
                    && tokio::time::timeout(patience, connection.is_ready()).await.is_ok_and(|is_ready| is_ready);
                if ready {
                    timing.reused = true;
                    return self.over_one(request, place, connection, facts, slot, timing).await;
                }
                connection.close();
                slot
            }
        };
        // Only where it is known to be HTTP/1.1: what is sent early must be in the version that ALPN chose before.
        let early = if early && origin.speaks_one() { head_of(request).await } else { None };
        let was_early = early.is_some();
        match connect(&*self.dial, &self.tls, place, speaks, early, &self.timeouts, timing).await {
            Ok(Connected::One(connection, facts)) => {
                origin.learn_one();
                self.over_one(request, place, connection, facts, slot, timing).await
            }
            Ok(Connected::Two(connection)) => {
                let connection = origin.share(slot, connection);
                self.over_two(request, connection, timing).await
            }
            Err(error) => {
                origin.failed();
                // The server may have changed since the session that was to be resumed; and what went early is safe.
                let again = if was_early && matches!(error, Error::Tls(_)) { Again::Harmless } else { Again::Never };
                Err(Missed { failed: Failed { again, ..Failed::from(error) }, reused: false })
            }
        }
    }

    async fn over_one(
        &self,
        request: &Request,
        place: &Place,
        connection: h1::Connection,
        facts: Arc<Facts>,
        slot: Slot,
        timing: &mut Timing,
    ) -> Result<Answer, Missed> {
        let reader = match &place.proxy {
            Some(proxy) if !place.secure && proxy.takes_requests() => Reader::Proxy(proxy.authorization()),
            _ => Reader::Origin,
        };
        let outgoing = request.body.outgoing(expects_continue(request))?;
        let back = slot.into_return(Arc::clone(&facts));
        let sent = Instant::now();
        let exchange = h1::exchange(connection, back, request, reader, outgoing, self.timeouts.first_byte);
        let (head, source) = exchange.await.map_err(|failed| Missed { failed, reused: timing.reused })?;
        timing.first_byte = sent.elapsed();
        Ok(Answer { head, source, facts })
    }

    async fn over_two(
        &self,
        request: &Request,
        mut connection: h2::Connection,
        timing: &mut Timing,
    ) -> Result<Answer, Missed> {
        timing.reused = connection.has_served();
        let outgoing = request.body.outgoing(expects_continue(request))?;
        let sent = Instant::now();
        let exchange = h2::exchange(&mut connection, request, outgoing, self.timeouts.first_byte);
        let (head, source) = exchange.await.map_err(|failed| Missed { failed, reused: timing.reused })?;
        timing.first_byte = sent.elapsed();
        Ok(Answer { head, source, facts: Arc::clone(connection.facts()) })
    }

    /// An attempt over QUIC, at `alternative` where the origin named one.
    async fn over_quic(
        &self,
        request: &Request,
        place: &Place,
        alternative: Option<&Alternative>,
        timing: &mut Timing,
    ) -> Result<Answer, Missed> {
        let connected = self.quic.connection(&*self.dial, place, alternative, &self.timeouts, timing).await;
        let mut connection =
            connected.map_err(|error| Missed { failed: Failed { error, again: Again::Harmless }, reused: false })?;
        timing.reused = connection.has_served();
        let outgoing = request.body.outgoing(expects_continue(request))?;
        let sent = Instant::now();
        let exchange = h3::exchange(&mut connection, request, outgoing, self.timeouts.first_byte);
        let (head, source) = exchange.await.map_err(|failed| Missed { failed, reused: timing.reused })?;
        timing.first_byte = sent.elapsed();
        Ok(Answer { head, source, facts: Arc::clone(connection.facts()) })
    }

    /// Whether `place` is reached over TCP or QUIC.
    fn way(&self, place: &Place, without_quic: bool) -> Result<Way, Error> {
        let refuse = |reason: &str| {
            Err(Error::Version { host: place.host.clone(), wanted: "HTTP/3", reason: reason.to_owned() })
        };
        match self.versions {
            Versions::Http1 | Versions::Http2 => Ok(Way::Tcp),
            Versions::Http3 if !place.secure => refuse("it is for https, and the URL is of http"),
            Versions::Http3 if place.proxy.is_some() => refuse("it does not go through proxies"),
            Versions::Http3 => Ok(Way::Quic(None)),
            Versions::Auto if without_quic => Ok(Way::Tcp),
            Versions::Auto => Ok(self.quic.known(place).map_or(Way::Tcp, |known| Way::Quic(Some(known)))),
        }
    }

    /// Where `url` leads, and by which proxy.
    fn place(&self, url: &Url) -> Result<Place, Error> {
        let missing = || Error::Url { url: url.to_string(), reason: "it names no host".to_owned() };
        let (host, port) = destination(url).ok_or_else(missing)?;
        let secure = url.scheme() == "https";
        let proxy = self.proxies.for_host(secure, &host, port).cloned();
        Ok(Place { secure, host, port, proxy })
    }

    /// What is spoken at `place` over TCP, as far as that is settled before anybody is asked.
    fn speaks(&self, place: &Place) -> Speaks {
        match self.versions {
            Versions::Auto if place.secure => Speaks::Unknown,
            Versions::Http2 => Speaks::Two,
            Versions::Auto | Versions::Http1 | Versions::Http3 => Speaks::One,
        }
    }
}
