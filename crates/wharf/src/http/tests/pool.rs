//! How many connections there are, which are used again, and what becomes of those that went stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;

use super::site::{Counts, Secure, Site};
use super::{get, read_request, text};
use crate::http::{Client, Error, MAX_CONNECTIONS, MAX_WAITING, Method, Request, Timeouts, Version, Versions};

/// Sends `count` requests at once and gives the versions that answered.
async fn all_at_once(client: &Client<Site>, url: &'static str, count: usize) -> Vec<Version> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let client = client.clone();
        requests.spawn(async move {
            let response = client.send(get(url)).await.unwrap();
            let version = response.version;
            text(response).await.unwrap();
            version
        });
    }
    requests.join_all().await
}

fn plain_site(counts: &Counts) -> Site {
    let counts = counts.clone();
    Site::new(move |number, stream| counts.clone().serve_one(number, stream))
}

/// A site with TLS that speaks what is agreed on.
fn secure_site(counts: &Counts, secure: &Secure, streams: u32, requests: usize) -> Site {
    let (counts, acceptor) = (counts.clone(), secure.acceptor());
    Site::new(move |number, stream| {
        let (counts, acceptor) = (counts.clone(), acceptor.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                counts.serve_two(number, stream, streams, requests).await;
            } else {
                counts.serve_one(number, stream).await;
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn forty_cold_requests_over_http_open_six_connections() {
    let counts = Counts::default();
    let site = plain_site(&counts);
    all_at_once(&site.client(), "http://h/", 40).await;
    assert_eq!((site.connections(), counts.requests.load(Ordering::SeqCst)), (MAX_CONNECTIONS, 40));
}

#[tokio::test(start_paused = true)]
async fn forty_cold_requests_to_an_http_1_origin_with_tls_open_six_connections() {
    let (counts, secure) = (Counts::default(), Secure::new(&["http/1.1"]));
    let site = secure_site(&counts, &secure, 100, 1000);
    let versions = all_at_once(&site.client_trusting(secure.trust), "https://h/", 40).await;
    assert!(versions.iter().all(|&version| version == Version::HTTP_11));
    assert_eq!((site.connections(), counts.requests.load(Ordering::SeqCst)), (MAX_CONNECTIONS, 40));
}

#[tokio::test(start_paused = true)]
async fn forty_cold_requests_to_an_http_2_origin_share_one_connection() {
    let (counts, secure) = (Counts::default(), Secure::new(&["h2", "http/1.1"]));
    let site = secure_site(&counts, &secure, 100, 1000);
    let versions = all_at_once(&site.client_trusting(secure.trust), "https://h/", 40).await;
    assert!(versions.iter().all(|&version| version == Version::HTTP_2));
    assert_eq!((site.connections(), counts.requests.load(Ordering::SeqCst)), (1, 40));
}

#[tokio::test(start_paused = true)]
async fn no_more_streams_are_opened_than_the_server_allows() {
    let (counts, secure) = (Counts::default(), Secure::new(&["h2"]));
    let site = secure_site(&counts, &secure, 3, 1000);
    all_at_once(&site.client_trusting(secure.trust), "https://h/", 40).await;
    assert_eq!((site.connections(), counts.most.load(Ordering::SeqCst)), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn an_http_2_connection_that_says_goodbye_is_replaced() {
    let (counts, secure) = (Counts::default(), Secure::new(&["h2"]));
    let site = secure_site(&counts, &secure, 100, 2);
    let client = site.client_trusting(secure.trust);
    for round in 0..6 {
        let response = client.send(get("https://h/")).await.unwrap();
        assert_eq!(text(response).await.unwrap(), (round / 2).to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn versions_are_spoken_as_asked() {
    let (counts, both) = (Counts::default(), Secure::new(&["h2", "http/1.1"]));
    let site = secure_site(&counts, &both, 100, 1000);
    for (versions, answered) in [(Versions::Http1, Version::HTTP_11), (Versions::Http2, Version::HTTP_2)] {
        let client = site.client_trusting(both.trust.clone()).with_versions(versions);
        assert_eq!(client.send(get("https://h/")).await.unwrap().version, answered);
    }
    let one = Secure::new(&["http/1.1"]);
    let site = secure_site(&counts, &one, 100, 1000);
    let client = site.client_trusting(one.trust).with_versions(Versions::Http2);
    let error = client.send(get("https://h/")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Version { .. } | Error::Tls(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn http_2_is_spoken_without_tls_where_the_caller_knows_of_it() {
    let counts = Counts::default();
    let served = counts.clone();
    let site = Site::new(move |number, stream| served.clone().serve_two(number, stream, 100, 1000));
    let client = site.client().with_versions(Versions::Http2);
    let versions = all_at_once(&client, "http://h/", 40).await;
    assert!(versions.iter().all(|&version| version == Version::HTTP_2));
    assert_eq!(site.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_carries_one_request_after_another() {
    let counts = Counts::default();
    let site = plain_site(&counts);
    let client = site.client();
    for round in 0..10 {
        let response = client.send(get("http://h/")).await.unwrap();
        assert_eq!((response.timing.reused, response.timing.connect.is_none()), (round > 0, round > 0));
        assert_eq!(text(response).await.unwrap(), "0");
    }
    assert_eq!(site.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn origins_do_not_share_connections() {
    let counts = Counts::default();
    let site = plain_site(&counts);
    let client = site.client();
    for url in ["http://h/", "http://other/", "http://h:81/", "http://h/again"] {
        text(client.send(get(url)).await.unwrap()).await.unwrap();
    }
    assert_eq!(*site.dialed.lock().unwrap(), ["h:80", "other:80", "h:81"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_body_was_not_read_is_not_used_again() {
    let site = Site::new(|number, mut stream: DuplexStream| async move {
        read_request(&mut stream).await;
        // More than the connection holds on its way.
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{number}", 1 << 20);
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.write_all(&vec![b'x'; 1 << 20]).await;
    });
    let client = site.client();
    drop(client.send(get("http://h/")).await.unwrap());
    let mut response = client.send(get("http://h/")).await.unwrap();
    assert_eq!(response.body.chunk().await.unwrap().unwrap()[0], b'1');
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_a_minute() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ended);
    let counts = Counts::default();
    let site = Site::new(move |number, stream| {
        let (counts, counted) = (counts.clone(), Arc::clone(&counted));
        async move {
            counts.serve_one(number, stream).await;
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let client = site.client();
    text(client.send(get("http://h/")).await.unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    text(client.send(get("http://h/")).await.unwrap()).await.unwrap();
    assert_eq!(site.connections(), 2);
}

/// A site whose connections up to number `stale` answer one request and close when the next one comes.
fn going_stale(stale: usize) -> Site {
    Site::new(move |number, mut stream: DuplexStream| async move {
        loop {
            if read_request(&mut stream).await.is_empty() {
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            if number <= stale {
                let mut byte = [0];
                let _ = stream.read(&mut byte).await;
                return;
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_request_on_a_stale_connection_is_sent_once_more() {
    let site = going_stale(0);
    let client = site.client();
    for _ in 0..3 {
        assert_eq!(text(client.send(get("http://h/")).await.unwrap()).await.unwrap(), "ok");
    }
    assert_eq!(site.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_must_not_be_sent_twice_fails_on_a_stale_connection() {
    let site = going_stale(0);
    let client = site.client();
    text(client.send(get("http://h/")).await.unwrap()).await.unwrap();
    let post = || Request::new(Method::POST, "http://h/").unwrap().body("data");
    let error = client.send(post()).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    assert_eq!(site.connections(), 1);
    // Its caller may know better.
    let site = going_stale(0);
    let client = site.client();
    text(client.send(get("http://h/")).await.unwrap()).await.unwrap();
    text(client.send(post().idempotent(true)).await.unwrap()).await.unwrap();
    assert_eq!(site.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_without_an_answer_is_tried_once() {
    // The first connection goes stale, and the new one closes without a word.
    let site = Site::new(|number, mut stream: DuplexStream| async move {
        read_request(&mut stream).await;
        if number == 0 {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            let mut byte = [0];
            let _ = stream.read(&mut byte).await;
        }
    });
    let client = site.client();
    text(client.send(get("http://h/")).await.unwrap()).await.unwrap();
    let error = client.send(get("http://h/")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    assert_eq!(site.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_server_closed_while_idle_is_not_tried() {
    let site = Site::new(|_, mut stream: DuplexStream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    });
    let client = site.client();
    for _ in 0..3 {
        let post = Request::new(Method::POST, "http://h/").unwrap().body("data");
        text(client.send(post).await.unwrap()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(site.connections(), 3);
}

/// A site that never answers.
fn silent() -> Site {
    Site::new(|_, stream: DuplexStream| async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(stream);
    })
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_given_up_make_room() {
    let site = silent();
    let client = site.client().with_timeouts(Timeouts { first_byte: Duration::from_secs(600), ..Timeouts::default() });
    let mut given_up = JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        given_up.spawn(async move {
            tokio::time::timeout(Duration::from_secs(1), client.send(get("http://h/"))).await.is_err()
        });
    }
    assert!(given_up.join_all().await.into_iter().all(|given_up| given_up));
    // Had any of them kept its place, fewer than six could be under way now.
    let before = site.connections();
    let mut given_up = JoinSet::new();
    for _ in 0..MAX_CONNECTIONS {
        let client = client.clone();
        given_up.spawn(async move {
            tokio::time::timeout(Duration::from_secs(1), client.send(get("http://h/"))).await.is_err()
        });
    }
    given_up.join_all().await;
    assert_eq!(site.connections() - before, MAX_CONNECTIONS);
}

#[tokio::test(start_paused = true)]
async fn the_line_of_waiting_requests_has_an_end() {
    let site = silent();
    let client = site.client().with_timeouts(Timeouts { first_byte: Duration::from_secs(600), ..Timeouts::default() });
    let mut waiting = JoinSet::new();
    for _ in 0..MAX_CONNECTIONS + MAX_WAITING {
        let client = client.clone();
        waiting.spawn(async move { client.send(get("http://h/")).await.map(|_| ()) });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let error = client.send(get("http://h/")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::TooManyWaiting { limit: MAX_WAITING, .. }), "{error}");
    waiting.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn those_who_waited_for_a_probe_that_failed_get_their_own_answers() {
    let counts = Counts::default();
    let secure = Secure::new(&["h2"]);
    let acceptor = secure.acceptor();
    let site = Site::new(move |number, stream| {
        let (counts, acceptor) = (counts.clone(), acceptor.clone());
        async move {
            // The first connection is closed in the handshake.
            if number > 0
                && let Ok(stream) = acceptor.accept(stream).await
            {
                counts.serve_two(number, stream, 100, 1000).await;
            }
        }
    });
    let client = site.client_trusting(secure.trust);
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        requests.spawn(async move { client.send(get("https://h/")).await.is_ok() });
    }
    let answered = requests.join_all().await.into_iter().filter(|&ok| ok).count();
    assert_eq!(answered, 19);
    assert!(site.connections() <= 1 + MAX_CONNECTIONS, "{}", site.connections());
}
