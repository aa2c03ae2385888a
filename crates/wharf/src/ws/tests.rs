//! Both ends of ours over a pipe in memory, and peers that break the rules byte by byte.

mod compressed;

use std::time::Duration;

use ::http::StatusCode;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Error, Limits, Message, Options, ServerOptions, WebSocket, accept, connect_over};

const URL: &str = "ws://h/chat?room=1";

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

/// A client and a server that have shaken hands over a pipe of `pipe` bytes.
async fn pair(pipe: usize, client: Limits, server: Limits) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (near, far) = tokio::io::duplex(pipe);
    let options = Options { limits: client, ..Options::default() };
    let server = ServerOptions { limits: server, ..ServerOptions::default() };
    let (client, server) = tokio::join!(connect_over(near, URL, &options), accept(far, &server, |_| Ok(())));
    (client.unwrap().socket, server.unwrap().socket)
}

/// A client, and the raw stream of a server that has shaken hands.
async fn raw_server(limits: Limits) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let options = Options { limits, ..Options::default() };
    let (client, far) = tokio::join!(connect_over(near, URL, &options), answer(far, |_| {}));
    (client.unwrap().socket, far)
}

/// Answers the handshake with the fields that `adjust` leaves.
async fn answer(mut stream: DuplexStream, adjust: impl FnOnce(&mut Vec<String>)) -> DuplexStream {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{head}");
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let mut lines = vec![
        "HTTP/1.1 101 Switching Protocols".to_owned(),
        "Upgrade: websocket".to_owned(),
        "Connection: Upgrade".to_owned(),
        format!("Sec-WebSocket-Accept: {}", derive_accept_key(key.as_bytes())),
    ];
    adjust(&mut lines);
    stream.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn messages_of_every_kind_and_size_cross_both_ways() {
    let (mut client, mut server) = pair(1 << 10, Limits::default(), Limits::default()).await;
    let echo = tokio::spawn(async move {
        while let Some(message) = server.recv().await.unwrap() {
            if matches!(message, Message::Text(_) | Message::Binary(_)) {
                server.send(message).await.unwrap();
            }
        }
        server.closed().cloned()
    });
    for size in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
        for message in [text(&"a".repeat(size)), Message::Binary(vec![0xff; size].into())] {
            client.queue(message.clone()).unwrap();
            assert!(client.buffered_amount() > 0);
            assert_eq!(client.recv().await.unwrap(), Some(message));
            assert_eq!(client.buffered_amount(), 0);
        }
    }
    client.send(Message::Ping(Bytes::from_static(b"beat"))).await.unwrap();
    assert_eq!(client.recv().await.unwrap(), Some(Message::Pong(Bytes::from_static(b"beat"))));
    let closed = client.close(3001, "done").await.unwrap();
    assert_eq!((closed.code, closed.reason.as_str(), closed.unseen), (3001, "done", 0));
    assert_eq!(echo.await.unwrap().unwrap().code, 3001);
    assert!(matches!(client.send(text("late")).await, Err(Error::Closed(Some(_)))));
    assert_eq!(client.recv().await.unwrap(), None);
}

