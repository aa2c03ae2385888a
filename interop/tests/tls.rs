//! TLS over TAP: our client against nginx and openssl(1), our server against curl and openssl(1).

use std::fs;
use std::io::Read;
use std::net::{IpAddr, TcpListener};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharf::aio;
use wharf::dns::Resolver;
use wharf::tls::{self, Acceptor, Agreed, Clients, Connector, EarlyData, Trust, Versions};
use wharf_interop::{Finished, Identity, Names, Program, Secure, SecureServer, Tap, World, in_namespace};

/// Far above what any step needs.
const PATIENCE: Duration = Duration::from_secs(60);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: files.test\r\nConnection: close\r\n\r\n";

/// A TAP device with a name server.
struct Site<'a> {
    world: &'a World,
    tap: Tap,
}

impl<'a> Site<'a> {
    fn new(world: &'a World) -> Self {
        let tap = world.tap();
        let _names = Names::dns(world, tap.address);
        Self { world, tap }
    }

    fn address(&self) -> IpAddr {
        IpAddr::V4(self.tap.address)
    }

    fn tls(&self, place: &str, more: &[&str]) -> Finished {
        let (by_hand, ca) = (self.tap.by_hand(), self.world.ca_file());
        let mut arguments = vec!["tls", place];
        if !more.contains(&"--insecure") {
            arguments.extend(["--ca", ca.to_str().unwrap()]);
        }
        arguments.extend(by_hand.iter().map(String::as_str));
        arguments.extend(more);
        self.world.wharf(&arguments).run()
    }

    /// Asserts that the server at `place` is refused with status 5 and these words.
    fn refused(&self, place: &str, more: &[&str], words: &[&str]) {
        let run = self.tls(place, more).failed_saying(words);
        assert_eq!(run.status.code(), Some(5), "{run}");
    }
}

fn server(port: u16, identity: Identity, settings: &str) -> SecureServer<'_> {
    SecureServer { port, identity, settings }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Writes `text` into the test's directory.
fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.path(name);
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn what_nginx_agrees_on_is_shown_and_a_second_connection_resumes_without_an_inet_socket() {
    in_namespace(|world| {
        let site = Site::new(world);
        let identity = world.authority().issue(&["files.test", "*.files.test"]);
        let settings = "ssl_early_data on;";
        let _nginx = Secure::start(world, site.address(), vec![server(443, identity, settings)]);

        let (by_hand, ca) = (site.tap.by_hand(), world.ca_file());
        let mut arguments = vec!["tls", "files.test", "--resume", "--ca", ca.to_str().unwrap()];
        arguments.extend(by_hand.iter().map(String::as_str));
        let (traced, trace) = world.wharf_traced("socket", &arguments);
        let run = traced.run().succeeded();
        for line in [
            "connected to files.test:443 (10.9.0.1:443)",
            "version       TLS 1.3",
            "key exchange  X25519",
            "application   http/1.1",
            "  issuer      CN=Wharf interop test CA",
            "  names       files.test, *.files.test",
            "  key         ECDSA P-256, signed with ECDSA SHA-256",
            "resumption    a second connection resumed the session",
            "early data    the server takes it (0-RTT)",
        ] {
            assert!(run.stdout.contains(line), "{line} is missing: {run}");
        }
        let trace = fs::read_to_string(trace).unwrap();
        assert!(!trace.contains("AF_INET"), "wharf opened a socket of the kernel's:\n{trace}");

        let run = site.tls("files.test", &["--resume", "--tls12", "--json"]).succeeded();
        for part in [
            r#""version":"TLS 1.2""#,
            r#""cipher_suite":"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384""#,
            r#""verified":true"#,
            r#""resumed":true"#,
            r#""early_data":"not offered""#,
        ] {
            assert!(run.stdout.contains(part), "{part} is missing: {run}");
        }
    });
}

