//! Proxies in memory: what they are asked, and what their answers lead to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Proxies, Proxy};
use crate::http::{Client, Dial, Dialed, Dialing, Error, Layer, Request};
use crate::tls::Trust;

/// A proxy that reads pieces of these lengths (0: to the end of a head) and answers each with these bytes.
#[derive(Clone)]
struct Script {
    steps: Arc<Vec<(usize, Vec<u8>)>>,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    dialed: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn new(steps: &[(usize, &[u8])]) -> Self {
        let steps = steps.iter().map(|&(length, answer)| (length, answer.to_vec())).collect();
        Self { steps: Arc::new(steps), heard: Arc::default(), dialed: Arc::default() }
    }

    fn client(&self, proxy: &str) -> Client<Script> {
        let client = Client::over(self.clone(), Trust::Mozilla).unwrap();
        client.with_proxies(Proxies::all(Proxy::new(proxy).unwrap()))
    }

    async fn run(self, mut stream: DuplexStream) {
        for (length, answer) in self.steps.iter() {
            let mut heard = Vec::new();
            while if *length == 0 { !heard.ends_with(b"\r\n\r\n") } else { heard.len() < *length } {
                let Ok(byte) = stream.read_u8().await else { break };
                heard.push(byte);
            }
            self.heard.lock().unwrap().push(heard);
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }

    fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }

    fn heard_text(&self, index: usize) -> String {
        String::from_utf8(self.heard()[index].clone()).unwrap()
    }
}

impl Dial for Script {
    type Stream = DuplexStream;

