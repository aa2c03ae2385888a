//! RFC 9111 for one user's cache: what may be stored, what may be used again, what has to be asked for first. The rules
//! are http-cache-semantics', on fields in a form that it reads safely; what it lacks stands here: the age of section
//! 4.2.3 in full, `Vary` with several values, merging after a 304, invalidation, and RFC 5861. No clock and no store.
//! Called by `keeping`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE,
    DATE, ETAG, HOST, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, LOCATION, PRAGMA, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VARY,
};
use ::http::{HeaderMap, Method, StatusCode, Version};
use http_cache_semantics::{BeforeRequest, CacheOptions, CachePolicy};
use url::Url;

/// Seconds beyond this are as good as for ever (RFC 9111 section 1.2.2).
const FOR_EVER: u64 = 1 << 31;

/// A request, as far as a cache looks at it.
#[derive(Clone, Copy)]
pub(in crate::http) struct Asked<'a> {
    pub(in crate::http) method: &'a Method,
    pub(in crate::http) url: &'a Url,
    pub(in crate::http) headers: &'a HeaderMap,
}

/// All of a stored response but its body.
#[derive(Clone, Debug)]
pub(in crate::http) struct Meta {
    pub(in crate::http) url: String,
    /// When the request for it was sent, and when it came.
    pub(in crate::http) requested: SystemTime,
    pub(in crate::http) received: SystemTime,
    /// The fields of the request that it varies by.
    pub(in crate::http) selecting: HeaderMap,
    pub(in crate::http) version: Version,
    pub(in crate::http) status: StatusCode,
    pub(in crate::http) headers: HeaderMap,
}

/// What may be done with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Use {
    /// It answers the request.
    Fresh,
    /// It answers the request, and is to be validated meanwhile (RFC 5861 section 3).
    WhileRevalidating,
    /// Not before the origin has said that it still holds.
    Validated,
}

impl Asked<'_> {
    /// Whether the cache has anything to do with such a request; otherwise it goes past.
    pub(in crate::http) fn concerns_a_cache(&self) -> bool {
        // Whole GETs, and HEADs of them. Whoever asks for a part, or under a condition of his own, gets the origin's
        // answer as it is, and a Host of one's own is not the page that the URL names.
        const APART: [HeaderName; 7] =
            [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, HOST];
        matches!(*self.method, Method::GET | Method::HEAD)
            && !APART.iter().any(|name| self.headers.contains_key(name))
            && !self.has("no-store")
    }

    /// RFC 9111 section 5.2.1.7.
    pub(in crate::http) fn only_if_cached(&self) -> bool {
        self.has("only-if-cached")
    }

    fn has(&self, directive: &str) -> bool {
        directives(self.headers).any(|(name, _)| name == directive)
    }

    /// Whether the caller wants something newer than the server promised.
    fn wants_newer(&self) -> bool {
        let pragma = self.headers.get(PRAGMA).is_some_and(|pragma| pragma.as_bytes().eq_ignore_ascii_case(b"no-cache"));
        pragma || ["no-cache", "max-age", "min-fresh"].iter().any(|directive| self.has(directive))
    }

    fn parts(&self) -> ::http::request::Parts {
        let mut request = ::http::Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.url.as_str().parse().unwrap_or_default();
        *request.headers_mut() = readable(self.headers);
        request.into_parts().0
    }
}

/// The key of a URL: all of it but the fragment, which is never sent.
pub(in crate::http) fn key(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    url.into()
}

