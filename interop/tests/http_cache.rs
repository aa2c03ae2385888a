//! The HTTP client's cache over TAP, against an origin of kernel sockets that counts what it is asked: in the library
//! case by case, and by `wharf wget --cache` from one run to the next.

use std::fs;
use std::path::Path;

use wharf::http::{Cache, CacheUse, Client, DecodingBounds, Method, Request};
use wharf::tls::Trust;
use wharf_interop::{Finished, Names, Tap, World, in_namespace};

use crate::origin::{Heard, Origin, say};

/// "hello" by gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\x05\0\0\0";

/// What the origin of the matrix says: status, fields and body.
fn matrix(heard: &Heard) -> (u16, String, Vec<u8>) {
    let times = heard.times;
    let conditional = heard.field("if-none-match") == Some("\"v1\"")
        || heard.field("if-modified-since") == Some("fri, 01 jan 2021 00:00:00 gmt");
    let fields = |lines: &[&str]| lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
    let say = |lines: &[&str]| (200, fields(lines), format!("body {times}").into_bytes());
    let unchanged = |lines: &[&str]| (304, fields(lines), Vec::new());
    match heard.path.as_str() {
        "/fresh" | "/posted" => say(&["Cache-Control: max-age=1000"]),
        "/expires" => say(&["Expires: Fri, 31 Dec 2099 23:59:59 GMT"]),
        "/private" => say(&["Cache-Control: private, max-age=1000"]),
        "/etag" if conditional => unchanged(&["ETag: \"v1\"", "X-New: yes"]),
        "/etag" => say(&["Cache-Control: no-cache", "ETag: \"v1\""]),
        "/modified" if conditional => unchanged(&[]),
        "/modified" => say(&["Cache-Control: max-age=0", "Last-Modified: Fri, 01 Jan 2021 00:00:00 GMT"]),
        "/changes" => say(&["Cache-Control: no-cache", &format!("ETag: \"v{times}x\"")]),
        "/no-store" => say(&["Cache-Control: no-store, max-age=1000"]),
        "/aged" => say(&["Cache-Control: max-age=1000", "Age: 2000", "ETag: \"v9\""]),
        "/vary" => {
            let language = if heard.field("accept-language") == Some("de") { "Tag" } else { "day" };
            (200, fields(&["Cache-Control: max-age=1000", "Vary: Accept-Language"]), language.as_bytes().to_vec())
        }
        "/star" => say(&["Cache-Control: max-age=1000", "Vary: *"]),
        "/coded" => {
            let lines = ["Cache-Control: max-age=1000", "Content-Encoding: gzip", "Vary: Accept-Encoding"];
            (200, fields(&lines), GZIP.to_vec())
        }
        "/meanwhile" if times == 1 => {
            say(&["Cache-Control: max-age=10, stale-while-revalidate=100", "Age: 20", "ETag: \"v1\""])
        }
        "/meanwhile" => say(&["Cache-Control: max-age=1000"]),
        "/breaks" if times == 1 => say(&["Cache-Control: max-age=10, stale-if-error=100", "Age: 20"]),
        "/breaks" => (503, String::new(), b"sorry".to_vec()),
        "/moved" => (301, fields(&["Location: /fresh", "Cache-Control: max-age=1000"]), Vec::new()),
        _ => (404, fields(&["Cache-Control: no-store"]), Vec::new()),
    }
}

fn matrix_origin(tap: &Tap) -> Origin {
    Origin::start(tap, |heard, stream| {
        let (status, fields, body) = matrix(heard);
        say(stream, heard, status, &fields, &body)
    })
}

/// One client's requests, one after another.
struct Asker {
    runtime: tokio::runtime::Runtime,
    client: Client,
    cache: Cache,
    origin: Origin,
}