    fn dial<'a>(&'a self, host: &'a str, port: u16, _timeout: Duration) -> Dialing<'a, DuplexStream> {
        Box::pin(async move {
            self.dialed.lock().unwrap().push(format!("{host}:{port}"));
            let (stream, far) = tokio::io::duplex(1 << 16);
            tokio::spawn(self.clone().run(far));
            Ok(Dialed { stream, remote: ([192, 0, 2, 9], port).into(), name: Duration::ZERO })
        })
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(url: &str) -> Request {
    Request::get(url).unwrap()
}

async fn error_of(script: &Script, proxy: &str, url: &str) -> Error {
    script.client(proxy).send(get(url)).await.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn an_http_proxy_is_handed_whole_urls_and_its_own_credentials() {
    let script = Script::new(&[(0, OK)]);
    let client = script.client("http://me:secret@proxy:8080");
    client.send(get("http://h/path?q=1")).await.unwrap();
    let heard = script.heard_text(0);
    assert!(heard.starts_with("GET http://h/path?q=1 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("host: h\r\n") && heard.contains("proxy-authorization: Basic bWU6c2VjcmV0\r\n"), "{heard}");
    assert_eq!(*script.dialed.lock().unwrap(), ["proxy:8080"]);
}

#[tokio::test]
async fn an_http_proxy_is_asked_for_a_way_to_https() {
    // No server of TLS follows: what counts is that its handshake begins on the way that was opened.
    let script = Script::new(&[(0, b"HTTP/1.1 200 Connection established\r\n\r\n"), (5, b"no TLS at all\r\n")]);
    let error = error_of(&script, "http://me:secret@proxy", "https://h:8443/").await;
    assert!(matches!(error, Error::Tls(_)), "{error}");
    let heard = script.heard_text(0);
    assert!(heard.starts_with("CONNECT h:8443 HTTP/1.1\r\nHost: h:8443\r\n"), "{heard}");
    assert!(heard.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{heard}");
    assert_eq!(script.heard()[1][0], 22, "a record of TLS's handshake");
    assert_eq!(*script.dialed.lock().unwrap(), ["proxy:3128"]);
}

#[tokio::test]
async fn an_http_proxy_that_does_not_lead_on_is_told_with_its_words() {
    let cases: [(&[u8], &str); 4] = [
        (b"HTTP/1.1 403 Filtered\r\n\r\n", "403 Filtered"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"", "closed the connection"),
        (&[b'x'; 20_000], "longer than 16 KiB"),
    ];
    for (answer, says) in cases {
        let error = error_of(&Script::new(&[(0, answer)]), "proxy", "https://h/").await;
        assert!(matches!(error, Error::Proxy { .. }) && error.to_string().contains(says), "{error}");
    }
    let wants = Script::new(&[(0, b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")]);
    let error = error_of(&wants, "http://me:secret@proxy", "https://h/").await;
    assert_eq!(error.layer(), Layer::Authentication);
    assert!(
        error.to_string().contains("not those that were given") && !error.to_string().contains("secret"),
        "{error}"
    );
}

#[tokio::test]
async fn a_socks_proxy_is_asked_by_name_or_by_address() {
    let granted = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let script = Script::new(&[(3, &[5, 0]), (4 + 1 + 4 + 2, granted), (0, OK)]);
    script.client("socks5h://proxy").send(get("http://name/")).await.unwrap();
    assert_eq!(script.heard()[0], [5, 1, 0]);
    assert_eq!(script.heard()[1], b"\x05\x01\x00\x03\x04name\x00\x50");
    assert!(script.heard_text(2).starts_with("GET / HTTP/1.1\r\n"));
    assert_eq!(*script.dialed.lock().unwrap(), ["proxy:1080"]);

    let script = Script::new(&[(3, &[5, 0]), (10, granted), (0, OK)]);
    script.client("socks5://proxy").send(get("http://192.0.2.7:8080/")).await.unwrap();
    assert_eq!(script.heard()[1], [5, 1, 0, 1, 192, 0, 2, 7, 0x1f, 0x90]);
}

#[tokio::test]
async fn a_socks_proxy_gets_name_and_password() {
    let script = Script::new(&[(4, &[5, 2]), (3 + 2 + 6, &[1, 0]), (8, &[5, 0, 0, 3, 1, b'x', 0, 0]), (0, OK)]);
    script.client("socks5h://me:secret@proxy").send(get("http://h/")).await.unwrap();
    assert_eq!(script.heard()[0], [5, 2, 0, 2]);
    assert_eq!(script.heard()[1], b"\x01\x02me\x06secret");

    let refusing = Script::new(&[(4, &[5, 2]), (11, &[1, 1])]);
    let error = error_of(&refusing, "socks5h://me:secret@proxy", "http://h/").await;
    assert_eq!(error.layer(), Layer::Authentication);
    let wanting = Script::new(&[(3, &[5, 0xff])]);
    assert_eq!(error_of(&wanting, "socks5h://proxy", "http://h/").await.layer(), Layer::Authentication);
}

#[tokio::test]
async fn a_socks_proxy_that_does_not_lead_on_is_told_with_its_reason() {
    let cases: [(&[u8], &str); 4] = [
        (&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0], "refused the connection"),
        (&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0], "rules forbid"),
        (&[5, 0, 0, 9, 0, 0], "unknown kind"),
        (&[], "closed the connection"),
    ];
    for (answer, says) in cases {
        let script = Script::new(&[(3, &[5, 0]), (8, answer)]);
        let error = error_of(&script, "socks5h://proxy", "http://h/").await;
        assert!(matches!(error, Error::Proxy { .. }) && error.to_string().contains(says), "{error}");
    }
    let error = error_of(&Script::new(&[(3, b"HTTP/1.1 400 Bad Request")]), "socks5h://proxy", "http://h/").await;
    assert!(error.to_string().contains("is it an HTTP proxy?"), "{error}");
}

#[test]
fn proxies_are_read_from_urls_and_never_show_a_password() {
    for (text, shown) in [
        ("proxy", "http://proxy:3128"),
        ("proxy:8080", "http://proxy:8080"),
        ("http://proxy:80", "http://proxy:80"),
        ("http://u:secret@proxy/", "http://proxy:3128"),
        ("socks5://u:secret@[2001:db8::1]:99", "socks5://[2001:db8::1]:99"),
        ("socks5h://proxy", "socks5h://proxy:1080"),
    ] {
        let proxy = Proxy::new(text).unwrap();
        assert_eq!(proxy.to_string(), shown);
        assert!(!format!("{proxy:?}").contains("secret"));
    }
    for text in ["ftp://proxy", "http://", "", "http://u:secret@proxy:0", "socks5://u:@proxy", "https://u:secret@p"] {
        let error = Proxy::new(text).unwrap_err();
        assert!(matches!(error, Error::ProxyUrl { .. }) && !error.to_string().contains("secret"), "{text}: {error}");
    }
}

#[test]
fn the_environment_names_proxies_by_scheme() {
    let read = |pairs: &[(&str, &str)]| {
        let pairs: HashMap<String, String> = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let proxies = Proxies::from_variables(|name| pairs.get(name).cloned()).unwrap();
        [false, true].map(|secure| proxies.for_host(secure, "h", 80).map(|proxy| proxy.host().to_owned()))
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(read(&[]), [None, None]);
    assert_eq!(read(&[("http_proxy", "a"), ("HTTPS_PROXY", "b")]), [some("a"), some("b")]);
    assert_eq!(read(&[("ALL_PROXY", "socks5://c"), ("https_proxy", "b")]), [some("c"), some("b")]);
    // A visitor of a CGI program says what is in this one.
    assert_eq!(read(&[("HTTP_PROXY", "evil")]), [None, None]);
    assert_eq!(read(&[("http_proxy", "")]), [None, None]);
    assert_eq!(read(&[("all_proxy", "a"), ("NO_PROXY", "h")]), [None, None]);
}

#[test]
fn hosts_that_are_left_out_go_direct() {
    let list = "example.com, .dot.test,*.star.test 10.0.0.0/8,192.0.2.1, port.test:8080,[2001:db8::]/32,bad/99";
    let proxies = Proxies::all(Proxy::new("p").unwrap()).except(list);
    let direct = |host: &str, port| proxies.for_host(false, host, port).is_none();
    for host in [
        "example.com",
        "EXAMPLE.com.",
        "www.example.com",
        "dot.test",
        "a.dot.test",
        "b.star.test",
        "10.9.8.7",
        "192.0.2.1",
    ] {
        assert!(direct(host, 80), "{host}");
    }
    assert!(direct("2001:db8::7", 80) && direct("port.test", 8080));
    for host in ["notexample.com", "example.com.org", "11.0.0.1", "192.0.2.2", "port.test", "h", "2001:db9::7"] {
        assert!(!direct(host, 80), "{host}");
    }
    assert!(Proxies::all(Proxy::new("p").unwrap()).except("*").for_host(true, "any", 443).is_none());
}
