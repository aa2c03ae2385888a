//! The client over in-memory streams, against servers that say exactly what a test gives them.

mod early;
mod limits;
mod pool;
mod site;
mod uploads;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Client, Dial, Dialed, Dialing, Error, Method, Request, Response, Timeouts, send_over};
use crate::tls::Trust;

/// What the server does after it has read one request.
#[derive(Clone)]
enum Act {
    /// Writes these bytes and closes.
    Say(String),
    /// Writes these bytes and keeps the connection open in silence.
    SayAndHold(String),
}

/// Servers by `host:port`, each with one act for each connection, and what they were sent.
#[derive(Clone, Default)]
struct World {
    acts: Arc<Mutex<HashMap<String, VecDeque<Act>>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn serve(&self, place: &str, act: Act) -> &Self {
        self.acts.lock().unwrap().entry(place.to_owned()).or_default().push_back(act);
        self
    }

    fn client(&self) -> Client<World> {
        Client::over(self.clone(), Trust::Mozilla).unwrap()
    }

    /// The requests heard so far, heads and bodies as they came.
    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl Dial for World {
    type Stream = DuplexStream;

    fn dial<'a>(&'a self, host: &'a str, port: u16, timeout: Duration) -> Dialing<'a, DuplexStream> {
        let remote = ([192, 0, 2, 1], port).into();
        let act = self.acts.lock().unwrap().get_mut(&format!("{host}:{port}")).and_then(VecDeque::pop_front);
        let heard = self.heard.clone();
        Box::pin(async move {
            let Some(act) = act else {
                return Err(Error::ConnectTimedOut { host: host.to_owned(), address: remote, after: timeout });
            };
            let (stream, mut far) = tokio::io::duplex(1 << 16);
            tokio::spawn(async move {
                let request = read_request(&mut far).await;
                heard.lock().unwrap().push(request);
                match act {
                    Act::Say(bytes) => far.write_all(bytes.as_bytes()).await.unwrap(),
                    Act::SayAndHold(bytes) => {
                        far.write_all(bytes.as_bytes()).await.unwrap();
                        tokio::time::sleep(Duration::from_secs(3600)).await;
                    }
                }
            });
            Ok(Dialed { stream, remote, name: Duration::ZERO })
        })
    }
}

/// Head and body of one request.
async fn read_request(stream: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return text;
        }
    }
}

