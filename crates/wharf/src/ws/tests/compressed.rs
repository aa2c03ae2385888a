//! permessage-deflate between both ends of ours, and peers that use it as they should not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Bytes, Duration, Error, Limits, Message, Options, ServerOptions, URL, accept, answer, connect_over, text};

/// "Hello", compressed (RFC 7692 section 7.2.3.1), as a text frame.
const HELLO: &[u8] = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";

const ANSWER: &str = "Sec-WebSocket-Extensions: permessage-deflate";

fn options(limits: Limits) -> Options {
    Options { deflate: true, limits, ..Options::default() }
}

#[tokio::test]
async fn messages_are_compressed_where_both_want_it() {
    for (client_wants, server_wants) in [(true, true), (true, false), (false, true)] {
        let (near, far) = tokio::io::duplex(1 << 10);
        let limits = Limits { fragment: Some(1_000), ..Limits::default() };
        let wants = Options { deflate: client_wants, limits, ..Options::default() };
        let server = ServerOptions { deflate: server_wants, ..ServerOptions::default() };
        let (client, server) = tokio::join!(connect_over(near, URL, &wants), accept(far, &server, |_| Ok(())));
        let (client, server) = (client.unwrap(), server.unwrap());
        let both = client_wants && server_wants;
        assert_eq!((client.deflate, server.deflate), (both, both));
        let (mut client, mut server) = (client.socket, server.socket);
        let echo = tokio::spawn(async move {
            while let Some(message) = server.recv().await.unwrap() {
                if matches!(message, Message::Text(_) | Message::Binary(_)) {
                    server.send(message).await.unwrap();
                }
            }
        });
        for size in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
            for message in [text(&"aé€".repeat(size)), Message::Binary(vec![0xff; size].into())] {
                client.queue(message.clone()).unwrap();
                let most = if both { 10_000 } else { 1 << 21 };
                assert!((1..most).contains(&client.buffered_amount()), "{size}: {}", client.buffered_amount());
                assert_eq!(client.recv().await.unwrap(), Some(message));
                assert_eq!(client.buffered_amount(), 0);
            }
        }
        client.send(Message::Ping(Bytes::from_static(b"beat"))).await.unwrap();
        assert_eq!(client.recv().await.unwrap(), Some(Message::Pong(Bytes::from_static(b"beat"))));
        client.close(1000, "").await.unwrap();
        echo.await.unwrap();
    }
}

/// What a client makes of a server that answers with `extension` and, in the same breath, says `bytes`.
async fn heard(extension: Option<&str>, bytes: &[u8], limits: Limits) -> (Result<Option<Message>, Error>, Option<u16>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let options = options(limits);
    let (connected, mut far) = tokio::join!(connect_over(near, URL, &options), async {
        let extension = extension.map(str::to_owned);
        answer_with(far, extension, bytes).await
    });
    let mut client = connected.unwrap().socket;
    let message = client.recv().await;
    drop(client);
    let mut rest = Vec::new();
    let _ = far.read_to_end(&mut rest).await;
    // The masked Close frame, if there is one: 0x88, its length, the mask, the code.
    let code = rest.strip_prefix(b"\x88\x82").map(|rest| u16::from_be_bytes([rest[0] ^ rest[4], rest[1] ^ rest[5]]));
    (message, code)
}

async fn answer_with(
    stream: tokio::io::DuplexStream,
    extension: Option<String>,
    bytes: &[u8],
) -> tokio::io::DuplexStream {
    let mut stream = answer(stream, |lines| lines.extend(extension)).await;
    stream.write_all(bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn what_follows_the_handshake_at_its_heels_is_expanded_too() {
    let (message, _) = heard(Some(ANSWER), HELLO, Limits::default()).await;
    assert_eq!(message.unwrap(), Some(text("Hello")));
    // A server may leave single messages as they are.
    let (message, _) = heard(Some(ANSWER), b"\x81\x02hi", Limits::default()).await;
    assert_eq!(message.unwrap(), Some(text("hi")));
}

#[tokio::test]
async fn a_peer_that_compresses_as_it_should_not_is_told_by_the_right_code() {
    let limits = Limits { max_message: 1_000, close: Duration::from_secs(1), ..Limits::default() };
    let mut bomb = Vec::new();
    {
        use flate2::{Compress, Compression, FlushCompress};
        bomb.reserve(1_000);
        let mut compress = Compress::new(Compression::default(), false);
        compress.compress_vec(&[b'a'; 2_000], &mut bomb, FlushCompress::Sync).unwrap();
        bomb.truncate(bomb.len() - 4);
    }
    let bomb = [&[0xc1, u8::try_from(bomb.len()).unwrap()][..], &bomb].concat();
    let cases: [(&str, Option<&str>, &[u8], u16); 6] = [
        ("compression that was not agreed on", None, HELLO, 1002),
        ("a message of which nothing can be made", Some(ANSWER), b"\xc1\x03\xff\xff\xff", 1007),
        ("a text that is no text", Some(ANSWER), b"\xc1\x06\x00\x01\x00\xfe\xff\xff", 1007),
        ("a message that grows too large", Some(ANSWER), &bomb, 1009),
        ("the mark on a continuation", Some(ANSWER), b"\x01\x01a\xc0\x01b", 1002),
        ("the mark on a Ping", Some(ANSWER), b"\xc9\x00", 1002),
    ];
    for (what, extension, bytes, code) in cases {
        let (message, told) = heard(extension, bytes, limits.clone()).await;
        assert!(message.is_err(), "{what}: {message:?}");
        assert_eq!(told, Some(code), "{what}: {message:?}");
    }
}