#[test]
fn every_fault_of_a_certificate_has_its_own_message_and_status_5() {
    in_namespace(|world| {
        let site = Site::new(world);
        let authority = world.authority();
        let intermediate = authority.intermediate();
        let behind = intermediate.issue(&["files.test"]);
        let whole = Identity {
            certificate_pem: format!("{}{}", behind.certificate_pem, intermediate.certificate_pem()),
            key_pem: behind.key_pem.clone(),
        };
        let known = file(world, "known.pem", &authority.certificate_pem());
        let clients = format!("ssl_verify_client on; ssl_client_certificate {known};");
        let names = ["files.test"];
        let servers = vec![
            server(4430, authority.issue(&["other.test"]), ""),
            server(4431, authority.issue_expired(&names), ""),
            server(4432, Identity::self_signed(&names), ""),
            server(4433, behind, ""),
            server(4434, whole, ""),
            server(4435, authority.issue(&names), &clients),
        ];
        let _nginx = Secure::start(world, site.address(), servers);
        site.refused("files.test:4430", &[], &["not valid for the name files.test", "it is for other.test"]);
        site.refused("files.test:4431", &[], &["expired on 2020-02-29"]);
        site.refused("files.test:4432", &[], &["unknown issuer", "self-signed"]);
        let intermediate = ["unknown issuer", "Wharf interop intermediate CA", "leaves out an intermediate"];
        site.refused("files.test:4433", &[], &intermediate);
        site.tls("files.test:4434", &[]).expect_success();
        // The wrong name is right when it is asked for, and a refused certificate is shown when it is not believed.
        site.tls("files.test:4430", &["--servername", "other.test"]).expect_success();
        let run = site.tls("files.test:4432", &["--insecure"]).succeeded();
        assert!(run.stdout.contains("verification  not done (--insecure)"), "{run}");
        assert!(run.stderr.contains("warning: certificates are not checked"), "{run}");

        let mine = authority.issue(&["me.test"]);
        let (cert, key) = (file(world, "me.pem", &mine.certificate_pem), file(world, "me.key", &mine.key_pem));
        let strange = Identity::self_signed(&["me.test"]);
        let other = file(world, "strange.pem", &strange.certificate_pem);
        let run = site.tls("files.test:4431", &["--cert", &other, "--key", &key]).failed_saying(&["not the one"]);
        assert_eq!(run.status.code(), Some(3), "{run}");
        site.tls("files.test:4435", &["--cert", &cert, "--key", &key]).expect_success();
    });
}

#[test]
fn what_is_no_tls_or_too_old_or_silent_is_told_apart() {
    in_namespace(|world| {
        let site = Site::new(world);
        let identity = world.authority().issue(&["files.test"]);
        let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
        world.openssl_server(site.address(), 4440, &identity, &old);
        site.refused("files.test:4440", &[], &["versions older than TLS 1.2"]);
        let verifying =
            ["-tls1_3", "-Verify", "1", "-verify_return_error", "-CAfile", world.ca_file().to_str().unwrap()]
                .map(str::to_owned);
        let verifying: Vec<&str> = verifying.iter().map(String::as_str).collect();
        world.openssl_server(site.address(), 4441, &identity, &verifying);
        site.refused("files.test:4441", &[], &["wants a certificate from the client", "--cert"]);

        let listener = TcpListener::bind((site.tap.address, 0)).unwrap();
        let place = format!("files.test:{}", listener.local_addr().unwrap().port());
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                silent.push(stream.unwrap());
            }
        });
        site.refused(&place, &["--timeout", "1"], &["was not done in 1s"]);

        let listener = TcpListener::bind((site.tap.address, 0)).unwrap();
        let place = format!("files.test:{}", listener.local_addr().unwrap().port());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut stream, b"220 mail.test ESMTP\r\n").unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        site.refused(&place, &[], &["does not speak TLS"]);
    });
}

