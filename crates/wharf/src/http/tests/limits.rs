//! What a server may not do to a client, and what becomes of it.

use std::time::Duration;

use tokio::io::{AsyncWriteExt, DuplexStream};

use super::site::Site;
use super::{Act, World, failure, get, read_request, text};
use crate::http::{Error, Timeouts};

/// A site that sends `head` and then `more` until nobody listens, at most a hundred thousand times.
fn endless(head: &'static str, more: &'static str) -> Site {
    Site::new(move |_, mut stream: DuplexStream| async move {
        read_request(&mut stream).await;
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        for _ in 0..100_000 {
            if stream.write_all(more.as_bytes()).await.is_err() {
                return;
            }
        }
    })
}

#[tokio::test]
async fn endless_headers_are_refused() {
    let cases = [
        ("HTTP/1.1 200 OK\r\n", "X-Many: 1\r\n"),
        ("HTTP/1.1 200 OK\r\nX-Long: ", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ];
    for (head, more) in cases {
        let error = endless(head, more).client().send(get("http://h/")).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{head:?}: {error}");
        assert!(error.to_string().contains("128 KiB"), "{error}");
    }
}

#[tokio::test]
async fn a_status_line_without_an_end_is_no_http() {
    let error = endless("HTTP/1.1 200 ", "OK").client().send(get("http://h/")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. } | Error::NotHttp { .. }), "{error}");
}

#[tokio::test]
async fn interim_responses_without_end_are_refused() {
    let site = endless("", "HTTP/1.1 103 Early Hints\r\n\r\n");
    let error = site.client().send(get("http://h/")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }) && error.to_string().contains("interim"), "{error}");
}

#[tokio::test]
async fn a_few_interim_responses_are_passed_over() {
    let world = World::default();
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    world.serve("h:80", Act::Say(format!("{early}{early}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
    assert_eq!(text(world.client().send(get("http://h/")).await.unwrap()).await.unwrap(), "ok");
}

#[tokio::test]
async fn trailers_come_with_the_body_and_not_without_end() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
    let world = World::default();
    world.serve("h:80", Act::Say(format!("{head}Digest: abc\r\n\r\n")));
    let mut body = world.client().send(get("http://h/")).await.unwrap().body;
    assert!(body.trailers().is_none());
    while body.chunk().await.unwrap().is_some() {}
    assert_eq!(body.trailers().unwrap()["digest"], "abc");

    let site = Site::new(move |_, mut stream: DuplexStream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(b"X-More: 1\r\n").await.is_ok() {}
    });
    let response = site.client().send(get("http://h/")).await.unwrap();
    assert!(text(response).await.is_err());
}

#[tokio::test]
async fn a_body_longer_than_announced_is_an_error() {
    for connection in ["", "Connection: close\r\n"] {
        let world = World::default();
        let head = format!("HTTP/1.1 200 OK\r\n{connection}Content-Length: 3\r\n\r\n");
        world.serve("h:80", Act::Say(format!("{head}abcdef")));
        let error = failure(&world.client(), get("http://h/")).await;
        assert!(matches!(error, Error::TooMuch { expected: 3 }), "{connection}{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_promises_to_close_and_does_not_keeps_nobody_waiting() {
    let world = World::default();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
    world.serve("h:80", Act::SayAndHold(format!("{head}abc")));
    let begun = tokio::time::Instant::now();
    assert_eq!(text(world.client().send(get("http://h/")).await.unwrap()).await.unwrap(), "abc");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_follows_a_response_that_nobody_asked_for_answers_no_request() {
    let world = World::default();
    let one = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    world
        .serve("h:80", Act::SayAndHold(format!("{one}first{one}wrong")))
        .serve("h:80", Act::Say(format!("{one}right")));
    let client = world.client();
    let error = failure(&client, get("http://h/")).await;
    assert!(matches!(error, Error::TooMuch { expected: 5 }), "{error}");
    assert_eq!(text(client.send(get("http://h/")).await.unwrap()).await.unwrap(), "right");
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_refused() {
    for fields in
        ["Content-Length: 3\r\nContent-Length: 4", "Content-Length: -1", "Content-Length: 99999999999999999999"]
    {
        let world = World::default();
        world.serve("h:80", Act::Say(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nabcd")));
        let error = failure(&world.client(), get("http://h/")).await;
        assert!(matches!(error, Error::NotHttp { .. }), "{fields}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_not_given_up() {
    let site = Site::new(|_, mut stream: DuplexStream| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await.unwrap();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(6)).await;
            stream.write_all(b"x").await.unwrap();
        }
    });
    let client = site.client().with_timeouts(Timeouts::each(Duration::from_secs(7)));
    let response = client.send(get("http://h/")).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "xxxxxxxxxx");
}
