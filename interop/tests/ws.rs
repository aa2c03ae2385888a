//! `wharf ws` against python3-websockets over TAP.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::thread;

use wharf_interop::{Names, Program, Tap, WebSocketServer, World, in_namespace};

/// Longer than any test waits for a reply: the input's end closes nothing before the replies are here.
const WAIT: [&str; 2] = ["--wait", "120"];

/// A TAP device with a name server and a WebSocket server on it.
struct Site<'a> {
    world: &'a World,
    tap: Tap,
    server: WebSocketServer<'a>,
}

impl<'a> Site<'a> {
    fn new(world: &'a World) -> Self {
        let tap = world.tap();
        let _names = Names::dns(world, tap.address);
        let identity = world.authority().issue(&["files.test"]);
        Self { world, tap, server: WebSocketServer::start(world, IpAddr::V4(tap.address), &identity) }
    }

    fn ws(&self, url: &str, more: &[&str]) -> Program<'_> {
        let (by_hand, ca) = (self.tap.by_hand(), self.world.ca_file());
        let mut arguments = vec!["ws", url, "--ca", ca.to_str().unwrap()];
        arguments.extend(by_hand.iter().map(String::as_str));
        arguments.extend(WAIT);
        arguments.extend(more);
        self.world.wharf(&arguments)
    }
}

#[test]
fn lines_are_echoed_in_the_clear_and_over_tls_and_no_inet_socket() {
    in_namespace(|world| {
        let site = Site::new(world);
        let input = "one\n\nthree, with ü and €\n".as_bytes();
        let run = site.ws("ws://files.test/echo", &["--messages", "3"]).input(input).run().succeeded();
        assert_eq!(run.stdout.as_bytes(), input);
        assert!(run.stderr.contains("closed: 1000"), "{run}");
        assert_eq!(site.server.ended("/echo"), "1000 NoneType");

        let (by_hand, ca) = (site.tap.by_hand(), world.ca_file());
        let mut arguments = vec!["ws", "wss://files.test/echo?tls", "--messages", "3", "--ca", ca.to_str().unwrap()];
        arguments.extend(by_hand.iter().map(String::as_str));
        arguments.extend(WAIT);
        let (traced, trace) = world.wharf_traced("socket", &arguments);
        let run = traced.input(input).run().succeeded();
        assert_eq!(run.stdout.as_bytes(), input);
        assert!(run.stderr.contains("TLS 1.3"), "{run}");
        assert_eq!(site.server.ended("/echo?tls"), "1000 NoneType");
        let trace = fs::read_to_string(trace).unwrap();
        assert!(!trace.contains("AF_INET"), "wharf opened a socket of the kernel's:\n{trace}");
    });
}

#[test]
fn messages_are_compressed_with_a_server_that_takes_it_and_not_with_others() {
    in_namespace(|world| {
        let site = Site::new(world);
        let lines: String = (0..2_000).map(|number| format!("line {number} of many that are alike\n")).collect();
        let more = ["--messages", "2000", "--compressed"];
        let run = site.ws("wss://files.test/echo", &more).input(lines.as_bytes()).run().succeeded();
        assert!(run.stdout == lines, "{} of {} bytes came back", run.stdout.len(), lines.len());
        assert!(run.stderr.contains(", compressed"), "{run}");
        assert_eq!(site.server.ended("/echo"), "1000 NoneType");
        let more = ["--messages", "1", "--compressed", "--fragment", "1000"];
        let large = [&vec![b'z'; 3 << 20][..], b"\n"].concat();
        let run = site.ws("ws://files.test/count", &more).input(&large).run().succeeded();
        assert_eq!(run.stdout, format!("str {}\n", 3 << 20));
        let run = site.ws("ws://files.test/fragments", &["--messages", "2", "--compressed"]).run().succeeded();
        assert_eq!(run.stdout, "one message in four\n000102\n");
        // Nothing of it where it is not asked for.
        let run = site.ws("ws://files.test/echo?plain", &["--messages", "1"]).input(b"a\n").run().succeeded();
        assert!(!run.stderr.contains("compressed"), "{run}");
    });
}

