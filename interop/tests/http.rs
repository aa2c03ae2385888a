//! The HTTP client of the library over TAP: against nginx, nghttpd, caddy, two proxies, and servers that misbehave.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use wharf::Net;
use wharf::dns::Resolver;
use wharf::http::{
    Client, Error, Layer, MAX_CONNECTIONS, Method, OverNet, Proxies, Proxy, Request, Response, Timeouts, Version,
    Versions,
};
use wharf::tls::{Connector, Trust};
use wharf_interop::{
    KeepingWeb, Line, Names, Payload, Scripted, Tap, World, in_namespace, sha256_of_file, start_caddy,
    start_microsocks, start_nghttpd, start_tinyproxy,
};

/// Far above what the slowest machine needs.
const PATIENCE: Duration = Duration::from_secs(100);

const SIZE: u64 = 8 << 20;

/// A station on a TAP device, and what a client of it needs.
struct Station<'a> {
    world: &'a World,
    tap: Tap,
    net: Net,
    _names: Names<'a>,
}

impl<'a> Station<'a> {
    fn new(world: &'a World) -> Self {
        let tap = world.tap();
        let names = Names::dns(world, tap.address);
        Self { world, tap, net: tap.guest(), _names: names }
    }

    fn dial(&self) -> OverNet {
        let servers = vec![SocketAddr::from((self.tap.address, 53))];
        OverNet::new(self.net.clone(), Resolver::new(&self.net).with_servers(servers).with_timeout(PATIENCE))
    }

    fn client(&self, versions: Versions) -> Client {
        let client = Client::over(self.dial(), self.trust()).unwrap();
        client.with_timeouts(Timeouts::each(PATIENCE)).with_versions(versions)
    }

    fn trust(&self) -> Trust {
        Trust::File(self.world.ca_file())
    }

    fn web(&self) -> KeepingWeb {
        KeepingWeb::start(self.world, self.tap.address, &["files.test"])
    }
}

/// Runs `body` on a runtime without a reactor: everything goes over our own sockets.
fn block_on<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(body)
}

fn get(url: &str) -> Request {
    Request::get(url).unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(response.body.bytes(1 << 20).await.unwrap().unwrap().to_vec()).unwrap()
}

/// Checks that the body of `response` is `size` bytes of the payload of `seed`.
async fn check(mut response: Response, seed: u64, size: u64) {
    let mut payload = Payload::new(seed);
    while let Some(bytes) = response.body.chunk().await.unwrap() {
        payload.check(&bytes);
    }
    assert_eq!(response.body.received(), size);
}

/// Sends `count` requests at once and gives what they were answered.
async fn all_at_once(client: &Client, url: &'static str, count: usize) -> Vec<(Version, String)> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let client = client.clone();
        requests.spawn(async move {
            let response = client.send(get(url)).await.unwrap();
            (response.version, text(response).await)
        });
    }
    requests.join_all().await
}

#[test]
fn forty_cold_requests_open_six_connections_or_one() {
    in_namespace(|world| {
        let station = Station::new(world);
        let _web = station.web();
        let cases = [
            (Versions::Auto, "https://files.test/connection", Version::HTTP_2, 1),
            (Versions::Auto, "https://files.test:8443/connection", Version::HTTP_11, MAX_CONNECTIONS),
            (Versions::Http1, "https://files.test/connection", Version::HTTP_11, MAX_CONNECTIONS),
            (Versions::Auto, "http://files.test/connection", Version::HTTP_11, MAX_CONNECTIONS),
        ];
        block_on(async {
            for (versions, url, version, most) in cases {
                let answers = all_at_once(&station.client(versions), url, 40).await;
                assert!(answers.iter().all(|(answered, _)| *answered == version), "{url}: {answers:?}");
                let connections: HashSet<_> = answers.into_iter().map(|(_, connection)| connection).collect();
                assert!(connections.len() <= most, "{url}: {connections:?}");
            }
        });
    });
}

#[test]
fn a_second_visit_resumes_tls() {
    in_namespace(|world| {
        let station = Station::new(world);
        let _web = station.web();
        block_on(async {
            let connector = Connector::new(station.trust(), &[]).unwrap();
            for (visit, says) in [(0, "."), (1, "r"), (2, "r")] {
                let client = Client::with_tls(station.dial(), connector.clone());
                let response = client.send(get("https://files.test/resumed")).await.unwrap();
                assert_eq!(response.tls.as_ref().unwrap().resumed, visit > 0);
                assert_eq!(text(response).await, says, "visit {visit}");
            }
        });
    });
}

