//! A way through an HTTP proxy by CONNECT (RFC 9110 section 9.3.6).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Place, Proxy};
use crate::http::connect::Stream;
use crate::http::error::Error;

/// The most that a proxy's answer may have before the way is open, in bytes.
const MAX_ANSWER: usize = 16 << 10;

/// Asks `proxy`, at the other end of `stream`, for a way to `place`.
pub(super) async fn open(proxy: &Proxy, stream: &mut Box<dyn Stream>, place: &Place) -> Result<(), Error> {
    let lost = |error: io::Error| proxy.refuses(place, format!("the connection to it was lost: {error}; try again"));
    stream.write_all(&question(proxy, place)).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    // What follows the answer belongs to whoever speaks next, so it is read no further than its end. The next is TLS,
    // where the client speaks first: one byte too many is no answer to it.
    let mut answer = Vec::with_capacity(512);
    while !answer.ends_with(b"\r\n\r\n") && !answer.ends_with(b"\n\n") {
        if answer.len() >= MAX_ANSWER {
            return Err(proxy.refuses(place, format!("its answer is longer than {} KiB", MAX_ANSWER >> 10)));
        }
        match stream.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(proxy.refuses(place, "it closed the connection instead of answering".to_owned()));
            }
            Err(error) => return Err(lost(error)),
        }
    }
    let line = answer.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).trim_end().to_owned();
    match status(&line) {
        // RFC 9110 section 9.3.6: any 2xx opens the way.
        Some(200..=299) => Ok(()),
        // Some say 401, which is a server's word and not a proxy's.
        Some(401 | 407) => Err(Error::ProxyAuthentication {
            proxy: proxy.to_string(),
            reason: if proxy.authorization.is_some() { ", and not those that were given" } else { "" }.to_owned(),
        }),
        Some(_) => Err(proxy.refuses(place, format!("it answered {:?}", told(&line)))),
        None => Err(proxy.refuses(place, format!("what it answered is not HTTP: {:?}", told(&line)))),
    }
}

fn question(proxy: &Proxy, place: &Place) -> Vec<u8> {
    let (open, close) = if place.host.contains(':') { ("[", "]") } else { ("", "") };
    let to = format!("{open}{}{close}:{}", place.host, place.port);
    let mut question = format!(
        "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: {}\r\n",
        concat!("wharf/", env!("CARGO_PKG_VERSION"))
    )
    .into_bytes();
    if let Some(authorization) = &proxy.authorization {
        question.extend_from_slice(b"Proxy-Authorization: ");
        question.extend_from_slice(authorization.as_bytes());
        question.extend_from_slice(b"\r\n");
    }
    question.extend_from_slice(b"\r\n");
    question
}

fn status(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    rest.get(..3)?.parse().ok()
}

/// The beginning of `line`, as much as a message bears.
fn told(line: &str) -> String {
    line.chars().filter(|character| !character.is_control()).take(120).collect()
}