impl Meta {
    /// What of a response to `asked` is stored; `None` when it may not be (RFC 9111 section 3).
    pub(in crate::http) fn of(
        asked: &Asked<'_>,
        version: Version,
        status: StatusCode,
        headers: &HeaderMap,
        requested: SystemTime,
        received: SystemTime,
    ) -> Option<Self> {
        // A part of a page is not stored, whatever status it came with.
        if *asked.method != Method::GET || !asked.concerns_a_cache() || headers.contains_key(CONTENT_RANGE) {
            return None;
        }
        // RFC 9111 section 4.1: nothing ever matches `*`.
        let names = vary(headers)?;
        // RFC 9111 section 3.5, though this cache is one user's: the next command may be run as somebody else.
        let may_be_shared =
            directives(headers).any(|(name, _)| matches!(&*name, "public" | "must-revalidate" | "s-maxage"));
        if asked.headers.contains_key(AUTHORIZATION) && !may_be_shared {
            return None;
        }
        let mut selecting = HeaderMap::new();
        for name in names {
            for value in asked.headers.get_all(&name) {
                selecting.append(name.clone(), value.clone());
            }
        }
        let mut kept = headers.clone();
        remove_hop_by_hop(&mut kept);
        let meta = Self { url: key(asked.url), requested, received, selecting, version, status, headers: kept };
        let policy = meta.policy(asked);
        if !policy.is_storable() {
            return None;
        }
        // Of no use: neither fresh for a moment, nor can it be asked whether it holds.
        let usable = !meta.lifetime().is_zero() || meta.has_validator();
        if usable { Some(meta) } else { None }
    }

    /// Whether a request with these fields selects it (RFC 9111 section 4.1).
    pub(in crate::http) fn is_selected_by(&self, headers: &HeaderMap) -> bool {
        vary(&self.headers).is_some_and(|names| {
            names.iter().all(|name| headers.get_all(name).iter().eq(self.selecting.get_all(name).iter()))
        })
    }

    /// What tells it from other responses of the same URL: the fields it varies by, and what they were.
    pub(in crate::http) fn variant(&self) -> Vec<u8> {
        let mut names: Vec<String> =
            vary(&self.headers).unwrap_or_default().iter().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names.dedup();
        let mut bytes = Vec::new();
        for name in names {
            bytes.extend_from_slice(name.as_bytes());
            for value in self.selecting.get_all(&name) {
                bytes.push(b':');
                bytes.extend_from_slice(value.as_bytes());
            }
            bytes.push(b'\n');
        }
        bytes
    }

    /// What may be done with it at `now`, for a request that selects it.
    pub(in crate::http) fn usable(&self, asked: &Asked<'_>, now: SystemTime) -> Use {
        let policy = self.policy(&Asked { method: &Method::GET, ..*asked });
        let parts = Asked { method: &Method::GET, ..*asked }.parts();
        if matches!(policy.before_request(&parts, now), BeforeRequest::Fresh(_)) {
            return Use::Fresh;
        }
        let window = self.seconds("stale-while-revalidate");
        if !asked.wants_newer() && self.may_be_stale() && window.is_some_and(|window| self.staleness(now) <= window) {
            return Use::WhileRevalidating;
        }
        Use::Validated
    }

    /// Whether it may answer `asked` at `now` because the origin does not (RFC 5861 section 4).
    pub(in crate::http) fn usable_on_error(&self, asked: &Asked<'_>, now: SystemTime) -> bool {
        let windows = [self.seconds("stale-if-error"), seconds(asked.headers, "stale-if-error")];
        self.may_be_stale() && windows.into_iter().flatten().any(|window| self.staleness(now) <= window)
    }

    /// The fields that ask the origin whether it still holds (RFC 9111 section 4.3.1).
    pub(in crate::http) fn conditions(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let etag = self.headers.get(ETAG).map(|etag| (IF_NONE_MATCH, etag.clone()));
        let modified = self.headers.get(LAST_MODIFIED).map(|modified| (IF_MODIFIED_SINCE, modified.clone()));
        etag.into_iter().chain(modified)
    }

    pub(in crate::http) fn has_validator(&self) -> bool {
        self.headers.contains_key(ETAG) || self.headers.contains_key(LAST_MODIFIED)
    }

