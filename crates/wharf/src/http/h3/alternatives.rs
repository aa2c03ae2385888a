//! What origins have said of HTTP/3 in `Alt-Svc` fields (RFC 7838), and where it turned out not to work.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use ::http::HeaderMap;
use ::http::header::ALT_SVC;
use tokio::time::Instant;

use crate::lock;

/// Origins whose word is remembered.
const MAX_ORIGINS: usize = 1024;

/// RFC 7838 section 3.1: for how long an alternative is good unless it says so.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that one is believed, whatever it says.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long an alternative that did not work is left alone the first time; it doubles from there.
const BROKEN: Duration = Duration::from_secs(5 * 60);

/// How often it doubles.
const DOUBLINGS: u32 = 8;

/// An origin: the host and port of its https URLs.
pub(super) type Origin = (String, u16);

/// Where an origin speaks HTTP/3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Alternative {
    pub host: String,
    pub port: u16,
}

#[derive(Default)]
pub(super) struct Alternatives {
    origins: Mutex<HashMap<Origin, Known>>,
}

struct Known {
    alternative: Alternative,
    until: Instant,
    failures: u32,
    broken_until: Option<Instant>,
}

impl Alternatives {
    /// Takes in what a response of `origin` says. The response must have come over TLS that was verified.
    pub(super) fn learn(&self, origin: &Origin, headers: &HeaderMap) {
        for value in headers.get_all(ALT_SVC) {
            let Ok(value) = value.to_str() else { continue };
            let now = Instant::now();
            let mut origins = lock(&self.origins);
            match read(value, &origin.0) {
                // RFC 7838 section 3: all that was said before is void.
                Said::Clear => drop(origins.remove(origin)),
                Said::Nothing => {}
                Said::Http3(alternative, max_age) => {
                    if origins.len() >= MAX_ORIGINS && !origins.contains_key(origin) {
                        origins.retain(|_, known| known.until > now);
                        if origins.len() >= MAX_ORIGINS {
                            continue;
                        }
                    }
                    let until = now + max_age.min(LONGEST);
                    // Saying the same again does not mend what is broken.
                    match origins.get_mut(origin).filter(|known| known.alternative == alternative) {
                        Some(known) => known.until = until,
                        None => {
                            let known = Known { alternative, until, failures: 0, broken_until: None };
                            origins.insert(origin.clone(), known);
                        }
                    }
                }
            }
        }
    }

    /// Where `origin` speaks HTTP/3, if it said so and it is worth trying.
    pub(super) fn find(&self, origin: &Origin) -> Option<Alternative> {
        let now = Instant::now();
        let mut origins = lock(&self.origins);
        let known = origins.get(origin)?;
        if known.until <= now {
            origins.remove(origin);
            return None;
        }
        let broken = known.broken_until.is_some_and(|until| until > now);
        (!broken).then(|| known.alternative.clone())
    }

    /// It did not work.
    pub(super) fn failed(&self, origin: &Origin) {
        if let Some(known) = lock(&self.origins).get_mut(origin) {
            known.broken_until = Some(Instant::now() + BROKEN * 2u32.pow(known.failures.min(DOUBLINGS)));
            known.failures += 1;
        }
    }

    /// It worked.
    pub(super) fn worked(&self, origin: &Origin) {
        if let Some(known) = lock(&self.origins).get_mut(origin) {
            (known.failures, known.broken_until) = (0, None);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Clear,
    Http3(Alternative, Duration),
}

/// The first alternative of HTTP/3 in a field of `Alt-Svc` of `host`.
fn read(value: &str, host: &str) -> Said {
    if value.trim() == "clear" {
        return Said::Clear;
    }
    for entry in split(value, ',') {
        let mut parts = split(entry, ';');
        let Some((protocol, authority)) = parts.next().and_then(|part| part.split_once('=')) else { continue };
        if protocol.trim() != "h3" {
            continue;
        }
        let authority = authority.trim().trim_matches('"');
        let Some((named, port)) = authority.rsplit_once(':') else { continue };
        let Ok(port) = port.parse::<u16>() else { continue };
        if port == 0 {
            continue;
        }
        let named = named.trim_matches(['[', ']']);
        let named = if named.is_empty() { host } else { named };
        let mut max_age = MAX_AGE;
        for parameter in parts {
            if let Some((name, seconds)) = parameter.split_once('=')
                && name.trim() == "ma"
                && let Ok(seconds) = seconds.trim().trim_matches('"').parse()
            {
                max_age = Duration::from_secs(seconds);
            }
        }
        return Said::Http3(Alternative { host: named.to_owned(), port }, max_age);
    }
    Said::Nothing
}

/// The parts of `text` between separators that stand outside quotation marks.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        !quoted && character == separator
    })
}

#[cfg(test)]
mod tests;
