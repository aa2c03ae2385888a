//! What is said of a download: its object for programs, the server's words, the time each phase took.

use std::time::Duration;

use serde_json::{Value, json};
use wharf::http::{CacheUse, Response, StatusCode, Timing, Url};

use super::tries;
use crate::exit::{Failure, Status};

/// What is known when the head of the response is there.
pub(super) fn of_head(response: &Response, with_fields: bool) -> Value {
    let mut report = json!({
        "url": response.url.as_str(),
        "redirects": response.redirects.iter().map(Url::as_str).collect::<Vec<_>>(),
        "status": response.status.as_u16(),
        "version": format!("{:?}", response.version),
        "address": response.remote.map(|remote| remote.to_string()),
        "tls": response.tls.as_ref().map(|tls| json!({
            "version": tls.version, "cipher_suite": tls.cipher_suite, "key_exchange": tls.key_exchange,
        })),
        "cache": response.from_cache.map(|how| match how {
            CacheUse::Fresh => "fresh",
            CacheUse::Validated => "validated",
            CacheUse::Stale => "stale",
        }),
    });
    if with_fields {
        let fields = response.headers.iter();
        report["headers"] = fields.map(|(name, value)| json!([name.as_str(), printable(value.as_bytes())])).collect();
    }
    report
}

/// Status and fields as they came, for people.
pub(super) fn server_response(response: &Response) -> String {
    let mut text = format!("  {:?} {}", response.version, response.status);
    for (name, value) in &response.headers {
        text += &format!("\n  {name}: {}", printable(value.as_bytes()));
    }
    text
}

/// A field's value without what a terminal would obey.
fn printable(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// The phases for programs, in milliseconds; those that did not happen are null.
pub(super) fn timing(timing: &Timing, total: Duration) -> Value {
    let milliseconds = |phase: Duration| phase.as_secs_f64() * 1000.0;
    json!({
        "waited": milliseconds(timing.waited),
        "name": timing.name.map(milliseconds),
        "connect": timing.connect.map(milliseconds),
        "tls": timing.tls.map(milliseconds),
        "first_byte": milliseconds(timing.first_byte),
        "total": milliseconds(total),
        "reused": timing.reused,
    })
}

/// The phases of the download of `name` for people.
pub(super) fn timing_line(name: &str, timing: &Timing, total: Duration) -> String {
    let mut text = format!("time of {name}:");
    let phases = [("name", timing.name), ("connect", timing.connect), ("TLS", timing.tls)];
    for (name, phase) in phases {
        if let Some(phase) = phase {
            text += &format!(" {name} {:.1} ms,", phase.as_secs_f64() * 1000.0);
        }
    }
    if timing.reused {
        text += " connection kept,";
    }
    let milliseconds = |phase: Duration| phase.as_secs_f64() * 1000.0;
    text + &format!(" first byte {:.1} ms, total {:.1} ms", milliseconds(timing.first_byte), milliseconds(total))
}

pub(super) fn refuse_unless_success(response: &Response) -> Result<(), Failure> {
    let status = response.status;
    if status.is_success() {
        return Ok(());
    }
    let what = format!("HTTP: {} answered {status} for {}", host(&response.url), response.url.path());
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Failure::new(
            Status::Authentication,
            format!(
                "{what}; give a user name and password: https://USER:PASSWORD@HOST/, or --header 'Authorization: ...'"
            ),
        ),
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Failure::new(Status::Server, format!("{what}; check the path of the URL"))
        }
        _ if status.is_server_error() => {
            Failure::new(Status::Server, format!("{what}; the fault is the server's, try again later"))
        }
        _ if status.is_redirection() => {
            Failure::new(Status::Server, format!("{what}; it does not say where to go instead"))
        }
        StatusCode::TOO_MANY_REQUESTS => {
            Failure::new(Status::Server, format!("{what}; it was asked too often, try again later"))
        }
        _ => Failure::new(Status::Server, format!("{what}; the server refuses the request")),
    }
    .passing(tries::of_status(status, &response.headers)))
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or("the server")
}
