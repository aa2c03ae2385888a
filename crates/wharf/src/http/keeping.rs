//! What a client keeps from one request to the next, and what it undoes: cookies, the cache, content codings. Stands
//! between `client`, which follows redirects, and the sending of one request over the network, which it is given.
//!
//! The cache lies below cookies and codings: it holds bodies as they were sent, and requests reach it with the `Cookie`
//! and `Accept-Encoding` that a response may vary by.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use ::http::header::{ACCEPT_ENCODING, COOKIE, HeaderValue, RANGE, TRANSFER_ENCODING};
use ::http::{Method, StatusCode, Version};
use bytes::Bytes;
use hyper::body::Frame;
use url::Url;

use super::body::Body;
use super::cache::rules::{self, Asked, Meta, Use};
use super::cache::{Cache, CacheUse, Found};
use super::client::Response;
use super::coding::{self, Codings, Decoder, DecodingBounds, Pulled};
use super::cookies::Cookies;
use super::error::{Error, Layer};
use super::request::Request;
use super::timing::Timing;

/// The body of a redirect is read for the sake of the cache if it is no longer.
const MOST_OF_A_REDIRECT: u64 = 64 << 10;

/// One request under way over the network.
pub(super) type Sending = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

/// Whether somebody waits for the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Waited,
    /// The cache asks for itself.
    Background,
}

/// What sends a request over the network, without following redirects.
pub(super) trait Once: Fn(Request, Sent) -> Sending + Clone + Send + Sync + 'static {}

impl<F: Fn(Request, Sent) -> Sending + Clone + Send + Sync + 'static> Once for F {}

/// What a client keeps, each part only if it was given.
#[derive(Clone, Default)]
pub(super) struct Kept {
    pub(super) cookies: Option<Cookies>,
    pub(super) cache: Option<Cache>,
    pub(super) decoding: Option<DecodingBounds>,
}

impl Kept {
    /// Sends one request, to which the URLs `from` redirected, out of the cache or by `once`.
    pub(super) async fn send(&self, request: &Request, from: &[Url], once: impl Once) -> Result<Response, Error> {
        let mut request = request.clone();
        if let Some(cookies) = &self.cookies
            && let Some(field) = cookies.field(&request.method, &request.url, from)
        {
            add_cookies(&mut request, &field);
        }
        // A range is of the coded bytes: who asks for one wants them plain.
        let decodes = self.decoding.filter(|_| !request.headers.contains_key(RANGE));
        if decodes.is_some() && !request.headers.contains_key(ACCEPT_ENCODING) {
            request.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPT_ENCODING));
        }
        let response = match &self.cache {
            None => self.fetch(request.clone(), Sent::Waited, &once).await?,
            Some(cache) => self.through(cache, &request, &once).await?,
        };
        match decodes {
            Some(bounds) => decoded(response, &request.method, bounds),
            None => Ok(response),
        }
    }

    /// Over the network; what the response sets is taken.
    async fn fetch(&self, request: Request, sent: Sent, once: &impl Once) -> Result<Response, Error> {
        let url = request.url.clone();
        let response = once(request, sent).await?;
        if let Some(cookies) = &self.cookies {
            cookies.take(&url, &response.headers);
        }
        Ok(response)
    }

    async fn through(&self, cache: &Cache, request: &Request, once: &impl Once) -> Result<Response, Error> {
        let asked = asked(request);
        if !asked.concerns_a_cache() {
            let response = self.fetch(request.clone(), Sent::Waited, once).await?;
            for key in rules::invalidated(&request.method, &request.url, response.status, &response.headers) {
                cache.forget(&key);
            }
            return Ok(response);
        }
        let found = cache.find(&asked);
        if let Some(found) = &found {
            match found.meta.usable(&asked, SystemTime::now()) {
                Use::Fresh => return Ok(again(cache, found, request, CacheUse::Fresh)),
                Use::WhileRevalidating => {
                    self.validate_meanwhile(cache, request, once);
                    return Ok(again(cache, found, request, CacheUse::Stale));
                }
                Use::Validated => {}
            }
        }
        cache.count(|counts| counts.missed += u64::from(found.is_none()));
        if asked.only_if_cached() {
            return Ok(not_cached(request));
        }
        self.validate(cache, request, found, Sent::Waited, once).await
    }

    /// Asks the origin, on condition that what was `found` does not hold any more.
    async fn validate(
        &self,
        cache: &Cache,
        request: &Request,
        found: Option<Found>,
        sent: Sent,
        once: &impl Once,
    ) -> Result<Response, Error> {
        let asked = asked(request);
        let mut conditional = request.clone();
        let has_conditions =
            request.method == Method::GET && found.as_ref().is_some_and(|found| found.meta.has_validator());
        if let (true, Some(found)) = (has_conditions, &found) {
            for (name, value) in found.meta.conditions() {
                conditional.headers.insert(name, value);
            }
        }
        let mut requested = SystemTime::now();
        let mut result = self.fetch(conditional, sent, once).await;
        let failed = result.as_ref().map_or_else(is_the_origins, |response| rules::is_error(response.status));
        if let (true, Some(found)) = (failed, &found)
            && found.meta.usable_on_error(&asked, SystemTime::now())
        {
            return Ok(again(cache, found, request, CacheUse::Stale));
        }
        if let (true, Some(found), Ok(response)) = (has_conditions, &found, &result)
            && response.status == StatusCode::NOT_MODIFIED
        {
            if found.meta.is_meant_by(&response.headers) {
                let meta = found.meta.renewed(&response.headers, requested, SystemTime::now());
                cache.renew(found, &meta);
                return Ok(again(cache, &found.with(meta), request, CacheUse::Validated));
            }
            // Not about what is here: that is of no use, and the answer is not either.
            cache.forget_one(found);
            requested = SystemTime::now();
            result = self.fetch(request.clone(), sent, once).await;
        }
        let mut response = result?;
        let meta = Meta::of(&asked, response.version, response.status, &response.headers, requested, SystemTime::now());
        match meta {
            Some(meta) if ends_for_certain(&response) => {
                response.body = cache.record(meta, response.body);
                // Nobody reads what a redirect says beside its Location, and what is not read is not stored.
                if response.status.is_redirection()
                    && let Some(length) = response.body.expected().filter(|&length| length <= MOST_OF_A_REDIRECT)
                {
                    let body = std::mem::replace(&mut response.body, Body::empty());
                    response.body = body.bytes(length as usize).await?.map_or_else(Body::empty, Body::from_bytes);
                }
            }
            // What was stored is outdated by something that may not be.
            None if request.method == Method::GET && response.status.is_success() => {
                if let Some(found) = &found {
                    cache.forget_one(found);
                }
            }
            _ => {}
        }
        Ok(response)
    }

    /// Validates in the background, once at a time for a URL.
    fn validate_meanwhile(&self, cache: &Cache, request: &Request, once: &impl Once) {
        let key = rules::key(&request.url);
        if !cache.begin_validating(&key) {
            return;
        }
        let (kept, waiting, request, once) = (self.clone(), cache.clone(), request.clone(), once.clone());
        cache.keep_task(tokio::spawn(async move {
            let request = Request { method: Method::GET, ..request };
            let found = waiting.find(&asked(&request));
            if let Ok(mut response) = kept.validate(&waiting, &request, found, Sent::Background, &once).await {
                // A new body is stored once it has been read; one that is too large to be stored is not read.
                while response.body.received() <= waiting.largest()
                    && let Ok(Some(_)) = response.body.chunk().await
                {}
            }
            waiting.done_validating(&key);
        }));
    }
}