#[test]
fn every_kind_of_key_and_every_suite_is_spoken() {
    in_namespace(|world| {
        let site = Site::new(world);
        let authority = world.authority();
        let names = ["files.test"];
        let of = |algorithm| authority.issue_with(&names, algorithm, |_| {});
        // The newer form in which we would write this key is none that OpenSSL 3.0 reads.
        let ed25519 = Program::new(world, "openssl").arguments(&["genpkey", "-algorithm", "ed25519"]).run();
        let ed25519 = authority.issue_for_key(&names, ed25519.succeeded().stdout);
        let servers = vec![
            server(4450, of(&rcgen::PKCS_ECDSA_P384_SHA384), "ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;"),
            server(4451, ed25519, "ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;"),
            server(4452, of(&rcgen::PKCS_RSA_SHA256), "ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;"),
            server(
                4453,
                of(&rcgen::PKCS_RSA_SHA256),
                "ssl_protocols TLSv1.2; ssl_ciphers ECDHE-RSA-CHACHA20-POLY1305;",
            ),
            server(4454, authority.issue(&names), "ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;"),
        ];
        let _nginx = Secure::start(world, site.address(), servers);
        let net = site.tap.guest();
        let connector = Connector::new(Trust::File(world.ca_file()), &[]).unwrap();
        let resolver = Resolver::new(&net).with_servers(vec![(site.tap.address, 53).into()]);
        let suites: Vec<String> = runtime().block_on(async {
            let mut suites = Vec::new();
            for port in 4450..=4454 {
                let dialed = connector.dial(&net, &resolver, "files.test", port, PATIENCE).await;
                let dialed = dialed.unwrap_or_else(|error| panic!("port {port}: {error}"));
                suites.push(Agreed::of(&dialed.stream).cipher_suite);
            }
            suites
        });
        let expected = [
            "TLS13_AES_128_GCM_SHA256",
            "TLS13_CHACHA20_POLY1305_SHA256",
            "TLS13_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ];
        assert_eq!(suites, expected);
    });
}

#[test]
fn a_second_visit_resumes_and_may_send_early_data_as_the_server_counts() {
    in_namespace(|world| {
        let site = Site::new(world);
        let identity = world.authority().issue(&["files.test"]);
        let settings = "ssl_early_data on;";
        let nginx = Secure::start(world, site.address(), vec![server(443, identity, settings)]);
        let net = site.tap.guest();
        let resolver = Resolver::new(&net).with_servers(vec![(site.tap.address, 53).into()]);
        runtime().block_on(async {
            for versions in [Versions::Tls12, Versions::Tls13] {
                let connector = Connector::builder(Trust::File(world.ca_file())).versions(versions).build().unwrap();
                for _ in 0..2 {
                    let dialed = connector.dial(&net, &resolver, "files.test", 443, PATIENCE).await.unwrap();
                    let mut stream = dialed.stream;
                    stream.write_all(REQUEST).await.unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await.unwrap();
                    assert!(answer.ends_with("secure"), "{answer}");
                }
                if versions == Versions::Tls13 {
                    let stream = aio::TcpStream::connect(&net, (site.address(), 443)).await.unwrap();
                    let early = connector.connect_early("files.test", stream, REQUEST, PATIENCE).await.unwrap();
                    let (mut stream, fate) = early;
                    assert_eq!(fate, EarlyData::Accepted);
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).await.unwrap();
                    assert!(answer.ends_with("secure"), "{answer}");
                }
            }
        });
        let sessions = nginx.sessions(5);
        let expected = [
            "443 TLSv1.2 . early= client=NONE",
            "443 TLSv1.2 r early= client=NONE",
            "443 TLSv1.3 . early= client=NONE",
            "443 TLSv1.3 r early= client=NONE",
            "443 TLSv1.3 r early=1 client=NONE",
        ];
        let without_early = |line: &String| line.replace("early=1", "early=").replace("early=-", "early=");
        let seen: Vec<String> = sessions.iter().map(without_early).collect();
        let expected: Vec<String> = expected.iter().map(|line| line.replace("early=1", "early=")).collect();
        assert_eq!(seen, expected, "{sessions:?}");
    });
}

/// What our server answers.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nwharf\n";

/// Serves `count` sessions of the guest `net` on port 443, and gives what was agreed or what was wrong with each.
async fn serve(net: &wharf::Net, acceptor: &Acceptor, count: usize) -> Vec<Result<Agreed, tls::Error>> {
    let listener = aio::TcpListener::bind(net, (IpAddr::from([0, 0, 0, 0]), 443)).await.unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..count {
        let (stream, _) = listener.accept().await.unwrap();
        let outcome = acceptor.accept(stream, PATIENCE).await;
        outcomes.push(match outcome {
            Err(error) => Err(error),
            Ok(accepted) => {
                let mut stream = accepted.stream;
                let agreed = Agreed::of_server(&stream);
                let mut head = Vec::new();
                // openssl(1) asks for nothing and goes.
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let _ = stream.write_all(ANSWER).await;
                let _ = stream.shutdown().await;
                Ok(agreed)
            }
        });
    }
    outcomes
}