#[test]
fn files_arrive_whole_over_every_version() {
    in_namespace(|world| {
        let station = Station::new(world);
        let (web, size) = (station.web(), world.amount(SIZE));
        let _ = Payload::new(1).write_file(&web.file("big.bin"), size);
        let root = web.file("").to_string_lossy().into_owned();
        start_nghttpd(world, station.tap.address, 8444, &root, &["files.test"], 100);
        start_nghttpd(world, station.tap.address, 8080, &root, &[], 100);
        start_caddy(world, station.tap.address, &root, "files.test");
        let cases = [
            (Versions::Http1, "http://files.test/big.bin", Version::HTTP_11),
            (Versions::Http1, "https://files.test/big.bin", Version::HTTP_11),
            (Versions::Http2, "https://files.test/big.bin", Version::HTTP_2),
            (Versions::Http2, "https://files.test:8444/big.bin", Version::HTTP_2),
            (Versions::Http2, "http://files.test:8080/big.bin", Version::HTTP_2),
            (Versions::Http2, "https://files.test:4433/big.bin", Version::HTTP_2),
            (Versions::Http3, "https://files.test:4433/big.bin", Version::HTTP_3),
        ];
        block_on(async {
            for (versions, url, version) in cases {
                let response = station.client(versions).send(get(url)).await.unwrap();
                assert_eq!((response.version, response.body.expected()), (version, Some(size)), "{url}");
                check(response, 1, size).await;
            }
        });
    });
}

#[test]
fn bodies_are_sent_whole_over_every_version() {
    in_namespace(|world| {
        let station = Station::new(world);
        let (web, size) = (station.web(), world.amount(4 * SIZE) / 4);
        let root = web.file("").to_string_lossy().into_owned();
        start_caddy(world, station.tap.address, &root, "files.test");
        let source = world.path("source.bin");
        let hash = Payload::new(2).write_file(&source, size);
        let content: bytes::Bytes = fs::read(&source).unwrap().into();
        block_on(async {
            let cases = [
                (Versions::Http1, "https://files.test/put/one", "put/one"),
                (Versions::Http2, "https://files.test/put/two", "put/two"),
                (Versions::Http3, "https://files.test:4433/put/three", "put/three"),
            ];
            for (versions, url, file) in cases {
                // A length that is known, one that waits to be wanted, and one that is not known. This caddy hands a body
                // of the last kind on as none where it came over HTTP/3.
                let client = station.client(versions);
                let reader = |content: &bytes::Bytes| std::io::Cursor::new(content.clone());
                let put = || Request::new(Method::PUT, url).unwrap();
                let mut requests =
                    vec![put().body_from(reader(&content), Some(size)), put().body(content.clone()).expect_continue()];
                if versions != Versions::Http3 {
                    requests.push(put().body_from(reader(&content), None));
                }
                for request in requests {
                    let response = client.send(request).await.unwrap();
                    assert!(response.status.is_success(), "{url}: {}", response.status);
                    drop(response);
                    assert_eq!(sha256_of_file(&web.file(file)), hash, "{url}");
                    fs::remove_file(web.file(file)).unwrap();
                }
            }
        });
    });
}

#[test]
fn trailers_come_and_no_more_streams_are_opened_than_allowed() {
    in_namespace(|world| {
        let station = Station::new(world);
        let web = station.web();
        let root = web.file("").to_string_lossy().into_owned();
        start_nghttpd(world, station.tap.address, 8444, &root, &["files.test"], 3);
        block_on(async {
            let client = station.client(Versions::Auto);
            let mut body = client.send(get("https://files.test:8444/small.txt")).await.unwrap().body;
            while body.chunk().await.unwrap().is_some() {}
            assert_eq!(body.trailers().unwrap()["digest"], "none");
            for (version, answer) in all_at_once(&client, "https://files.test:8444/small.txt", 40).await {
                assert_eq!((version, answer.as_str()), (Version::HTTP_2, "small\n"));
            }
        });
    });
}

