//! One request and the head of its response on one connection, by hyper's HTTP/1.1 client.

use std::time::Duration;

use ::http::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use ::http::{Request as Head, Response as ResponseHead};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use url::Url;

use super::error::Error;
use super::request::Request;

/// Drives a connection until it is dropped.
pub(super) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends `request` over `stream` and waits at most `first_byte` for the head of the response.
pub(super) async fn exchange<S>(
    request: &Request,
    stream: S,
    first_byte: Duration,
) -> Result<(ResponseHead<Incoming>, Driver), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = authority(&request.url);
    let head = head(request)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| before_response(&host, &error))?;
    let driver = Driver(tokio::spawn(async move {
        // Its error reaches the request or the body that it concerns.
        let _ = connection.await;
    }));
    match tokio::time::timeout(first_byte, sender.send_request(head)).await {
        Ok(Ok(response)) => Ok((response, driver)),
        Ok(Err(error)) => Err(before_response(&host, &error)),
        Err(_) => Err(Error::NoResponse { host, after: first_byte }),
    }
}

/// The request line and fields, in origin form (RFC 9112 section 3.2.1).
fn head(request: &Request) -> Result<Head<Full<Bytes>>, Error> {
    let mut target = request.url.path().to_owned();
    if let Some(query) = request.url.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut head = Head::new(Full::new(request.body.clone()));
    *head.method_mut() = request.method.clone();
    *head.uri_mut() =
        target.parse().map_err(|error| Error::Url { url: request.url.to_string(), reason: format!("{error}") })?;
    *head.headers_mut() = request.headers.clone();
    let headers = head.headers_mut();
    if !headers.contains_key(HOST) {
        let host = authority(&request.url);
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| Error::Header(format!("Host: {host}")))?);
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("wharf/", env!("CARGO_PKG_VERSION"))));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    Ok(head)
}

/// Host and port as the `Host` field and messages carry them: the port only where it is not the scheme's own.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn before_response(host: &str, error: &hyper::Error) -> Error {
    let host = host.to_owned();
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Error::Closed { host };
    }
    if error.is_parse() {
        return Error::NotHttp { host, reason: innermost(error) };
    }
    Error::Lost { host, reason: innermost(error) }
}

/// The words of the error at the bottom of the chain.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