#[test]
fn our_server_is_spoken_to_by_curl_and_openssl_which_resume_and_show_certificates() {
    in_namespace(|world| {
        let site = Site::new(world);
        let net = site.tap.guest();
        let guest = site.tap.guest_address().to_string();
        let identity = world.authority().issue(&["files.test"]);
        let ours = tls::Identity::from_pem(&identity.certificate_pem, &identity.key_pem).unwrap();
        let ca = world.ca_file().to_string_lossy().into_owned();
        let mine = world.authority().issue(&["me.test"]);
        let (cert, key) = (file(world, "me.pem", &mine.certificate_pem), file(world, "me.key", &mine.key_pem));
        let resolve = format!("files.test:443:{guest}");
        let curl = |more: &[&str]| {
            let arguments = ["-sS", "--max-time", "120", "--cacert", &ca, "--resolve", &resolve, "https://files.test/"];
            Program::new(world, "curl").arguments(&arguments).arguments(more).run()
        };
        let serving = |acceptor: Acceptor, count| {
            let net = net.clone();
            thread::spawn(move || runtime().block_on(serve(&net, &acceptor, count)))
        };

        let known = Clients::Known(Trust::File(world.ca_file()));
        let acceptor = Acceptor::builder(ours.clone()).alpn(&["http/1.1"]).clients(known).build().unwrap();
        let server = serving(acceptor, 3);
        assert_eq!(curl(&["--cert", &cert, "--key", &key]).succeeded().stdout, "wharf\n");
        assert_eq!(curl(&["--tls-max", "1.2", "--cert", &cert, "--key", &key]).succeeded().stdout, "wharf\n");
        assert!(!curl(&[]).success());
        let outcomes = server.join().unwrap();
        let versions: Vec<_> =
            outcomes.iter().flatten().map(|agreed| (agreed.version, agreed.application.as_deref())).collect();
        assert_eq!(versions, [("TLS 1.3", Some("http/1.1")), ("TLS 1.2", Some("http/1.1"))]);
        assert!(outcomes[2].as_ref().unwrap_err().to_string().contains("none was shown"));

        let session = world.path("session.pem").to_string_lossy().into_owned();
        let place = format!("{guest}:443");
        let openssl = |more: &[&str]| {
            let arguments =
                ["s_client", "-connect", &place, "-servername", "files.test", "-CAfile", &ca, "-verify_return_error"];
            // It waits for the answer, since its input does not end before the server has closed.
            Program::new(world, "openssl")
                .arguments(&arguments)
                .arguments(more)
                .arguments(&["-ign_eof"])
                .input(b"GET / HTTP/1.0\r\n\r\n")
                .run()
        };
        let server = serving(Acceptor::new(ours, &[]).unwrap(), 2);
        let first = openssl(&["-sess_out", &session]).succeeded();
        assert!(first.stdout.contains("Verify return code: 0 (ok)") && first.stdout.contains("wharf"), "{first}");
        let second = openssl(&["-sess_in", &session]).succeeded();
        assert!(second.stdout.contains("Reused, TLSv1.3"), "{second}");
        let resumed: Vec<bool> = server.join().unwrap().into_iter().map(|outcome| outcome.unwrap().resumed).collect();
        assert_eq!(resumed, [false, true]);
    });
}

#[test]
fn secrets_are_written_only_where_that_is_asked_for_and_the_environment_names_files() {
    in_namespace(|world| {
        let site = Site::new(world);
        let identity = world.authority().issue(&["files.test"]);
        let _nginx = Secure::start(world, site.address(), vec![server(443, identity, "")]);
        let log = world.path("keys.log");
        let run = site.tls("files.test", &["--key-log", log.to_str().unwrap()]).succeeded();
        assert!(run.stderr.contains("warning: whoever reads"), "{run}");
        assert!(fs::read_to_string(&log).unwrap().contains("CLIENT_TRAFFIC_SECRET_0 "));
        // As OpenSSL's programs have them: the system's authorities and the log named by the environment.
        let (ca, log) = (world.ca_file(), world.path("environment.log"));
        let by_hand = site.tap.by_hand();
        let mut arguments = vec!["tls", "files.test", "--system-roots"];
        arguments.extend(by_hand.iter().map(String::as_str));
        let run = world.wharf(&arguments).environment("SSL_CERT_FILE", ca.to_str().unwrap());
        let run = run.environment("SSLKEYLOGFILE", log.to_str().unwrap()).run().succeeded();
        assert!(run.stdout.contains("by this system's authorities"), "{run}");
        assert!(fs::read_to_string(&log).unwrap().contains("CLIENT_TRAFFIC_SECRET_0 "));
        let run = world.wharf(&arguments).environment("SSL_CERT_FILE", "/nonexistent.pem");
        let run = run.environment("SSL_CERT_DIR", "/nonexistent").run();
        let run = run.failed_saying(&["this system's certificate authorities cannot be used"]);
        assert_eq!(run.status.code(), Some(3), "{run}");
        let run = site.tls("files.test", &["--key-log", "/nonexistent/keys.log"]).failed_saying(&["cannot be written"]);
        assert_eq!(run.status.code(), Some(3), "{run}");
    });
}
