//! Bodies of requests: from readers, from channels, and those that wait to be wanted.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::site::Site;
use super::{World, failure, get, ok, redirect, text};
use crate::http::{Error, HeaderMap, Method, Request, Timeouts};

fn put(url: &str) -> Request {
    Request::new(Method::PUT, url).unwrap()
}

/// Reads until `end`, or until nothing comes any more.
async fn read_until(stream: &mut DuplexStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) && stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    String::from_utf8(bytes).unwrap()
}

/// A site that hears one request up to `end`, answers 200, and what it heard.
fn hearing(end: &'static str) -> (Site, Arc<Mutex<String>>) {
    let heard = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&heard);
    let site = Site::new(move |_, mut stream: DuplexStream| {
        let noted = Arc::clone(&noted);
        async move {
            let request = read_until(&mut stream, end).await;
            *noted.lock().unwrap() = request;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    });
    (site, heard)
}

#[tokio::test]
async fn a_reader_of_known_length_is_sent_with_it() {
    let (site, heard) = hearing("data");
    let request = put("http://h/").body_from(&b"data"[..], Some(4));
    text(site.client().send(request).await.unwrap()).await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.contains("content-length: 4\r\n") && heard.ends_with("\r\n\r\ndata"), "{heard}");
}

#[tokio::test]
async fn a_reader_of_unknown_length_is_sent_in_chunks() {
    let (site, heard) = hearing("0\r\n\r\n");
    let request = put("http://h/").body_from(&b"data"[..], None);
    text(site.client().send(request).await.unwrap()).await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.contains("transfer-encoding: chunked\r\n") && heard.ends_with("4\r\ndata\r\n0\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn pieces_of_a_channel_are_sent_as_they_come_and_trailers_after_them() {
    let (site, heard) = hearing("abc\r\n\r\n");
    let (request, sender) = put("http://h/").header_line("Trailer: Digest").unwrap().body_channel(None);
    let client = site.client();
    let sending = tokio::spawn(async move { client.send(request).await.map(|_| ()) });
    for piece in ["one", "two"] {
        sender.send(piece).await.unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("digest", "abc".parse().unwrap());
    sender.finish(trailers).await.unwrap();
    sending.await.unwrap().unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.ends_with("3\r\none\r\n3\r\ntwo\r\n0\r\ndigest: abc\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn a_channel_waits_for_the_connection() {
    // A server that takes nothing: what the connection and the client hold is little, however much there is to send.
    let site = Site::new(|_, stream: DuplexStream| async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(stream);
    });
    let (request, sender) = put("http://h/").body_channel(None);
    let client = site.client();
    let sending = tokio::spawn(async move { client.send(request).await.map(|_| ()) });
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(200), sender.send(vec![0; 64 << 10])).await.is_ok() {
        sent += 64 << 10;
        assert!(sent < 16 << 20, "nothing holds the sender back");
    }
    sending.abort();
}

#[tokio::test]
async fn a_body_that_breaks_its_promise_is_an_error_of_the_request() {
    for (promised, says) in [(3, "longer than the 3 bytes"), (5, "after 4 of 5 bytes")] {
        let (site, _) = hearing("never");
        let request = put("http://h/").body_from(&b"data"[..], Some(promised));
        let error = site.client().send(request).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::RequestBody { .. }) && error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_reader_that_fails_is_an_error_of_the_request() {
    let (site, _) = hearing("never");
    let broken = tokio_test_reader(io::ErrorKind::InvalidData);
    let error = site.client().send(put("http://h/").body_from(broken, None)).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::RequestBody { .. }), "{error}");
}

/// A reader that fails at once.
fn tokio_test_reader(kind: io::ErrorKind) -> impl tokio::io::AsyncRead + Send + 'static {
    struct Broken(io::ErrorKind);
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Err(self.0.into()))
        }
    }
    Broken(kind)
}

