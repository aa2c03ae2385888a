//! Redirects (RFC 9110 section 15.4): which are followed, with which method, and what must not travel along.

use ::http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, COOKIE, HOST,
    HeaderName, LOCATION, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use ::http::{HeaderMap, Method, StatusCode};

use super::error::Error;
use super::head::authority;
use super::request::{Request, take_credentials};
use super::upload::Payload;

/// The most redirects that are followed for one request.
pub const MAX_REDIRECTS: usize = 10;

/// Fields that belong to the origin they were meant for.
const CREDENTIALS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST];

/// Fields that describe a body that is no longer sent.
const OF_THE_BODY: [HeaderName; 6] =
    [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, TRANSFER_ENCODING];

/// The request that a response of `status` and `headers` to `request` leads to, or `None` when the response is
/// the answer itself.
///
/// # Errors
/// [`Error::Redirect`] when it leads to something that cannot be fetched here.
pub(super) fn next(request: &Request, status: StatusCode, headers: &HeaderMap) -> Result<Option<Request>, Error> {
    let Some(keeps_method) = keeps_method(&request.method, status) else { return Ok(None) };
    // RFC 9110 section 15.4: without a Location there is nowhere to go, and the response stands for itself.
    let Some(location) = headers.get(LOCATION) else { return Ok(None) };
    let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
    let refuse = |reason: &str| Error::Redirect {
        host: authority(&request.url),
        location: location.clone(),
        reason: reason.to_owned(),
    };

    let mut url = request.url.join(&location).map_err(|error| refuse(&format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("is neither http nor https; it is not followed"));
    }
    if url.port() == Some(0) {
        return Err(refuse("names port 0"));
    }
    // RFC 9110 section 10.2.2: the fragment is inherited where the Location has none.
    if url.fragment().is_none() {
        url.set_fragment(request.url.fragment());
    }

    let mut following = request.clone();
    if url.origin() != request.url.origin() {
        for name in CREDENTIALS {
            following.headers.remove(name);
        }
    }
    if let Some(authorization) = take_credentials(&mut url) {
        following.headers.insert(AUTHORIZATION, authorization);
    }
    if !keeps_method {
        following.method = Method::GET;
        following.body = Payload::Empty;
        following.expects_continue = false;
        for name in OF_THE_BODY {
            following.headers.remove(name);
        }
    }
    following.url = url;
    Ok(Some(following))
}

/// Whether `status` redirects, and if so whether the method is kept.
fn keeps_method(method: &Method, status: StatusCode) -> Option<bool> {
    match status {
        // RFC 9110 sections 15.4.2 and 15.4.3: a POST may become a GET, as it does everywhere; others stay.
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => Some(*method != Method::POST),
        // RFC 9110 section 15.4.4: look elsewhere, with GET (or HEAD).
        StatusCode::SEE_OTHER => Some(matches!(*method, Method::GET | Method::HEAD)),
        // RFC 9110 sections 15.4.8 and 15.4.9: the method must not change.
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => Some(true),
        _ => None,
    }
}