#[test]
fn binary_fragmented_and_large_messages_cross_whole() {
    in_namespace(|world| {
        let site = Site::new(world);
        let run = site.ws("ws://files.test/fragments", &["--messages", "2"]).run().succeeded();
        assert_eq!(run.stdout, "one message in four\n000102\n");
        let run = site.ws("ws://files.test/fragments?json", &["--messages", "2", "--json"]).run().succeeded();
        assert!(run.stdout.contains(r#"{"type":"text","data":"one message in four"}"#), "{run}");
        assert!(run.stdout.contains(r#"{"type":"binary","hex":"000102"}"#), "{run}");
        assert!(run.stdout.contains(r#""type":"close","code":1000"#), "{run}");

        let large = world.amount(6 << 20) / 2;
        let mut input = vec![b'a'; large as usize];
        input.extend(b"\nshort\n");
        let more = ["--messages", "2", "--fragment", "100000"];
        let run = site.ws("wss://files.test/count", &more).input(&input).run().succeeded();
        assert_eq!(run.stdout, format!("str {large}\nstr 5\n"));
        let more = ["--messages", "1", "--binary"];
        let run = site.ws("ws://files.test/echo", &more).input(b"\xff\xfe\n").run();
        assert!(run.success(), "{run}");
        // The harness reads what is printed as text; two bytes that are none become two signs.
        assert_eq!(run.stdout, "\u{fffd}\u{fffd}");
    });
}

#[test]
fn pings_are_answered_and_sent_and_headers_and_subprotocols_arrive() {
    in_namespace(|world| {
        let site = Site::new(world);
        let run = site.ws("ws://files.test/ping", &["--messages", "1", "--ping", "0.2"]).run().succeeded();
        assert_eq!(run.stdout, "the pong came\n");
        let more = ["--messages", "2", "--header", "X-Token: secret", "--subprotocol", "other,chat"];
        let run = site.ws("ws://files.test/headers", &more).run().succeeded();
        assert_eq!(run.stdout, "secret\nchat\n");
        assert!(run.stderr.contains("subprotocol chat"), "{run}");
        let more = ["--subprotocol", "other"];
        let run = site.ws("ws://files.test/headers", &more).run().failed_saying(&["none of the subprotocols"]);
        assert_eq!(run.status.code(), Some(7));
    });
}

#[test]
fn a_servers_close_code_ends_the_command_and_says_why() {
    in_namespace(|world| {
        let site = Site::new(world);
        for (code, status) in [(1000, 0), (1001, 0), (1011, 1), (4000, 1)] {
            let run = site.ws(&format!("ws://files.test/close/{code}"), &[]).run();
            assert_eq!(run.status.code(), Some(status), "{run}");
            assert!(run.stderr.contains(&format!("closed: {code}")) && run.stderr.contains("as asked"), "{run}");
        }
    });
}

#[test]
fn servers_that_break_the_rules_or_the_connection_are_told_and_reported() {
    in_namespace(|world| {
        let site = Site::new(world);
        let failed = |path: &str, status, words: &[&str]| {
            let run = site.ws(&format!("ws://files.test{path}"), &[]).run().failed_saying(words);
            assert_eq!(run.status.code(), Some(status), "{run}");
        };
        failed("/large", 7, &["16777216 are allowed"]);
        assert!(site.server.ended("/large").starts_with("1009"));
        failed("/invalid", 7, &["not UTF-8"]);
        assert!(site.server.ended("/invalid").starts_with("1007"));
        failed("/halfway", 4, &["lost without a Close frame"]);
        failed("/forbidden", 8, &["refused the handshake: 403"]);
        failed("/unauthorized", 6, &["401", "user name and password"]);
        site.ws("ws://me:secret@files.test/unauthorized", &[]).run().expect_success();
    });
}

#[test]
fn what_answers_and_is_no_websocket_server_is_told_apart() {
    in_namespace(|world| {
        let site = Site::new(world);
        let answering = |answer: &'static [u8]| {
            let listener = TcpListener::bind((site.tap.address, 0)).unwrap();
            let url = format!("ws://{}/", listener.local_addr().unwrap());
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                stream.write_all(answer).unwrap();
                // Held open until the client has read and gone.
                let _ = stream.read(&mut [0; 1]);
            });
            url
        };
        let wrong_key = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        let run = site.ws(&answering(wrong_key), &[]).run().failed_saying(&["does not answer our key"]);
        assert_eq!(run.status.code(), Some(7));
        let run = site.ws(&answering(b"220 mail.test ESMTP\r\n"), &[]).run().failed_saying(&["not HTTP"]);
        assert_eq!(run.status.code(), Some(7));
        let page = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let run = site.ws(&answering(page), &[]).run().failed_saying(&["200", "no WebSocket"]);
        assert_eq!(run.status.code(), Some(7));
        let run = site.ws(&answering(b""), &["--timeout", "1"]).run().failed_saying(&["did not answer the handshake"]);
        assert_eq!(run.status.code(), Some(4));
    });
}
