//! Cookies, cache and codings together, over an origin in the test that counts what it is asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use bytes::Bytes;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{EncodeV2, GzipEncoder};
use hyper::body::Frame;
use url::Url;

use super::{Kept, Sending, Sent};
use crate::http::body::Body;
use crate::http::timing::Timing;
use crate::http::{Cache, CacheUse, CodingError, Cookies, DecodingBounds, Error, Request, Response};

/// One answer of the origin.
#[derive(Clone)]
enum Answer {
    Says { status: u16, fields: Vec<&'static str>, body: Vec<u8>, announced: Option<u64> },
    Fails,
}

fn says(status: u16, fields: &[&'static str], body: &[u8]) -> Answer {
    Answer::Says { status, fields: fields.to_vec(), body: body.to_vec(), announced: Some(body.len() as u64) }
}

/// An origin with its answers in order, and what it was asked.
#[derive(Clone, Default)]
struct Origin {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    heard: Arc<Mutex<Vec<Request>>>,
}

impl Origin {
    fn with(answers: impl IntoIterator<Item = Answer>) -> Self {
        let origin = Self::default();
        origin.answers.lock().unwrap().extend(answers);
        origin
    }

    fn asked(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    fn heard(&self, number: usize) -> HeaderMap {
        self.heard.lock().unwrap()[number].headers.clone()
    }

    fn once(&self) -> impl Fn(Request, Sent) -> Sending + Clone + Send + Sync + 'static + use<> {
        let origin = self.clone();
        move |request, _| {
            let answer = origin.answers.lock().unwrap().pop_front().expect("the origin is asked once too often");
            origin.heard.lock().unwrap().push(request.clone());
            Box::pin(async move {
                let Answer::Says { status, fields, body, announced } = answer else {
                    return Err(Error::Closed { host: "h.test".to_owned() });
                };
                let mut head = ::http::Response::new(());
                *head.status_mut() = status.try_into().unwrap();
                *head.version_mut() = Version::HTTP_11;
                for field in fields {
                    let (name, value) = field.split_once(": ").unwrap();
                    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                    head.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
                }
                let source = Box::pin(Cut { body: body.into(), announced });
                let limits = crate::http::body::Limits { idle: std::time::Duration::from_secs(10), whole: None };
                let body = |_: &_| Body::from_network(source, announced, limits);
                Ok(Response::new(&request, head, body, Timing::begin()))
            })
        }
    }
}

/// A body in two pieces that fails where it ends before its length.
struct Cut {
    body: Bytes,
    announced: Option<u64>,
}

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Error>>> {
        let half = self.body.len().div_ceil(2);
        let piece = self.body.split_to(half);
        self.announced = self.announced.map(|announced| announced - piece.len() as u64);
        std::task::Poll::Ready(match (piece.is_empty(), self.announced) {
            (false, _) => Some(Ok(Frame::data(piece))),
            (true, None | Some(0)) => None,
            (true, expected) => Some(Err(Error::CutShort { received: 0, expected, reason: "cut".to_owned() })),
        })
    }
}

fn get(fields: &[&str]) -> Request {
    let request = Request::get("http://h.test/page").unwrap();
    fields.iter().fold(request, |request, field| request.header_line(field).unwrap())
}

async fn send(kept: &Kept, request: Request, origin: &Origin) -> Result<Response, Error> {
    kept.send(&request, &[], origin.once()).await
}

/// The status, how it came out of the cache, and the body.
async fn got(kept: &Kept, request: Request, origin: &Origin) -> (u16, Option<CacheUse>, String) {
    let response = send(kept, request, origin).await.unwrap();
    let (status, how) = (response.status.as_u16(), response.from_cache);
    let body = response.body.bytes(1 << 30).await.unwrap().unwrap();
    (status, how, String::from_utf8(body.to_vec()).unwrap())
}

fn page(how: Option<CacheUse>, body: &str) -> (u16, Option<CacheUse>, String) {
    (200, how, body.to_owned())
}

/// Runs `test` with a cache in memory, and with one on disk.
async fn with_both<F: AsyncFn(Kept, Cache)>(test: F) {
    let folder = tempfile::tempdir().unwrap();
    for cache in [Cache::in_memory(1 << 20), Cache::on_disk(folder.path(), 1 << 20).unwrap()] {
        test(Kept { cache: Some(cache.clone()), ..Kept::default() }, cache).await;
    }
}

const FRESH: &str = "Cache-Control: max-age=1000";
/// Not fresh any more as it comes.
const STALE: [&str; 2] = ["Cache-Control: max-age=10", "Age: 20"];
const ETAG: &str = "ETag: \"a\"";

use CacheUse::{Fresh, Stale, Validated};

#[tokio::test]
async fn a_fresh_page_is_given_again_without_asking() {
    with_both(async |kept, cache| {
        let origin = Origin::with([says(200, &[FRESH, "X-A: 1"], b"hello")]);
        assert_eq!(got(&kept, get(&[]), &origin).await, page(None, "hello"));
        let response = send(&kept, get(&[]), &origin).await.unwrap();
        assert_eq!(
            (response.body.expected(), &response.headers["x-a"], &response.headers["age"]),
            (Some(5), &HeaderValue::from(1), &HeaderValue::from(0))
        );
        assert_eq!(got(&kept, get(&[]), &origin).await, page(Some(Fresh), "hello"));
        let head = Request::new(Method::HEAD, "http://h.test/page").unwrap();
        assert_eq!(got(&kept, head, &origin).await, page(Some(Fresh), ""));
        assert_eq!((origin.asked(), cache.counts().fresh, cache.counts().stored), (1, 3, 1));
    })
    .await;
}

#[tokio::test]
async fn a_stale_page_is_asked_for_and_a_304_gives_it_new_life() {
    with_both(async |kept, cache| {
        let first = [STALE[0], STALE[1], ETAG, "Last-Modified: Fri, 15 Jan 2027 11:50:00 GMT"];
        let origin = Origin::with([says(200, &first, b"hello"), says(304, &[ETAG, FRESH], b"")]);
        got(&kept, get(&[]), &origin).await;
        assert_eq!(got(&kept, get(&[]), &origin).await, page(Some(Validated), "hello"));
        let heard = origin.heard(1);
        assert_eq!(
            (&heard["if-none-match"], heard.contains_key("if-modified-since")),
            (&HeaderValue::from_static("\"a\""), true)
        );
        assert_eq!(got(&kept, get(&[]), &origin).await, page(Some(Fresh), "hello"));
        assert_eq!((origin.asked(), cache.counts().validated), (2, 1));
    })
    .await;
}

#[tokio::test]
async fn a_changed_page_takes_the_place_of_the_old_one() {
    with_both(async |kept, _| {
        let first = [STALE[0], STALE[1], ETAG];
        let origin = Origin::with([says(200, &first, b"old"), says(200, &[FRESH], b"new")]);
        got(&kept, get(&[]), &origin).await;
        assert_eq!(got(&kept, get(&[]), &origin).await, page(None, "new"));
        assert_eq!(got(&kept, get(&[]), &origin).await, page(Some(Fresh), "new"));
    })
    .await;
}

#[tokio::test]
async fn a_304_about_another_page_leads_to_asking_without_conditions() {
    with_both(async |kept, _| {
        let first = [STALE[0], STALE[1], ETAG];
        let answers = [says(200, &first, b"old"), says(304, &["ETag: \"b\""], b""), says(200, &[FRESH], b"new")];
        let origin = Origin::with(answers);
        got(&kept, get(&[]), &origin).await;
        assert_eq!(got(&kept, get(&[]), &origin).await, page(None, "new"));
        assert!(!origin.heard(2).contains_key("if-none-match"));
    })
    .await;
}

#[tokio::test]
async fn what_may_not_be_stored_is_asked_for_each_time() {
    with_both(async |kept, cache| {
        for (request, answer) in [
            (get(&[]), says(200, &["Cache-Control: no-store, max-age=9"], b"x")),
            (get(&["Cache-Control: no-store"]), says(200, &[FRESH], b"x")),
            (get(&["Authorization: Basic eA=="]), says(200, &[FRESH], b"x")),
            (get(&["Range: bytes=0-0"]), says(206, &[FRESH, "Content-Range: bytes 0-0/9"], b"x")),
            (get(&[]), says(200, &[FRESH, "Vary: *"], b"x")),
            (Request::new(Method::POST, "http://h.test/page").unwrap(), says(200, &[FRESH], b"x")),
            // Its end shows by the end of the connection alone.
            (get(&[]), Answer::Says { status: 200, fields: vec![FRESH], body: b"x".to_vec(), announced: None }),
        ] {
            let origin = Origin::with([answer.clone(), answer]);
            got(&kept, request.clone(), &origin).await;
            assert_eq!(got(&kept, request, &origin).await.1, None);
            assert_eq!((origin.asked(), cache.counts().stored), (2, 0));
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_shorter_than_promised_is_never_stored() {
    with_both(async |kept, cache| {
        let cut = Answer::Says { status: 200, fields: vec![FRESH], body: b"half".to_vec(), announced: Some(8) };
        let origin = Origin::with([cut, says(200, &[FRESH], b"all of it")]);
        let response = send(&kept, get(&[]), &origin).await.unwrap();
        assert!(response.body.bytes(100).await.is_err());
        assert_eq!(cache.counts().stored, 0);
        assert_eq!(got(&kept, get(&[]), &origin).await, page(None, "all of it"));
    })
    .await;
}

#[tokio::test]
async fn pages_that_vary_are_kept_beside_each_other() {
    with_both(async |kept, _| {
        let varies = [FRESH, "Vary: Accept-Language"];
        let origin = Origin::with([says(200, &varies, b"Tag"), says(200, &varies, b"day")]);
        let (german, english) = (get(&["Accept-Language: de"]), get(&["Accept-Language: en"]));
        got(&kept, german.clone(), &origin).await;
        got(&kept, english.clone(), &origin).await;
        assert_eq!(got(&kept, german, &origin).await, page(Some(Fresh), "Tag"));
        assert_eq!(got(&kept, english, &origin).await, page(Some(Fresh), "day"));
        assert_eq!(origin.asked(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_unsafe_request_that_succeeds_makes_the_page_invalid() {
    with_both(async |kept, _| {
        let page_ = says(200, &[FRESH], b"page");
        let origin = Origin::with([page_.clone(), says(500, &[], b""), says(204, &[], b""), page_]);
        let post = || Request::new(Method::POST, "http://h.test/page").unwrap();
        got(&kept, get(&[]), &origin).await;
        got(&kept, post(), &origin).await;
        assert_eq!(got(&kept, get(&[]), &origin).await.1, Some(Fresh), "it failed and changed nothing");
        got(&kept, post(), &origin).await;
        assert_eq!(got(&kept, get(&[]), &origin).await.1, None);
    })
    .await;
}

#[tokio::test]
async fn only_if_cached_asks_nobody() {
    with_both(async |kept, _| {
        let origin = Origin::with([says(200, &[FRESH], b"page")]);
        let only = || get(&["Cache-Control: only-if-cached"]);
        assert_eq!(got(&kept, only(), &origin).await, (504, None, String::new()));
        got(&kept, get(&[]), &origin).await;
        assert_eq!(got(&kept, only(), &origin).await, page(Some(Fresh), "page"));
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_stored_though_nobody_reads_what_it_says() {
    with_both(async |kept, _| {
        let origin = Origin::with([says(301, &[FRESH, "Location: /there"], b"moved")]);
        drop(send(&kept, get(&[]), &origin).await.unwrap());
        let response = send(&kept, get(&[]), &origin).await.unwrap();
        assert_eq!(
            (response.status.as_u16(), &response.headers["location"]),
            (301, &HeaderValue::from_static("/there"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_request_for_something_newer_is_asked_with_conditions() {
    with_both(async |kept, _| {
        let origin = Origin::with([says(200, &[FRESH, ETAG], b"page"), says(304, &[], b"")]);
        got(&kept, get(&[]), &origin).await;
        assert_eq!(got(&kept, get(&["Cache-Control: no-cache"]), &origin).await, page(Some(Validated), "page"));
    })
    .await;
}

#[tokio::test]
async fn while_it_is_validated_a_stale_page_is_given_at_once() {
    with_both(async |kept, cache| {
        let stale = ["Cache-Control: max-age=10, stale-while-revalidate=100", "Age: 20", ETAG];
        let origin = Origin::with([says(200, &stale, b"old"), says(200, &[FRESH], b"new")]);
        got(&kept, get(&[]), &origin).await;
        assert_eq!(got(&kept, get(&[]), &origin).await, page(Some(Stale), "old"));
        cache.settled().await;
        assert_eq!(got(&kept, get(&[]), &origin).await, page(Some(Fresh), "new"));
        assert_eq!((origin.asked(), origin.heard(1).contains_key("if-none-match")), (2, true));
    })
    .await;
}

#[tokio::test]
async fn when_the_origin_fails_a_stale_page_is_given_if_it_may() {
    with_both(async |kept, _| {
        let stale = ["Cache-Control: max-age=10, stale-if-error=100", "Age: 20"];
        let origin =
            Origin::with([says(200, &stale, b"old"), Answer::Fails, says(503, &[], b"sorry"), says(404, &[], b"gone")]);
        got(&kept, get(&[]), &origin).await;
        assert_eq!(got(&kept, get(&[]), &origin).await, page(Some(Stale), "old"));
        assert_eq!(got(&kept, get(&[]), &origin).await, page(Some(Stale), "old"));
        assert_eq!(got(&kept, get(&[]), &origin).await.0, 404);

        let must = ["Cache-Control: max-age=10, stale-if-error=100, must-revalidate", "Age: 20", ETAG];
        let origin = Origin::with([says(200, &must, b"old"), Answer::Fails]);
        let other = || Request::get("http://h.test/other").unwrap();
        got(&kept, other(), &origin).await;
        assert!(send(&kept, other(), &origin).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn cookies_are_taken_and_sent_beside_the_callers_own() {
    let kept = Kept { cookies: Some(Cookies::new()), ..Kept::default() };
    let answers = [
        says(200, &["Set-Cookie: a=1", "Set-Cookie: b=2; Path=/other"], b""),
        says(200, &[], b""),
        says(200, &[], b""),
    ];
    let origin = Origin::with(answers);
    got(&kept, get(&[]), &origin).await;
    got(&kept, get(&[]), &origin).await;
    got(&kept, get(&["Cookie: own=0"]), &origin).await;
    assert!(!origin.heard(0).contains_key("cookie"));
    assert_eq!(
        (&origin.heard(1)["cookie"], &origin.heard(2)["cookie"]),
        (&HeaderValue::from_static("a=1"), &HeaderValue::from_static("own=0; a=1"))
    );
    // Strict ones stay behind when another site led here.
    kept.cookies.as_ref().unwrap().take(
        &Url::parse("http://h.test/").unwrap(),
        &HeaderMap::from_iter([(::http::header::SET_COOKIE, HeaderValue::from_static("a=1; SameSite=Strict"))]),
    );
    let origin = Origin::with([says(200, &[], b"")]);
    kept.send(&get(&[]), &[Url::parse("http://evil.example/").unwrap()], origin.once()).await.unwrap();
    assert!(!origin.heard(0).contains_key("cookie"));
}

#[tokio::test]
async fn a_page_out_of_the_cache_sets_no_cookie_again() {
    with_both(async |kept, _| {
        let cookies = Cookies::new();
        let kept = Kept { cookies: Some(cookies.clone()), ..kept };
        let origin = Origin::with([
            says(200, &[FRESH, "Set-Cookie: a=1"], b"x"),
            says(200, &["Set-Cookie: a=; Max-Age=0"], b""),
        ]);
        got(&kept, get(&[]), &origin).await;
        got(&kept, Request::get("http://h.test/logout").unwrap(), &origin).await;
        assert_eq!(got(&kept, get(&[]), &origin).await.1, Some(Fresh));
        assert!(cookies.is_empty());
    })
    .await;
}

/// "hello" by gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\x05\0\0\0";

#[tokio::test]
async fn coded_bodies_are_asked_for_undone_and_kept_as_they_came() {
    with_both(async |kept, _| {
        let kept = Kept { decoding: Some(DecodingBounds::default()), ..kept };
        let coded = ["Content-Encoding: gzip", "Vary: Accept-Encoding", FRESH];
        let origin = Origin::with([says(200, &coded, GZIP)]);
        let response = send(&kept, get(&[]), &origin).await.unwrap();
        assert_eq!(response.body.expected(), None);
        assert_eq!(response.body.bytes(100).await.unwrap().unwrap(), "hello");
        assert_eq!(origin.heard(0)["accept-encoding"], "zstd, br, gzip, deflate");
        assert_eq!(got(&kept, get(&[]), &origin).await, page(Some(Fresh), "hello"));
        assert_eq!(origin.asked(), 1);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_asked_for_or_undone_unless_it_was_wanted() {
    let origin = Origin::with([
        says(200, &["Content-Encoding: gzip"], GZIP),
        says(206, &["Content-Encoding: gzip"], b"\x1f\x8b"),
    ]);
    let response = send(&Kept::default(), get(&[]), &origin).await.unwrap();
    assert_eq!(response.body.bytes(100).await.unwrap().unwrap(), GZIP);
    let kept = Kept { decoding: Some(DecodingBounds::default()), ..Kept::default() };
    let response = send(&kept, get(&["Range: bytes=0-1"]), &origin).await.unwrap();
    assert_eq!(
        response.body.bytes(100).await.unwrap().unwrap(),
        "\u{1f}\u{8b}".chars().map(|c| c as u8).collect::<Vec<_>>()
    );
    assert!((0..2).all(|number| !origin.heard(number).contains_key("accept-encoding")));
}

#[tokio::test]
async fn a_coded_body_that_is_cut_unknown_or_a_bomb_is_an_error_of_its_own() {
    let bounds = DecodingBounds { free: 0, ..DecodingBounds::default() };
    let kept = Kept { decoding: Some(bounds), ..Kept::default() };
    let gzip = ["Content-Encoding: gzip"];
    let origin = Origin::with([says(200, &gzip, &GZIP[..20]), says(200, &["Content-Encoding: sdch"], b"")]);
    let response = send(&kept, get(&[]), &origin).await.unwrap();
    let error = response.body.bytes(100).await.unwrap_err();
    assert!(matches!(error, Error::Coding(CodingError::Truncated("gzip"))), "{error}");
    let error = send(&kept, get(&[]), &origin).await.err().unwrap();
    assert!(matches!(error, Error::Coding(CodingError::Unknown(_))), "{error}");

    let bomb = bomb();
    let kept = Kept { decoding: Some(DecodingBounds { ratio: 100, ..bounds }), ..Kept::default() };
    let origin = Origin::with([says(200, &gzip, &bomb)]);
    let response = send(&kept, get(&[]), &origin).await.unwrap();
    let error = response.body.bytes(1 << 20).await.unwrap_err();
    assert!(matches!(error, Error::Coding(CodingError::Bomb { .. })), "{error}");
    assert!(error.to_string().contains("a decompression bomb"), "{error}");
}

/// A MiB of zeros by gzip.
fn bomb() -> Vec<u8> {
    let mut coded = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let mut encoder = GzipEncoder::new(Level::Default.into());
    let zeros = vec![0; 1 << 20];
    let mut input = PartialBuffer::new(&zeros[..]);
    loop {
        let mut output = WriteBuffer::new_initialized(&mut buffer);
        let whole = if input.unwritten().is_empty() {
            encoder.finish(&mut output).unwrap()
        } else {
            EncodeV2::encode(&mut encoder, &mut input, &mut output).unwrap();
            false
        };
        coded.extend_from_slice(output.written());
        if whole {
            return coded;
        }
    }
}