#[test]
fn http_3_is_found_by_alt_svc() {
    in_namespace(|world| {
        let station = Station::new(world);
        let root = world.make_directory("www").to_string_lossy().into_owned();
        start_caddy(world, station.tap.address, &root, "files.test");
        block_on(async {
            let client = station.client(Versions::Auto);
            for (visit, version) in [(0, Version::HTTP_2), (1, Version::HTTP_3), (2, Version::HTTP_3)] {
                let response = client.send(get("https://files.test:4433/proto")).await.unwrap();
                assert_eq!(response.version, version, "visit {visit}");
                assert_eq!(response.timing.reused, visit == 2, "visit {visit}");
                let spoken = if visit == 0 { "HTTP/2.0" } else { "HTTP/3.0" };
                assert_eq!(text(response).await, spoken);
            }
            // Many at once share the one connection.
            for (version, _) in all_at_once(&client, "https://files.test:4433/proto", 40).await {
                assert_eq!(version, Version::HTTP_3);
            }
        });
    });
}

#[test]
fn what_quic_does_not_reach_tcp_does() {
    in_namespace(|world| {
        let station = Station::new(world);
        let _web = station.web();
        block_on(async {
            for place in ["closed", "silent"] {
                let client = station.client(Versions::Auto);
                let url = format!("https://files.test/udp/{place}");
                for _ in 0..3 {
                    let response = client.send(get(&url)).await.unwrap();
                    assert_eq!(response.version, Version::HTTP_2);
                    assert_eq!(text(response).await, place);
                }
            }
            // Where nothing else is wanted, the failure is told.
            let client = station.client(Versions::Http3);
            let error = client.send(get("https://files.test/small.txt")).await.map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::Quic { .. }) && error.to_string().contains("refused"), "{error}");
            let error = client.send(get("http://files.test/small.txt")).await.map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::Version { .. }), "{error}");
        });
    });
}

#[test]
fn an_http_3_server_of_an_unknown_authority_is_refused() {
    in_namespace(|world| {
        let station = Station::new(world);
        let root = world.make_directory("www").to_string_lossy().into_owned();
        start_caddy(world, station.tap.address, &root, "files.test");
        block_on(async {
            let client = Client::over(station.dial(), Trust::Mozilla).unwrap().with_versions(Versions::Http3);
            let error = client.send(get("https://files.test:4433/proto")).await.map(|_| ()).unwrap_err();
            assert_eq!(error.layer(), Layer::Tls, "{error}");
        });
    });
}

#[test]
fn an_http_proxy_leads_to_http_and_https() {
    in_namespace(|world| {
        let station = Station::new(world);
        let _web = station.web();
        world.resolv_conf(&format!("nameserver {}\n", station.tap.address));
        start_tinyproxy(world, station.tap.address);
        let through = |login: &str| {
            let proxy = Proxy::new(&format!("http://{login}{}:8888", station.tap.address)).unwrap();
            station.client(Versions::Auto).with_proxies(Proxies::all(proxy))
        };
        block_on(async {
            let client = through("me:secret@");
            for (url, version) in
                [("http://files.test/small.txt", Version::HTTP_11), ("https://files.test/small.txt", Version::HTTP_2)]
            {
                let response = client.send(get(url)).await.unwrap();
                assert_eq!(response.version, version);
                let via = response.headers.get("via").map(|via| via.to_str().unwrap().to_owned());
                // Inside TLS a proxy can leave no trace.
                assert_eq!(via.is_some_and(|via| via.contains("tinyproxy")), version == Version::HTTP_11);
                assert_eq!(response.remote.unwrap().port(), 8888);
                assert_eq!(text(response).await, "small\n");
            }
            for login in ["", "me:wrong@"] {
                let error = through(login).send(get("https://files.test/small.txt")).await.map(|_| ()).unwrap_err();
                assert_eq!(error.layer(), Layer::Authentication, "{error}");
                let response = through(login).send(get("http://files.test/small.txt")).await.unwrap();
                assert!(matches!(response.status.as_u16(), 401 | 407), "{}", response.status);
            }
        });
    });
}

#[test]
fn a_socks_proxy_leads_to_names_and_addresses() {
    in_namespace(|world| {
        let station = Station::new(world);
        let _web = station.web();
        world.resolv_conf(&format!("nameserver {}\n", station.tap.address));
        start_microsocks(world, station.tap.address);
        let through = |scheme: &str, login: &str| {
            let proxy = Proxy::new(&format!("{scheme}://{login}{}:1080", station.tap.address)).unwrap();
            station.client(Versions::Auto).with_proxies(Proxies::all(proxy))
        };
        block_on(async {
            for scheme in ["socks5", "socks5h"] {
                let client = through(scheme, "me:secret@");
                for url in ["http://files.test/small.txt", "https://files.test/small.txt"] {
                    assert_eq!(text(client.send(get(url)).await.unwrap()).await, "small\n", "{scheme} {url}");
                }
                let error = client.send(get("http://files.test:9/")).await.map(|_| ()).unwrap_err();
                assert!(error.to_string().contains("refused"), "{error}");
                for login in ["", "me:wrong@"] {
                    let error = through(scheme, login).send(get("http://files.test/")).await.map(|_| ()).unwrap_err();
                    assert_eq!(error.layer(), Layer::Authentication, "{error}");
                }
            }
        });
    });
}