fn ok(body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn redirect(status: &str, location: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
}

fn get(url: &str) -> Request {
    Request::get(url).unwrap()
}

async fn text(response: Response) -> Result<String, Error> {
    let bytes = response.body.bytes(1 << 20).await?.unwrap();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

fn has_field(request: &str, name: &str) -> bool {
    request.lines().any(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))
}

/// The error of a request that must fail.
async fn failure(client: &Client<World>, request: Request) -> Error {
    match client.send(request).await {
        Ok(response) => text(response).await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_get_carries_host_agent_and_target_and_gives_the_body() {
    let world = World::default();
    world.serve("example.com:8080", ok("hello"));
    let response = world.client().send(get("http://example.com:8080/a/b?c=d#e")).await.unwrap();
    assert_eq!((response.status.as_u16(), response.body.expected()), (200, Some(5)));
    assert_eq!(text(response).await.unwrap(), "hello");
    let heard = world.heard().remove(0);
    assert!(heard.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("host: example.com:8080\r\n"), "{heard}");
    assert!(heard.contains("user-agent: wharf/"), "{heard}");
}

#[tokio::test]
async fn a_url_without_a_scheme_is_http() {
    let world = World::default();
    world.serve("example.com:80", ok("")).serve("example.com:8080", ok(""));
    world.client().send(get("example.com")).await.unwrap();
    world.client().send(get("example.com:8080/x")).await.unwrap();
    assert!(world.heard()[1].starts_with("GET /x "));
}

#[tokio::test]
async fn urls_that_cannot_be_fetched_are_refused_before_a_connection() {
    assert!(matches!(Request::get("ftp://example.com/"), Err(Error::Scheme { .. })));
    assert!(matches!(Request::get("http://"), Err(Error::Url { .. })));
    assert!(matches!(Request::get("http://exa mple.com/"), Err(Error::Url { .. })));
    assert!(matches!(Request::get("http://example.com:0/"), Err(Error::Url { .. })));
    assert!(matches!(Request::get("http://example.com:70000/"), Err(Error::Url { .. })));
    assert!(matches!(Request::get(""), Err(Error::Url { .. })));
}

#[tokio::test]
async fn header_lines_are_sent_and_malformed_ones_refused() {
    let world = World::default();
    world.serve("h:80", ok(""));
    let request = get("http://h/").header_line("X-One: 1").unwrap().header_line("User-Agent: me").unwrap();
    world.client().send(request).await.unwrap();
    let heard = world.heard().remove(0);
    assert!(heard.contains("x-one: 1\r\n") && heard.contains("user-agent: me\r\n"), "{heard}");
    assert!(!heard.contains("wharf/"), "{heard}");
    assert!(matches!(get("http://h/").header_line("no colon"), Err(Error::Header(_))));
    assert!(matches!(get("http://h/").header_line("X: a\r\nY: b"), Err(Error::Header(_))));
    assert!(matches!(get("http://h/").header_line("X Y: b"), Err(Error::Header(_))));
}

#[tokio::test]
async fn a_chunked_body_is_joined() {
    let world = World::default();
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\nT: v\r\n\r\n";
    world.serve("h:80", Act::Say(chunked.to_owned()));
    let response = world.client().send(get("http://h/")).await.unwrap();
    assert_eq!(response.body.expected(), None);
    assert_eq!(text(response).await.unwrap(), "Wikipedia ");
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    let world = World::default();
    world.serve("h:80", Act::Say("HTTP/1.0 200 OK\r\n\r\nall of it".to_owned()));
    let response = world.client().send(get("http://h/")).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "all of it");
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_an_error() {
    let world = World::default();
    world.serve("h:80", Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_owned()));
    let error = failure(&world.client(), get("http://h/")).await;
    assert!(matches!(error, Error::CutShort { received: 5, expected: Some(10), .. }), "{error}");
    assert!(error.to_string().contains("5 of 10 bytes came"), "{error}");
}

#[tokio::test]
async fn a_chunked_body_without_its_last_chunk_is_an_error() {
    let world = World::default();
    let cut = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n";
    world.serve("h:80", Act::Say(cut.to_owned()));
    let error = failure(&world.client(), get("http://h/")).await;
    assert!(matches!(error, Error::CutShort { received: 4, expected: None, .. }), "{error}");
}

#[tokio::test]
async fn a_connection_closed_without_a_response_is_told_apart() {
    let world = World::default();
    world.serve("h:80", Act::Say(String::new()));
    let error = failure(&world.client(), get("http://h/")).await;
    assert!(matches!(error, Error::Closed { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_told_apart() {
    let world = World::default();
    world.serve("h:80", Act::Say("220 mail.example ESMTP\r\n".to_owned()));
    let error = failure(&world.client(), get("http://h/")).await;
    assert!(matches!(error, Error::NotHttp { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    let world = World::default();
    world.serve("h:80", Act::SayAndHold(String::new()));
    let client = world.client().with_timeouts(Timeouts::each(Duration::from_secs(7)));
    let error = failure(&client, get("http://h/")).await;
    assert!(matches!(error, Error::NoResponse { .. }) && error.to_string().contains("in 7 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_given_up() {
    let world = World::default();
    world.serve("h:80", Act::SayAndHold("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel".to_owned()));
    let client = world.client().with_timeouts(Timeouts::each(Duration::from_secs(7)));
    let error = failure(&client, get("http://h/")).await;
    assert!(matches!(error, Error::Stalled { received: 3, expected: Some(10), .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_for_the_whole_holds_in_head_and_body() {
    let limits = Timeouts { whole: Some(Duration::from_secs(3)), ..Timeouts::default() };
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel"] {
        let world = World::default();
        world.serve("h:80", Act::SayAndHold(said.to_owned()));
        let error = failure(&world.client().with_timeouts(limits), get("http://h/")).await;
        assert!(matches!(error, Error::TookTooLong { .. }), "{error}");
    }
}

#[tokio::test]
async fn ten_redirects_are_followed_and_the_eleventh_is_an_error() {
    let world = World::default();
    for hop in 1..=10 {
        world.serve("h:80", redirect("302 Found", &format!("/{hop}")));
    }
    world.serve("h:80", ok("arrived"));
    let response = world.client().send(get("http://h/")).await.unwrap();
    assert_eq!((response.url.path(), response.redirects.len()), ("/10", 10));
    assert_eq!(text(response).await.unwrap(), "arrived");

    for hop in 1..=11 {
        world.serve("h:80", redirect("302 Found", &format!("/{hop}")));
    }
    let error = failure(&world.client(), get("http://h/")).await;
    assert!(matches!(error, Error::TooManyRedirects { limit: 10, .. }), "{error}");
}

#[tokio::test]
async fn a_redirect_keeps_or_changes_the_method_as_its_status_says() {
    let cases = [
        ("301 Moved Permanently", Method::POST, Method::GET),
        ("302 Found", Method::POST, Method::GET),
        ("302 Found", Method::PUT, Method::PUT),
        ("303 See Other", Method::PUT, Method::GET),
        ("303 See Other", Method::HEAD, Method::HEAD),
        ("307 Temporary Redirect", Method::POST, Method::POST),
        ("308 Permanent Redirect", Method::POST, Method::POST),
    ];
    for (status, method, then) in cases {
        let world = World::default();
        world
            .serve("h:80", redirect(status, "/there"))
            .serve("h:80", Act::Say("HTTP/1.1 204 No Content\r\n\r\n".into()));
        let body = if method == Method::HEAD { "" } else { "data" };
        let mut request = Request::new(method.clone(), "http://h/here").unwrap().body(body);
        if !body.is_empty() {
            request = request.header_line("Content-Type: text/plain").unwrap();
        }
        world.client().send(request).await.unwrap();
        let second = world.heard().remove(1);
        assert!(second.starts_with(&format!("{then} /there ")), "{status} {method}: {second}");
        let body_sent = second.ends_with("\r\n\r\ndata");
        assert_eq!(body_sent, then == method && !body.is_empty(), "{status} {method}: {second}");
        assert_eq!(has_field(&second, "content-type"), body_sent, "{status} {method}: {second}");
    }
}

#[tokio::test]
async fn credentials_stay_within_their_origin() {
    let secrets =
        |request: Request| request.header_line("Authorization: Bearer t").unwrap().header_line("Cookie: s=1").unwrap();
    for (location, kept) in
        [("/same", true), ("http://h/same", true), ("http://other/", false), ("http://h:81/", false)]
    {
        let world = World::default();
        world.serve("h:80", redirect("307 Temporary Redirect", location));
        world.serve("h:80", ok("")).serve("other:80", ok("")).serve("h:81", ok(""));
        world.client().send(secrets(get("http://h/"))).await.unwrap();
        let second = world.heard().remove(1);
        assert_eq!(has_field(&second, "authorization"), kept, "{location}: {second}");
        assert_eq!(has_field(&second, "cookie"), kept, "{location}: {second}");
    }
}

#[tokio::test]
async fn a_host_field_given_by_hand_is_not_sent_to_another_origin() {
    let world = World::default();
    world.serve("h:80", redirect("302 Found", "http://other/")).serve("other:80", ok(""));
    let request = get("http://h/").header(HeaderName::from_static("host"), HeaderValue::from_static("virtual"));
    world.client().send(request).await.unwrap();
    let heard = world.heard();
    assert!(heard[0].contains("host: virtual\r\n") && heard[1].contains("host: other\r\n"), "{heard:?}");
}

#[tokio::test]
async fn user_and_password_of_the_url_become_an_authorization() {
    let world = World::default();
    world.serve("h:80", ok(""));
    world.client().send(get("http://Aladdin:open%20sesame@h/")).await.unwrap();
    let heard = world.heard().remove(0);
    // RFC 7617 section 2 has this pair as its example.
    assert!(heard.contains("authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{heard}");
    assert!(heard.contains("host: h\r\n"), "{heard}");
}

#[tokio::test]
async fn a_redirect_to_another_protocol_is_not_followed() {
    for location in ["file:///etc/passwd", "ftp://h/x", "data:text/plain,x", "http://h:0/"] {
        let world = World::default();
        world.serve("h:80", redirect("302 Found", location));
        let error = failure(&world.client(), get("http://h/")).await;
        assert!(matches!(error, Error::Redirect { .. }), "{location}: {error}");
    }
}

#[tokio::test]
async fn a_request_can_go_over_a_stream_that_is_there_already() {
    let world = World::default();
    world.serve("h:80", ok("hello"));
    let stream = world.dial("h", 80, Duration::from_secs(1)).await.unwrap().stream;
    let response = send_over(&get("http://h/x"), stream, &Timeouts::default()).await.unwrap();
    assert_eq!((response.status.as_u16(), response.remote), (200, None));
    assert_eq!(text(response).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_redirect_without_a_location_and_a_304_are_answers() {
    for status in ["302 Found", "304 Not Modified", "300 Multiple Choices"] {
        let world = World::default();
        world.serve("h:80", Act::Say(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")));
        let response = world.client().send(get("http://h/")).await.unwrap();
        assert_eq!(response.status.to_string(), status);
    }
}