#[tokio::test]
async fn a_long_message_goes_out_in_masked_fragments_and_arrives_whole() {
    let (mut client, mut far) = raw_server(Limits { fragment: Some(2), ..Limits::default() }).await;
    client.send(text("hello")).await.unwrap();
    let mut frames = Vec::new();
    for _ in 0..3 {
        let head = [far.read_u8().await.unwrap(), far.read_u8().await.unwrap()];
        assert_eq!(head[1] & 0x80, 0x80, "a client's frames are masked");
        let mut rest = vec![0; 4 + usize::from(head[1] & 0x7f)];
        far.read_exact(&mut rest).await.unwrap();
        let (mask, payload) = rest.split_at(4);
        frames.push((head[0], payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()));
    }
    let expected: [(u8, Vec<u8>); 3] = [(0x01, b"he".to_vec()), (0x00, b"ll".to_vec()), (0x80, b"o".to_vec())];
    assert_eq!(frames, expected);
    // The same the other way, with a Ping in between.
    far.write_all(b"\x01\x02he\x89\x01!\x00\x02ll\x80\x01o").await.unwrap();
    assert_eq!(client.recv().await.unwrap(), Some(Message::Ping(Bytes::from_static(b"!"))));
    assert_eq!(client.recv().await.unwrap(), Some(text("hello")));
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_is_told_by_the_right_code() {
    let small = Limits { max_message: 150, max_frame: 150, close: Duration::from_secs(1), ..Limits::default() };
    let long = [&b"\x01\x50"[..], &[b'a'; 80], b"\x80\x50", &[b'a'; 80]].concat();
    let cases: [(&str, &[u8], u16); 9] = [
        ("text that is not UTF-8", b"\x81\x02\xc3\x28", 1007),
        ("a frame that announces too much", b"\x82\x7e\xff\xff", 1009),
        ("fragments that are too much together", &long, 1009),
        ("a masked frame from a server", b"\x81\x82\x01\x02\x03\x04\x05\x06", 1002),
        ("a reserved bit", b"\xc1\x00", 1002),
        ("an unknown kind", b"\x83\x00", 1002),
        ("a continuation of nothing", b"\x80\x00", 1002),
        ("a fragmented control frame", b"\x09\x00", 1002),
        ("a control frame that is too long", b"\x89\x7e\x00\x7e", 1002),
    ];
    for (what, bytes, code) in cases {
        let (mut client, mut far) = raw_server(small.clone()).await;
        far.write_all(bytes).await.unwrap();
        if what.contains("control frame that is too long") {
            far.write_all(&[0; 126]).await.unwrap();
        }
        let peer = async move {
            let mut answer = Vec::new();
            far.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let (outcome, answer) = tokio::join!(
            async {
                let outcome = client.recv().await;
                drop(client);
                outcome
            },
            peer
        );
        let error = outcome.expect_err(what);
        let told = match code {
            1007 => matches!(error, Error::NotUtf8),
            1009 => matches!(error, Error::TooLarge { .. }),
            _ => matches!(error, Error::Protocol(_)),
        };
        assert!(told, "{what}: {error}");
        assert_eq!(answer[..2], [0x88, 0x82], "{what}: a masked Close frame with a code");
        assert_eq!(u16::from_be_bytes([answer[6] ^ answer[2], answer[7] ^ answer[3]]), code, "{what}");
    }
}

#[tokio::test]
async fn a_failure_whose_telling_was_cancelled_is_told_by_the_next_call() {
    let (mut client, mut far) = raw_server(Limits::default()).await;
    far.write_all(b"\x81\x02\xc3\x28").await.unwrap();
    // The peer neither reads nor ends, so that telling it takes longer.
    assert!(tokio::time::timeout(Duration::from_millis(20), client.recv()).await.is_err());
    assert!(matches!(client.send(text("late")).await, Err(Error::Closed(None))));
    drop(far);
    assert!(matches!(client.recv().await, Err(Error::NotUtf8)));
    assert!(matches!(client.recv().await, Err(Error::Closed(None))));
}

#[tokio::test]
async fn a_connection_that_ends_without_a_close_frame_is_lost() {
    for bytes in [&b""[..], b"\x81\x05hel", b"\x81\x02hi"] {
        let (mut client, mut far) = raw_server(Limits::default()).await;
        far.write_all(bytes).await.unwrap();
        drop(far);
        if bytes.ends_with(b"hi") {
            assert_eq!(client.recv().await.unwrap(), Some(text("hi")));
        }
        assert!(matches!(client.recv().await, Err(Error::Lost(_))));
        assert!(matches!(client.recv().await, Err(Error::Closed(None))));
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_makes_the_sender_wait_and_memory_stays_bounded() {
    let limits = Limits { max_buffered: 1000, max_message: 5000, ..Limits::default() };
    let (mut client, mut server) = pair(512, limits, Limits::default()).await;
    let message = Message::Binary(vec![1; 400].into());
    let mut queued = 0;
    let full = loop {
        match client.queue(message.clone()) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 100, "what waits is not bounded");
    };
    assert!(matches!(full, Error::Full { buffered } if buffered <= 1000 && buffered == client.buffered_amount()));
    assert!(tokio::time::timeout(Duration::from_millis(50), client.send(message.clone())).await.is_err());
    assert!(matches!(
        client.send(Message::Binary(vec![1; 5001].into())).await,
        Err(Error::TooLargeToSend { size: 5001, limit: 5000 })
    ));
    // The message whose sending was cancelled either waits or was never taken; none is lost or doubled.
    let reader = tokio::spawn(async move {
        let mut count = 0;
        while let Some(received) = server.recv().await.unwrap() {
            assert_eq!(received, Message::Binary(vec![1; 400].into()));
            count += 1;
        }
        count
    });
    client.flush().await.unwrap();
    client.close(1000, "").await.unwrap();
    let count = reader.await.unwrap();
    assert!(count == queued || count == queued + 1, "{count} of {queued}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_then_given_up() {
    let interval = Duration::from_secs(5);
    let (mut client, mut far) = raw_server(Limits { keep_alive: Some(interval), ..Limits::default() }).await;
    let pings = async {
        let mut head = [0; 6];
        far.read_exact(&mut head).await.unwrap();
        assert_eq!(head[..2], [0x89, 0x80]);
        far.write_all(b"\x8a\x00").await.unwrap();
        far.read_exact(&mut head).await.unwrap();
        far
    };
    // It goes with its connection, so that a Ping that never comes is no wait without an end.
    let client = async move {
        assert_eq!(client.recv().await.unwrap(), Some(Message::Pong(Bytes::new())));
        client.recv().await
    };
    let (_far, outcome) = tokio::join!(pings, client);
    assert!(matches!(outcome, Err(Error::Silent { after }) if after == interval));
}

#[tokio::test(start_paused = true)]
async fn however_often_a_peer_is_pinged_it_has_five_seconds_to_answer() {
    let often = Some(Duration::from_millis(200));
    let (mut client, mut far) = raw_server(Limits { keep_alive: often, ..Limits::default() }).await;
    let answering = tokio::spawn(async move {
        far.read_exact(&mut [0; 6]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        far.write_all(b"\x8a\x00").await.unwrap();
        far
    });
    assert_eq!(client.recv().await.unwrap(), Some(Message::Pong(Bytes::new())));
    let _far = answering.await.unwrap();
    let outcome = client.recv().await;
    assert!(matches!(outcome, Err(Error::Silent { after }) if after == Duration::from_secs(5)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_a_close_frame_is_given_up() {
    let (mut client, mut far) = raw_server(Limits::default()).await;
    far.write_all(b"\x81\x02hi").await.unwrap();
    assert!(matches!(client.close(1000, "").await, Err(Error::CloseTimedOut { .. })));
    // One that answers and keeps the connection open is closed all the same, and what nobody saw is counted.
    let (mut client, mut far) = raw_server(Limits::default()).await;
    far.write_all(b"\x81\x02hi\x88\x02\x03\xe9").await.unwrap();
    let closed = client.close(1000, "").await.unwrap();
    assert_eq!((closed.code, closed.unseen), (1001, 1));
}

#[tokio::test]
async fn codes_and_reasons_that_no_close_frame_may_carry_are_refused() {
    let (mut client, _far) = raw_server(Limits::default()).await;
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert!(matches!(client.start_close(code, ""), Err(Error::CloseFrame { .. })), "{code}");
    }
    assert!(matches!(client.start_close(1000, &"a".repeat(124)), Err(Error::CloseFrame { .. })));
    let long = Bytes::from(vec![0; 126]);
    assert!(matches!(client.send(Message::Ping(long)).await, Err(Error::ControlTooLong(126))));
}

#[tokio::test]
async fn answers_that_are_no_handshake_are_refused_with_the_reason() {
    type Adjust = fn(&mut Vec<String>);
    let cases: [(&str, Adjust, &str); 6] = [
        ("wrong key", |lines| lines[3] = "Sec-WebSocket-Accept: c2FtcGxlIG5vbmNlAAAAAAAAAAA=".to_owned(), "our key"),
        ("no upgrade", |lines| drop(lines.remove(1)), "Upgrade"),
        ("refused", |lines| lines[0] = "HTTP/1.1 403 Forbidden".to_owned(), "403"),
        ("extension", |lines| lines.push("Sec-WebSocket-Extensions: permessage-deflate".to_owned()), "not asked for"),
        ("subprotocol", |lines| lines.push("Sec-WebSocket-Protocol: chat".to_owned()), "subprotocol"),
        ("endless", |lines| lines.extend((0..3000).map(|n| format!("X-{n}: {}", "a".repeat(64)))), "endless"),
    ];
    for (what, adjust, reason) in cases {
        let (near, far) = tokio::io::duplex(1 << 20);
        let options = Options::default();
        let (outcome, _) = tokio::join!(connect_over(near, URL, &options), answer(far, adjust));
        let error = outcome.map(|_| ()).expect_err(what).to_string();
        assert!(error.contains(reason), "{what}: {error}");
    }
}

#[tokio::test]
async fn subprotocols_headers_and_refusals_are_agreed_on() {
    let mut options = Options { subprotocols: vec!["a".to_owned(), "b".to_owned()], ..Options::default() };
    options.header_line("X-Token: secret").unwrap();
    let server = ServerOptions { subprotocols: vec!["b".to_owned()], ..ServerOptions::default() };
    let (near, far) = tokio::io::duplex(1 << 16);
    let (client, accepted) =
        tokio::join!(connect_over(near, "ws://me:pass%20word@h/chat", &options), accept(far, &server, |_| Ok(())));
    let accepted = accepted.unwrap();
    assert_eq!(client.unwrap().subprotocol.as_deref(), Some("b"));
    assert_eq!((accepted.subprotocol.as_deref(), accepted.target.as_str()), (Some("b"), "/chat"));
    assert_eq!(accepted.headers["x-token"], "secret");
    assert_eq!(accepted.headers["authorization"], "Basic bWU6cGFzcyB3b3Jk");
    assert_eq!(accepted.headers["host"], "h");

    let (near, far) = tokio::io::duplex(1 << 16);
    let options = Options::default();
    let admit = |_: &::http::Request<()>| Err(StatusCode::FORBIDDEN);
    let (client, accepted) = tokio::join!(connect_over(near, URL, &options), accept(far, &server, admit));
    assert!(matches!(client, Err(Error::Refused { status: StatusCode::FORBIDDEN, .. })));
    assert!(accepted.is_err());
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_before_a_byte_is_sent() {
    let plain = Options::default();
    let with = |line: &str| {
        let mut options = Options::default();
        options.header_line(line).map(|()| options)
    };
    assert!(with("no colon").is_err() && with("a b: c").is_err() && with("a: b\r\nc: d").is_err());
    let forbidden = with("Sec-WebSocket-Key: mine").unwrap();
    let twice = Options { subprotocols: vec!["a".to_owned(), "a".to_owned()], ..Options::default() };
    let empty = Options { subprotocols: vec![String::new()], ..Options::default() };
    let cases = [
        ("http://h/", &plain),
        ("ws://h/#part", &plain),
        ("ws://", &plain),
        ("chat", &plain),
        (URL, &forbidden),
        (URL, &twice),
        (URL, &empty),
    ];
    for (url, options) in cases {
        let (near, mut far) = tokio::io::duplex(64);
        assert!(connect_over(near, url, options).await.is_err(), "{url}");
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        assert!(sent.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_the_handshake_is_given_up() {
    let (near, _far) = tokio::io::duplex(1 << 16);
    let error = connect_over(near, URL, &Options::default()).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::HandshakeTimedOut { .. }), "{error}");
}