fn say(text: &str) -> Line {
    Line::Say(text.to_owned())
}

fn ok() -> Line {
    say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

#[test]
fn a_stale_connection_is_replaced_once() {
    in_namespace(|world| {
        let station = Station::new(world);
        // The first connection dies of its second request, the others serve.
        let serving = std::iter::repeat_n([Line::Hear, ok()], 5).flatten().chain([Line::Hold]).collect();
        let scripts = vec![vec![Line::Hear, ok(), Line::Hear], serving];
        block_on(async {
            let server = Scripted::start(station.tap.address, scripts.clone());
            let client = station.client(Versions::Auto);
            let url = format!("http://{}/", server.address);
            for _ in 0..3 {
                assert_eq!(text(client.send(get(&url)).await.unwrap()).await, "ok");
            }
            assert_eq!(server.connections(), 2);

            // What must not be sent twice is not.
            let server = Scripted::start(station.tap.address, scripts);
            let url = format!("http://{}/", server.address);
            assert_eq!(text(client.send(get(&url)).await.unwrap()).await, "ok");
            let post = Request::new(Method::POST, &url).unwrap().body("data");
            let error = client.send(post).await.map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::Closed { .. } | Error::Lost { .. }), "{error}");
            assert_eq!(server.connections(), 1);
        });
    });
}

#[test]
fn servers_that_misbehave_are_told_apart() {
    in_namespace(|world| {
        let station = Station::new(world);
        let _web = station.web();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        let cases = [
            ("closes without a word", vec![Line::Hear], "without answering"),
            ("is no HTTP server", vec![Line::Hear, say("220 mail\r\n\r\n")], "not an HTTP response"),
            ("sends too little", vec![Line::Hear, say(head), say("half")], "4 of 10 bytes came"),
            (
                "sends too much and closes",
                vec![
                    Line::Hear,
                    say(&format!("{}\r\n0123456789abc", head.replace("\r\n\r\n", "\r\nConnection: close\r\n"))),
                ],
                "more than the 10 bytes",
            ),
            ("sends too much", vec![Line::Hear, say(&format!("{head}0123456789abc"))], "more than the 10 bytes"),
            (
                "stops half-way",
                vec![Line::Hear, say(head), say("half"), Line::Hold],
                "4 of 10 bytes came, then nothing",
            ),
            ("never answers", vec![Line::Hear, Line::Hold], "did not answer the request"),
            (
                "sends fields without end",
                vec![Line::Hear, say("HTTP/1.1 200 OK\r\n"), Line::SayForEver("X-More: 1\r\n".to_owned())],
                "larger than is taken",
            ),
            (
                "sends one field without end",
                vec![Line::Hear, say("HTTP/1.1 200 OK\r\nX-Long: "), Line::SayForEver("more and ".to_owned())],
                "larger than is taken",
            ),
            (
                "sends trailer fields without end",
                vec![
                    Line::Hear,
                    say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
                    Line::SayForEver("X-More: 1\r\n".to_owned()),
                ],
                "trailer",
            ),
            (
                "sends interim responses without end",
                vec![Line::Hear, Line::SayForEver("HTTP/1.1 103 Early Hints\r\n\r\n".to_owned())],
                "interim responses",
            ),
        ];
        block_on(async {
            // Only two of the cases wait for it.
            let client = station.client(Versions::Auto).with_timeouts(Timeouts {
                first_byte: Duration::from_secs(3),
                idle: Duration::from_secs(3),
                ..Timeouts::each(PATIENCE)
            });
            for (what, script, says) in cases {
                let server = Scripted::start(station.tap.address, vec![script]);
                let error = match client.send(get(&format!("http://{}/", server.address))).await {
                    Ok(response) => response.body.bytes(1 << 20).await.map(|_| ()).unwrap_err(),
                    Err(error) => error,
                };
                assert!(error.to_string().contains(says), "a server that {what}: {error}");
            }
            let client = station.client(Versions::Auto);
            let error = client.send(get("https://files.test/loop")).await.map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::TooManyRedirects { limit: 10, .. }), "{error}");
        });
    });
}