#[tokio::test]
async fn a_redirect_sends_a_body_again_only_if_it_can_be_had_again() {
    let world = World::default();
    world.serve("h:80", redirect("307 Temporary Redirect", "/there")).serve("h:80", ok(""));
    let opened = put("http://h/").body_opened(|| Ok(Box::pin(&b"data"[..])), Some(4));
    world.client().send(opened).await.unwrap();
    assert!(world.heard().iter().all(|request| request.ends_with("\r\n\r\ndata")), "{:?}", world.heard());

    let world = World::default();
    world.serve("h:80", redirect("307 Temporary Redirect", "/there")).serve("h:80", ok(""));
    let error = failure(&world.client(), put("http://h/").body_from(&b"data"[..], Some(4))).await;
    assert!(matches!(error, Error::BodySpent), "{error}");
    assert_eq!(world.heard().len(), 1);
}

/// What a server says after the head of a request that asks whether its body is wanted.
fn asked(answer: &'static str) -> (Site, Arc<Mutex<(String, Duration)>>) {
    let heard = Arc::new(Mutex::new((String::new(), Duration::ZERO)));
    let noted = Arc::clone(&heard);
    let site = Site::new(move |number, mut stream: DuplexStream| {
        let noted = Arc::clone(&noted);
        async move {
            let begun = Instant::now();
            let head = read_until(&mut stream, if number == 0 { "\r\n\r\n" } else { "data" }).await;
            assert_eq!(head.contains("expect: 100-continue\r\n"), number == 0, "{head}");
            let body = if number == 0 {
                stream.write_all(answer.as_bytes()).await.unwrap();
                read_until(&mut stream, "data").await
            } else {
                head
            };
            *noted.lock().unwrap() = (body, begun.elapsed());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    });
    (site, heard)
}

#[tokio::test(start_paused = true)]
async fn a_body_waits_for_the_servers_word_and_no_longer() {
    let (site, heard) = asked("HTTP/1.1 100 Continue\r\n\r\n");
    let response = site.client().send(put("http://h/").body("data").expect_continue()).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(*heard.lock().unwrap(), ("data".to_owned(), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_body_goes_after_a_second_without_a_word() {
    let (site, heard) = asked("");
    let response = site.client().send(put("http://h/").body("data").expect_continue()).await.unwrap();
    assert_eq!(response.status, 200);
    let (body, after) = heard.lock().unwrap().clone();
    assert!(
        body == "data" && after <= Duration::from_secs(1) && after > Duration::from_millis(900),
        "{body} {after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_wanted_is_not_sent() {
    let (site, heard) = asked("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let response = site.client().send(put("http://h/").body("data").expect_continue()).await.unwrap();
    assert_eq!(response.status, 403);
    assert_eq!(text(response).await.unwrap(), "no");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(heard.lock().unwrap().0, "");
}

#[tokio::test(start_paused = true)]
async fn an_expectation_that_is_not_met_is_dropped() {
    let (site, heard) = asked("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    let response = site.client().send(put("http://h/").body("data").expect_continue()).await.unwrap();
    assert_eq!((response.status.as_u16(), site.connections()), (200, 2));
    assert!(heard.lock().unwrap().0.ends_with("\r\n\r\ndata"));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_body_expects_nothing() {
    let world = World::default();
    world.serve("h:80", ok(""));
    world.client().send(get("http://h/").expect_continue()).await.unwrap();
    assert!(!world.heard()[0].contains("expect"), "{:?}", world.heard());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_slow_with_the_body_is_waited_for() {
    let (site, heard) = hearing("0\r\n\r\n");
    let client = site.client().with_timeouts(Timeouts::each(Duration::from_secs(3)));
    let (request, sender) = put("http://h/").body_channel(None);
    let sending = tokio::spawn(async move { client.send(request).await.map(|_| ()) });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        sender.send("piece").await.unwrap();
    }
    drop(sender);
    sending.await.unwrap().unwrap();
    assert!(heard.lock().unwrap().ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn a_part_of_a_thing_is_asked_for() {
    let world = World::default();
    world.serve("h:80", ok("")).serve("h:80", ok(""));
    let client = world.client();
    client.send(get("http://h/").range(5, Some(9)).unwrap()).await.unwrap();
    client.send(get("http://h/").range(5, None).unwrap()).await.unwrap();
    let heard = world.heard();
    assert!(heard[0].contains("range: bytes=5-9\r\n") && heard[1].contains("range: bytes=5-\r\n"), "{heard:?}");
    assert!(matches!(get("http://h/").range(5, Some(4)), Err(Error::Header(_))));
}