impl Asker {
    /// The body, and how it came out of the cache.
    fn ask(&self, method: Method, path: &str, fields: &[&str]) -> (u16, Option<CacheUse>, String) {
        let mut request = Request::new(method, &self.origin.url(path)).unwrap();
        for field in fields {
            request = request.header_line(field).unwrap();
        }
        self.runtime.block_on(async {
            let response = self.client.send(request).await.unwrap_or_else(|error| panic!("{path}: {error}"));
            let (status, how) = (response.status.as_u16(), response.from_cache);
            let body = response.body.bytes(1 << 20).await.unwrap_or_else(|error| panic!("{path}: {error}")).unwrap();
            (status, how, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    fn get(&self, path: &str) -> (Option<CacheUse>, String) {
        let (_, how, body) = self.ask(Method::GET, path, &[]);
        (how, body)
    }
}

fn with_asker(tap: &Tap, cache: Cache, test: impl FnOnce(&Asker)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let client = Client::new(tap.guest(), Trust::Mozilla).unwrap();
    let client = client.with_cache(cache.clone()).with_decoding(DecodingBounds::default());
    test(&Asker { runtime, client, cache, origin: matrix_origin(tap) });
}

fn through_the_matrix(asker: &Asker) {
    use CacheUse::{Fresh, Stale, Validated};
    let origin = &asker.origin;
    for path in ["/fresh", "/expires", "/private"] {
        assert_eq!(asker.get(path), (None, "body 1".to_owned()), "{path}");
        for _ in 0..3 {
            assert_eq!(asker.get(path), (Some(Fresh), "body 1".to_owned()), "{path}");
        }
        assert_eq!(origin.asked(path), 1, "{path}");
    }
    for (path, condition) in [("/etag", "if-none-match: \"v1\""), ("/modified", "if-modified-since: fri, 01 jan 2021")]
    {
        assert_eq!(asker.get(path), (None, "body 1".to_owned()), "{path}");
        assert_eq!(asker.get(path), (Some(Validated), "body 1".to_owned()), "{path}");
        let heard = origin.heard(path).remove(1);
        assert!(heard.head.contains(condition), "{path}: {}", heard.head);
    }
    for path in ["/no-store", "/star", "/changes", "/aged"] {
        assert_eq!(asker.get(path), (None, "body 1".to_owned()), "{path}");
        assert_eq!(asker.get(path), (None, "body 2".to_owned()), "{path}");
        assert_eq!(origin.asked(path), 2, "{path}");
    }

    // What varies stands side by side.
    let language = |language: &str| asker.ask(Method::GET, "/vary", &[&format!("Accept-Language: {language}")]);
    for how in [None, Some(Fresh)] {
        assert_eq!(language("de"), (200, how, "Tag".to_owned()));
        assert_eq!(language("en"), (200, how, "day".to_owned()));
    }
    assert_eq!(origin.asked("/vary"), 2);

    // A coded body is kept as it came, and plain each time.
    assert_eq!(asker.get("/coded"), (None, "hello".to_owned()));
    assert_eq!(asker.get("/coded"), (Some(Fresh), "hello".to_owned()));
    assert_eq!(origin.asked("/coded"), 1);

    // RFC 5861.
    assert_eq!(asker.get("/meanwhile"), (None, "body 1".to_owned()));
    assert_eq!(asker.get("/meanwhile"), (Some(Stale), "body 1".to_owned()));
    asker.runtime.block_on(asker.cache.settled());
    assert_eq!(asker.get("/meanwhile"), (Some(Fresh), "body 2".to_owned()));
    assert_eq!(origin.asked("/meanwhile"), 2);
    assert_eq!(asker.get("/breaks"), (None, "body 1".to_owned()));
    assert_eq!(asker.get("/breaks"), (Some(Stale), "body 1".to_owned()));

    // What a request says of itself.
    let with = |fields: &[&str]| asker.ask(Method::GET, "/fresh", fields).1;
    let asked = origin.asked("/fresh");
    assert_eq!(with(&["Cache-Control: only-if-cached"]), Some(Fresh));
    assert_eq!(asker.ask(Method::GET, "/unknown", &["Cache-Control: only-if-cached"]).0, 504);
    assert_eq!((origin.asked("/fresh"), origin.asked("/unknown")), (asked, 0));
    for field in ["Cache-Control: no-store", "Range: bytes=0-1", "If-None-Match: \"mine\""] {
        assert_eq!(with(&[field]), None, "{field}");
    }
    assert_eq!(origin.asked("/fresh"), asked + 3);
    assert_eq!(with(&["Cache-Control: no-cache"]), None);
    assert_eq!(asker.get("/fresh").0, Some(Fresh));

    // HEAD is answered out of what a GET brought, and a redirect leads there.
    let asked = origin.asked("/fresh");
    assert_eq!(asker.ask(Method::HEAD, "/fresh", &[]), (200, Some(Fresh), String::new()));
    assert_eq!(asker.get("/moved").0, Some(Fresh));
    assert_eq!(asker.get("/moved").0, Some(Fresh));
    assert_eq!((origin.asked("/fresh"), origin.asked("/moved")), (asked, 1));

    // An unsafe request makes the page invalid.
    assert_eq!(asker.get("/posted").0, None);
    assert_eq!(asker.get("/posted").0, Some(Fresh));
    asker.ask(Method::POST, "/posted", &[]);
    assert_eq!(asker.get("/posted").0, None);
}

#[test]
fn the_matrix_in_memory() {
    in_namespace(|world| with_asker(&world.tap(), Cache::in_memory(1 << 20), through_the_matrix));
}

#[test]
fn the_matrix_on_disk() {
    in_namespace(|world| {
        let cache = Cache::on_disk(&world.path("cache"), 1 << 20).unwrap();
        with_asker(&world.tap(), cache, through_the_matrix);
    });
}

/// `wharf wget` with a cache, and how the page came out of it.
fn wget(world: &World, tap: &Tap, url: &str, cache: &Path) -> (Finished, String) {
    let (got, by_hand) = (world.path("got"), tap.by_hand());
    let (into, cache) = (got.to_string_lossy(), cache.to_string_lossy());
    let mut arguments = vec!["wget", url, "-O", &into, "--cache", &cache, "--json"];
    arguments.extend(by_hand.iter().map(String::as_str));
    let run = world.wharf(&arguments).run().succeeded();
    let how = run.stdout.split("\"cache\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
    let how = how.unwrap_or_default().trim_matches('"').to_owned();
    (run, how)
}

#[test]
fn a_second_command_takes_a_fresh_page_from_the_disk_and_a_damaged_one_from_the_origin() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dns(world, tap.address);
        let origin = matrix_origin(&tap);
        let cache = world.path("cache");
        for (run, (path, how, asked)) in [
            ("/fresh", "null", 1),
            ("/fresh", "fresh", 1),
            ("/etag", "null", 1),
            ("/etag", "validated", 2),
            ("/meanwhile", "null", 1),
            // The command waits until the page is validated.
            ("/meanwhile", "stale", 2),
            ("/meanwhile", "fresh", 2),
        ]
        .into_iter()
        .enumerate()
        {
            let (_, used) = wget(world, &tap, &origin.url(path), &cache);
            assert_eq!((used.as_str(), origin.asked(path)), (how, asked), "run {run}");
        }
        assert_eq!(fs::read_to_string(world.path("got")).unwrap(), "body 2");
        for file in fs::read_dir(&cache).unwrap() {
            let file = file.unwrap().path();
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
        }
        assert_eq!(wget(world, &tap, &origin.url("/fresh"), &cache).1, "null");
        assert_eq!((origin.asked("/fresh"), wget(world, &tap, &origin.url("/fresh"), &cache).1.as_str()), (2, "fresh"));
    });
}

#[test]
fn a_disk_that_fills_ends_the_storing_with_a_note_and_the_page_comes_all_the_same() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dns(world, tap.address);
        let large = vec![b'x'; 4 << 20];
        let origin = Origin::start(&tap, move |heard, stream| {
            say(stream, heard, 200, "Cache-Control: max-age=1000\r\n", &large)
        });
        let cache = world.small_disk(1 << 20);
        for asked in 1..=2 {
            let (run, how) = wget(world, &tap, &origin.url("/large"), &cache);
            assert_eq!((how.as_str(), origin.asked("/large")), ("null", asked));
            assert!(run.stderr.contains("nothing more is stored in the cache: the disk is full"), "{run}");
            assert_eq!(fs::metadata(world.path("got")).unwrap().len(), 4 << 20);
            assert_eq!(fs::read_dir(&cache).unwrap().count(), 0, "something was left behind");
        }
    });
}