    /// Whether a 304 with these fields is about this response (RFC 9111 section 4.3.4).
    pub(in crate::http) fn is_meant_by(&self, headers: &HeaderMap) -> bool {
        let opaque = |etag: &HeaderValue| {
            let etag = etag.as_bytes().trim_ascii();
            etag.strip_prefix(b"W/").unwrap_or(etag).to_vec()
        };
        match (headers.get(ETAG), self.headers.get(ETAG)) {
            (Some(new), Some(old)) => opaque(new) == opaque(old),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// It was found to hold: the fields of the 304 take the places of the old ones (RFC 9111 section 3.2).
    pub(in crate::http) fn renewed(&self, headers: &HeaderMap, requested: SystemTime, received: SystemTime) -> Self {
        // What describes the body that was not sent.
        const OF_THE_BODY: [HeaderName; 3] = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE];
        let mut renewed = self.clone();
        (renewed.requested, renewed.received) = (requested, received);
        let mut new = headers.clone();
        remove_hop_by_hop(&mut new);
        // The age of the old one says nothing about the new one.
        renewed.headers.remove(AGE);
        for name in new.keys().filter(|name| !OF_THE_BODY.contains(name)) {
            renewed.headers.remove(name);
            for value in new.get_all(name) {
                renewed.headers.append(name.clone(), value.clone());
            }
        }
        renewed
    }

    /// The fields of the response as it is given again at `now`.
    pub(in crate::http) fn fields(&self, now: SystemTime) -> HeaderMap {
        let mut headers = self.headers.clone();
        // RFC 9111 section 5.1.
        headers.insert(AGE, HeaderValue::from(self.age(now).as_secs()));
        headers
    }

    /// RFC 9111 section 4.2.3.
    fn age(&self, now: SystemTime) -> Duration {
        self.initial_age() + now.duration_since(self.received).unwrap_or_default().min(Duration::from_secs(FOR_EVER))
    }

    fn initial_age(&self) -> Duration {
        let date = self.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let apparent = date.and_then(|date| self.received.duration_since(date).ok()).unwrap_or_default();
        let told = self.headers.get(AGE).and_then(|age| delta(age.to_str().ok()?)).unwrap_or(0);
        let delay = self.received.duration_since(self.requested).unwrap_or_default();
        apparent.max(Duration::from_secs(told) + delay).min(Duration::from_secs(FOR_EVER))
    }

    /// How long it is fresh, counted from when the origin made it (RFC 9111 section 4.2.1).
    fn lifetime(&self) -> Duration {
        let asked = HeaderMap::new();
        let mut young = self.clone();
        young.headers.remove(AGE);
        let url = self.parsed_url();
        let policy = young.policy_aged(&Asked { method: &Method::GET, url: &url, headers: &asked }, None);
        policy.time_to_live(self.received)
    }

    /// For how long it has not been fresh any more.
    fn staleness(&self, now: SystemTime) -> Duration {
        self.age(now).saturating_sub(self.lifetime())
    }

    /// RFC 9111 section 4.2.4: not against the word of the origin.
    fn may_be_stale(&self) -> bool {
        !directives(&self.headers).any(|(name, _)| matches!(&*name, "must-revalidate" | "no-cache"))
    }

    fn seconds(&self, directive: &str) -> Option<Duration> {
        seconds(&self.headers, directive)
    }

    fn parsed_url(&self) -> Url {
        // It was one when it was stored; a file that says otherwise is not found under any.
        Url::parse(&self.url).unwrap_or_else(|_| NOWHERE.clone())
    }

    fn policy(&self, asked: &Asked<'_>) -> CachePolicy {
        self.policy_aged(asked, Some(self.initial_age()))
    }

    fn policy_aged(&self, asked: &Asked<'_>, age: Option<Duration>) -> CachePolicy {
        let mut response = ::http::Response::new(());
        *response.status_mut() = self.status;
        *response.headers_mut() = readable(&self.headers);
        // Matching is done here, with all the values of a field.
        response.headers_mut().remove(VARY);
        match age {
            Some(age) => drop(response.headers_mut().insert(AGE, HeaderValue::from(age.as_secs()))),
            None => drop(response.headers_mut().remove(AGE)),
        }
        // An origin's clock ahead of ours would give a longer life than it promised.
        let date = httpdate::fmt_http_date(self.date());
        if let Ok(date) = HeaderValue::from_str(&date) {
            response.headers_mut().insert(DATE, date);
        }
        let options = CacheOptions { shared: false, ..CacheOptions::default() };
        CachePolicy::new_options(&asked.parts(), &response.into_parts().0, self.received, options)
    }

    /// The origin's date, or when the response came where it gave none that can be read.
    fn date(&self) -> SystemTime {
        let date = self.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        // httpdate writes the years from 1970 to 9999.
        let latest = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        date.unwrap_or(self.received).clamp(UNIX_EPOCH, latest)
    }
}

static NOWHERE: std::sync::LazyLock<Url> =
    std::sync::LazyLock::new(|| Url::parse("http://invalid/").unwrap_or_else(|_| unreachable!("a constant URL")));

/// The keys that a response of `status` to an unsafe request makes invalid (RFC 9111 section 4.4).
pub(in crate::http) fn invalidated(method: &Method, url: &Url, status: StatusCode, headers: &HeaderMap) -> Vec<String> {
    if method.is_safe() || !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut keys = vec![key(url)];
    for name in [LOCATION, CONTENT_LOCATION] {
        let named = headers.get(name).and_then(|value| url.join(value.to_str().ok()?).ok());
        // Another origin's pages are not this one's to throw away.
        keys.extend(named.filter(|named| named.origin() == url.origin()).map(|named| key(&named)));
    }
    keys
}

/// Whether an answer counts as none (RFC 5861 section 4).
pub(in crate::http) fn is_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// The fields that a response varies by; `None` for `*`.
fn vary(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in headers.get_all(VARY) {
        for name in String::from_utf8_lossy(value.as_bytes()).split(',').map(str::trim).filter(|name| !name.is_empty())
        {
            // What cannot be a field's name is as unknowable as `*`.
            names.push(HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| name != "*")?);
        }
    }
    Some(names)
}