fn asked(request: &Request) -> Asked<'_> {
    Asked { method: &request.method, url: &request.url, headers: &request.headers }
}

/// Whether the origin did not answer, as opposed to having been refused for what it is or never asked.
fn is_the_origins(error: &Error) -> bool {
    matches!(error.layer(), Layer::Network | Layer::Protocol)
}

/// One `Cookie` field, as RFC 6265bis section 5.8.3 wants it: the caller's own first.
fn add_cookies(request: &mut Request, field: &str) {
    let mut bytes = request.headers.get(COOKIE).map(|own| own.as_bytes().to_vec()).unwrap_or_default();
    if !bytes.is_empty() {
        bytes.extend_from_slice(b"; ");
    }
    bytes.extend_from_slice(field.as_bytes());
    // The jar holds nothing that no field may hold.
    if let Ok(mut value) = HeaderValue::from_bytes(&bytes) {
        value.set_sensitive(true);
        request.headers.insert(COOKIE, value);
    }
}

/// What is stored, as the answer to `request`.
fn again(cache: &Cache, found: &Found, request: &Request, how: CacheUse) -> Response {
    cache.count(|counts| match how {
        CacheUse::Fresh => counts.fresh += 1,
        CacheUse::Validated => counts.validated += 1,
        CacheUse::Stale => counts.stale += 1,
    });
    let mut head = ::http::Response::new(());
    *head.status_mut() = found.meta.status;
    *head.version_mut() = found.meta.version;
    *head.headers_mut() = found.meta.fields(SystemTime::now());
    let body = |_: &_| if request.method == Method::HEAD { Body::empty() } else { found.body() };
    Response { from_cache: Some(how), ..Response::new(request, head, body, Timing::begin()) }
}

/// RFC 9111 section 5.2.1.7: nothing stored may be used, and nobody may be asked.
fn not_cached(request: &Request) -> Response {
    let mut head = ::http::Response::new(());
    *head.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    Response::new(request, head, |_| Body::empty(), Timing::begin())
}

/// RFC 9111 section 3.3: what may have been cut without anybody noticing is not stored. Only HTTP/1 has bodies that
/// end with the connection.
fn ends_for_certain(response: &Response) -> bool {
    response.body.expected().is_some()
        || response.version > Version::HTTP_11
        || response.headers.contains_key(TRANSFER_ENCODING)
}

/// The response with its body as it was before it was coded.
fn decoded(mut response: Response, method: &Method, bounds: DecodingBounds) -> Result<Response, Error> {
    if let Some(codings) = Codings::of(method, response.status, &response.headers)? {
        let body = std::mem::replace(&mut response.body, Body::empty());
        response.body = Body::from_source(Box::pin(Decoded { body, decoder: codings.decoder(bounds), ended: false }));
    }
    Ok(response)
}

/// A body with its codings undone. Its length shows only at its end.
struct Decoded {
    body: Body,
    decoder: Decoder,
    ended: bool,
}

impl hyper::body::Body for Decoded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Self { body, decoder, ended } = &mut *self;
        loop {
            if *ended {
                return Poll::Ready(None);
            }
            match decoder.pull() {
                Ok(Pulled::Bytes(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(Pulled::End) => {
                    *ended = true;
                    return Poll::Ready(body.trailers().cloned().map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
                Ok(Pulled::Hungry) => match ready!(body.poll_chunk(context)) {
                    Ok(Some(bytes)) => decoder.feed(bytes),
                    Ok(None) => decoder.end(),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
