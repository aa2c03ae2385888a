//! Requests sent with the first packet of a resumed session, and those that never are.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::site::Site;
use super::{get, text};
use crate::http::{Client, Method, Request};
use crate::tls::{Acceptor, Identity, Trust};

/// What the server does with what comes early.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Takes,
    /// It forgets its sessions after each connection.
    Forgets,
    /// It answers 425 to it.
    TooEarly,
}

/// What the server heard: the head of each request, and whether it came early.
type Heard = Arc<Mutex<Vec<(String, bool)>>>;

/// A site that answers one request a connection, and a client that may ask early.
fn site(manner: Manner) -> (Client<Site>, Heard) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["h".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let identity = Identity::from_der(vec![certificate.der().to_vec()], key.serialize_der()).unwrap();
    let acceptor =
        move || Acceptor::builder(identity.clone()).alpn(&["http/1.1"]).early_data(16 << 10).build().unwrap();
    let lasting = acceptor();
    let heard = Heard::default();
    let hears = heard.clone();
    let site = Site::new(move |_, stream| {
        let acceptor = if manner == Manner::Forgets { acceptor() } else { lasting.clone() };
        let hears = hears.clone();
        async move {
            let Ok(accepted) = acceptor.accept(stream, Duration::from_secs(10)).await else { return };
            let (mut stream, early) = (accepted.stream, accepted.early);
            let came_early = !early.is_empty();
            let mut head = early;
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            hears.lock().unwrap().push((String::from_utf8(head).unwrap(), came_early));
            let status = if came_early && manner == Manner::TooEarly { "425 Too Early" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let client = site.client_trusting(Trust::Certificates(vec![issuer.der().to_vec()])).with_early_data(true);
    (client, heard)
}

async fn ask(client: &Client<Site>, request: Request) {
    let is_head = request.method() == Method::HEAD;
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status.as_u16(), 200);
    let expected = if is_head { "" } else { "ok" };
    assert_eq!(text(response).await.unwrap(), expected);
}

fn early(heard: &Heard) -> Vec<bool> {
    heard.lock().unwrap().iter().map(|(_, early)| *early).collect()
}

#[tokio::test]
async fn what_changes_nothing_goes_early_in_a_resumed_session_and_comes_once() {
    let (client, heard) = site(Manner::Takes);
    for _ in 0..3 {
        ask(&client, get("https://h/page?x=1")).await;
    }
    assert_eq!(early(&heard), [false, true, true]);
    let heard = heard.lock().unwrap();
    assert!(heard[0].0.starts_with("GET /page?x=1 HTTP/1.1\r\n"), "{}", heard[0].0);
    assert_eq!(heard[1].0, heard[0].0, "the same bytes, and no more");
}

#[tokio::test]
async fn what_may_do_something_never_goes_early() {
    let (client, heard) = site(Manner::Takes);
    ask(&client, get("https://h/")).await;
    ask(&client, Request::new(Method::POST, "https://h/").unwrap()).await;
    ask(&client, Request::new(Method::PUT, "https://h/").unwrap().body("text")).await;
    ask(&client, Request::new(Method::DELETE, "https://h/").unwrap()).await;
    ask(&client, get("https://h/").body("a body")).await;
    ask(&client, get("https://h/").idempotent(false)).await;
    assert_eq!(early(&heard), [false; 6]);
    ask(&client, Request::new(Method::HEAD, "https://h/").unwrap()).await;
    assert_eq!(early(&heard)[6..], [true]);
    // Nor does anything where that was not asked for.
    let (client, heard) = site(Manner::Takes);
    let client = client.with_early_data(false);
    for _ in 0..3 {
        ask(&client, get("https://h/")).await;
    }
    assert_eq!(early(&heard), [false; 3]);
}

#[tokio::test]
async fn what_the_server_threw_away_is_sent_again() {
    let (client, heard) = site(Manner::Forgets);
    for _ in 0..3 {
        ask(&client, get("https://h/")).await;
    }
    assert_eq!(early(&heard), [false; 3]);
}

#[tokio::test]
async fn what_was_too_early_is_asked_again_later() {
    let (client, heard) = site(Manner::TooEarly);
    for _ in 0..2 {
        ask(&client, get("https://h/")).await;
    }
    // RFC 8470 section 5.2: once early, and then not.
    assert_eq!(early(&heard), [false, true, false]);
}