/// RFC 9111 section 3.1 and RFC 9110 section 7.6.1: what was said on one connection only.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    let always = [
        CONNECTION,
        HeaderName::from_static("keep-alive"),
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in listed.into_iter().chain(always) {
        headers.remove(name);
    }
}

/// The fields with one `Cache-Control`, whose directives are in lower case and whose numbers are small enough: the form
/// in which http-cache-semantics reads them right.
fn readable(headers: &HeaderMap) -> HeaderMap {
    let mut readable = headers.clone();
    readable.remove(CACHE_CONTROL);
    let mut text = String::new();
    for (name, value) in directives(headers) {
        if !text.is_empty() {
            text += ", ";
        }
        text += &name;
        if let Some(value) = value {
            text += "=";
            match delta(&value) {
                Some(seconds) => text += &seconds.to_string(),
                None => text += &value.replace(|character: char| !character.is_ascii_alphanumeric(), "-"),
            }
        }
    }
    if let (false, Ok(value)) = (text.is_empty(), HeaderValue::from_str(&text)) {
        readable.insert(CACHE_CONTROL, value);
    }
    if let Some(pragma) = readable.get(PRAGMA).and_then(|pragma| pragma.to_str().ok()).map(str::to_ascii_lowercase)
        && let Ok(pragma) = HeaderValue::from_str(&pragma)
    {
        readable.insert(PRAGMA, pragma);
    }
    readable
}

fn seconds(headers: &HeaderMap, directive: &str) -> Option<Duration> {
    let (_, value) = directives(headers).find(|(name, _)| name == directive)?;
    delta(&value?).map(Duration::from_secs)
}

/// RFC 9111 section 1.2.2: digits, and what is too large is the largest.
fn delta(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(FOR_EVER).min(FOR_EVER))
}

/// The directives of `Cache-Control`: the name in lower case, and the value without quotes.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = (String, Option<String>)> {
    headers.get_all(CACHE_CONTROL).into_iter().flat_map(|value| {
        split(&String::from_utf8_lossy(value.as_bytes())).into_iter().filter_map(|part| {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Some(value.trim().trim_matches('"').to_owned())),
                None => (part.as_str(), None),
            };
            let name = name.trim().to_ascii_lowercase();
            let is_token = !name.is_empty() && HeaderName::from_bytes(name.as_bytes()).is_ok();
            is_token.then_some((name, value))
        })
    })
}

/// The parts between commas, where commas within quotes do not count (RFC 9110 section 5.6.4).
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    parts.push(part);
    parts
}
