//! `wharf wget` that tries again, and the TLS options that it shares with `wharf tls`.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Shutdown};

use wharf_interop::{Identity, Secure, SecureServer, World, in_namespace};

use crate::origin::{Origin, say};
use crate::site::Site;

/// A file of `text`, and where it stands.
fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.path(name);
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn a_body_that_breaks_off_is_gone_on_with_by_the_next_tries() {
    in_namespace(|world| {
        let site = Site::new(world);
        let body: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let served = body.clone();
        // Each answer breaks off after 100,000 bytes.
        let origin = Origin::start(&site.tap, move |heard, stream| {
            let from = heard.range().unwrap_or(0);
            let range = format!("Content-Range: bytes {from}-{}/{}\r\n", served.len() - 1, served.len());
            let (status, range) = if from == 0 { ("200 OK", "") } else { ("206 Partial Content", &*range) };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"one\"\r\n{range}\r\n", served.len() - from);
            let piece = &served[from..served.len().min(from + 100_000)];
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(piece));
            let _ = stream.shutdown(Shutdown::Both);
            false
        });
        let run = site.wget(&["-c", "--tries", "3", &origin.url("/big")]).run().succeeded();
        assert!(site.read("big") == body, "{run}");
        assert_eq!(origin.asked("/big"), 3, "{run}");
        assert!(run.stderr.contains("begun again in 1 s, try 2 of 3"), "{run}");
        assert_eq!(origin.heard("/big")[2].range(), Some(200_000));

        // Without -c each try begins anew; when they are used up, the last failure is told, and nothing stays.
        let run = site.wget(&["--tries", "2", &origin.url("/other")]).run();
        let run = run.failed_saying(&["cut short: 100000 of 300000 bytes"]);
        assert_eq!((run.code(), origin.asked("/other"), site.names().len()), (7, 2, 1), "{run}");
        assert!(origin.heard("/other").iter().all(|heard| heard.range().is_none()));
        // What went to standard output cannot be taken back.
        let run = site.wget(&["--tries", "5", "-O", "-", &origin.url("/piped")]).run();
        assert_eq!((run.code(), origin.asked("/piped")), (7, 1));
    });
}

#[test]
fn only_what_may_pass_is_tried_again_and_not_what_was_posted() {
    in_namespace(|world| {
        let site = Site::new(world);
        let origin = Origin::start(&site.tap, |heard, stream| match (&*heard.path, heard.times) {
            ("/busy", 1) => say(stream, heard, 503, "Retry-After: 2\r\n", b"busy"),
            ("/busy" | "/asked", 2..) => say(stream, heard, 200, "", b"at last"),
            ("/gone", _) => say(stream, heard, 404, "", b""),
            ("/long", _) => say(stream, heard, 503, "Retry-After: 86400\r\n", b""),
            _ => say(stream, heard, 503, "", b""),
        });
        let run = site.wget(&["-t", "2", &origin.url("/busy")]).run().succeeded();
        assert!(run.stderr.contains("begun again in 2 s, try 2 of 2"), "{run}");
        assert_eq!(site.read("busy"), b"at last");
        // A page that is not there, a server that wants a day, and a body that may have been taken.
        for (path, more) in [("/gone", &[][..]), ("/long", &[]), ("/asked", &["--method", "POST"])] {
            let run = site.wget(&["--tries", "0", &origin.url(path)]).arguments(more).run();
            assert_eq!((run.code(), origin.asked(path)), (8, 1), "{run}");
        }
        // Nobody listens: that is an answer.
        let closed = format!("http://{}:9/", site.tap.address);
        let run = site.wget(&["--tries", "0", &closed]).run().failed_saying(&["refused the connection"]);
        assert_eq!(run.code(), 4, "{run}");
        // The time for the whole is for all tries.
        let run = site.wget(&["--tries", "0", "--max-time", "2", &origin.url("/ever")]).run();
        assert_eq!(run.code(), 8, "{run}");
        assert!(origin.asked("/ever") <= 2, "{run}");
        // A server that is silent, and one that falls silent.
        let silent = Origin::start(&site.tap, |heard, stream| {
            if heard.path == "/half" {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
            }
            true
        });
        for (path, words) in [("/none", "did not answer the request in 1 s"), ("/half", "then nothing for 1 s")] {
            let run = site.wget(&["--timeout", "600", "--read-timeout", "1", &silent.url(path)]).run();
            assert_eq!(run.failed_saying(&[words]).code(), 4);
        }
        let run = site.wget(&["--tries", "2", "--body-file", "-", &origin.url("/x")]).run();
        assert_eq!((run.code(), origin.asked("/x")), (2, 0), "{run}");
    });
}

#[test]
fn certificates_of_clients_and_what_is_believed_are_chosen_as_for_tls() {
    in_namespace(|world| {
        let site = Site::new(world);
        let authority = world.authority();
        let known = file(world, "known.pem", &authority.certificate_pem());
        let address = site.tap.address.to_string();
        let clients = format!("ssl_verify_client on; ssl_client_certificate {known};");
        let server = |port, identity, settings| SecureServer { port, identity, settings };
        let servers = vec![
            server(443, authority.issue(&[&address]), &*clients),
            server(4432, Identity::self_signed(&[&address]), ""),
            server(4433, authority.issue(&[&address]), "ssl_protocols TLSv1.2;"),
        ];
        let nginx = Secure::start(world, IpAddr::V4(site.tap.address), servers);
        let url = |port: u16| format!("https://{address}:{port}/");

        let mine = authority.issue(&["me.test"]);
        let (cert, key) = (file(world, "me.pem", &mine.certificate_pem), file(world, "me.key", &mine.key_pem));
        let run = site.wget(&[&url(443), "-O", "-", "--ca", &known, "--cert", &cert, "--key", &key]).run().succeeded();
        assert_eq!(run.stdout, "secure", "{run}");
        assert!(nginx.sessions(1)[0].ends_with("client=SUCCESS"));
        let run = site.wget(&[&url(443), "-O", "-", "--ca", &known]).run();
        assert_eq!(run.code(), 8, "nginx answers 400 to who shows none: {run}");

        let run = site.wget(&[&url(4432), "-O", "-"]).run();
        assert_eq!(run.code(), 5, "{run}");
        let run = site.wget(&[&url(4432), "-O", "-", "--insecure"]).run().succeeded();
        assert_eq!(run.stdout, "secure");
        assert!(run.stderr.contains("warning: certificates are not checked"), "{run}");

        let run = site.wget(&[&url(4433), "-O", "-", "--ca", &known, "--tls13"]).run();
        assert_eq!(run.code(), 5, "{run}");
        let run = site.wget(&[&url(4433), "-O", "-", "--system-roots"]).environment("SSL_CERT_FILE", &known).run();
        run.expect_success();
        let secrets = world.path("secrets.log");
        let run = site.wget(&[&url(4433), "-O", "-", "--ca", &known, "--key-log", secrets.to_str().unwrap()]).run();
        run.expect_success();
        assert!(fs::read_to_string(secrets).unwrap().contains("CLIENT_RANDOM "));
    });
}
