//! What may be stored and used again, by RFC 9111 and RFC 5861; files that are cut, damaged, too many or not ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use bytes::Bytes;
use url::Url;

use super::format::{Damaged, Head, TRAILER, Trailer};
use super::rules::{self, Asked, Meta, Use};
use super::{Body, Cache};

fn fields(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn url() -> Url {
    Url::parse("http://h.test/page?x#y").unwrap()
}

/// Some noon: everything is measured from it.
fn noon() -> SystemTime {
    httpdate::parse_http_date("Fri, 15 Jan 2027 12:00:00 GMT").unwrap()
}

const DATE: &str = "Date: Fri, 15 Jan 2027 12:00:00 GMT";

/// What is stored of a response that came at noon, to a request with `asked`.
fn stored(asked: &[&str], status: u16, response: &[&str]) -> Option<Meta> {
    let (url, headers) = (url(), fields(asked));
    let asked = Asked { method: &Method::GET, url: &url, headers: &headers };
    let status = StatusCode::from_u16(status).unwrap();
    Meta::of(&asked, Version::HTTP_11, status, &fields(response), noon(), noon())
}

fn usable(meta: &Meta, asked: &[&str], seconds: u64) -> Use {
    let (url, headers) = (url(), fields(asked));
    meta.usable(&Asked { method: &Method::GET, url: &url, headers: &headers }, noon() + Duration::from_secs(seconds))
}

#[test]
fn what_may_not_be_stored_is_not() {
    let fresh = "Cache-Control: max-age=60";
    assert!(stored(&[], 200, &[DATE, fresh]).is_some());
    assert!(stored(&[], 200, &[DATE, "Cache-Control: private, max-age=60"]).is_some(), "it is one user's");
    assert!(stored(&[], 404, &[DATE, fresh]).is_some());
    assert!(stored(&[], 301, &[DATE, fresh]).is_some());
    assert!(stored(&[], 200, &[DATE, "ETag: \"a\""]).is_some(), "it can be asked for");
    for (asked, status, response) in [
        (&[][..], 200, &[DATE, "Cache-Control: no-store, max-age=60"][..]),
        (&[], 200, &[DATE, "Cache-Control: max-age=60, NO-STORE"]),
        (&["Cache-Control: no-store"], 200, &[DATE, fresh]),
        (&["Authorization: Basic eA=="], 200, &[DATE, fresh]),
        (&["Range: bytes=0-"], 200, &[DATE, fresh]),
        (&["If-None-Match: \"a\""], 200, &[DATE, fresh]),
        (&["Host: other.test"], 200, &[DATE, fresh]),
        (&[], 206, &[DATE, fresh, "Content-Range: bytes 0-1/2"]),
        (&[], 200, &[DATE, fresh, "Content-Range: bytes 0-1/2"]),
        (&[], 200, &[DATE, fresh, "Vary: *"]),
        (&[], 200, &[DATE, fresh, "Vary: Accept, not a name"]),
        (&[], 500, &[DATE, fresh]),
        (&[], 302, &[DATE]),
        (&[], 200, &[DATE]),
        (&[], 200, &[DATE, "Cache-Control: max-age=0"]),
    ] {
        assert!(stored(asked, status, response).is_none(), "{asked:?} {status} {response:?}");
    }
    let allowed = [DATE, "Cache-Control: public, max-age=60"];
    assert!(stored(&["Authorization: Basic eA=="], 200, &allowed).is_some());
}

#[test]
fn it_is_fresh_for_as_long_as_the_origin_said() {
    for (response, seconds) in [
        (&[DATE, "Cache-Control: max-age=60"][..], 60),
        (&[DATE, "cache-control: Max-Age=\"60\""], 60),
        (&[DATE, "Cache-Control: s-maxage=600, max-age=60"], 60),
        (&[DATE, "Cache-Control: max-age=60", "Expires: Fri, 15 Jan 2027 18:00:00 GMT"], 60),
        (&[DATE, "Expires: Fri, 15 Jan 2027 12:01:00 GMT"], 60),
        (&[DATE, "Cache-Control: max-age=60", "Age: 20"], 40),
        // It was on its way for 10 s, by the clocks.
        (&["Date: Fri, 15 Jan 2027 11:59:50 GMT", "Cache-Control: max-age=60"], 50),
        // A tenth of its age when it came.
        (&[DATE, "Last-Modified: Fri, 15 Jan 2027 11:50:00 GMT"], 60),
        (&["Cache-Control: max-age=60"], 60),
    ] {
        let meta = stored(&[], 200, response).unwrap();
        assert_eq!(usable(&meta, &[], seconds - 1), Use::Fresh, "{response:?}");
        assert_eq!(usable(&meta, &[], seconds), Use::Validated, "{response:?}");
    }
    let forever = stored(&[], 200, &[DATE, "Cache-Control: max-age=99999999999999999999999"]).unwrap();
    assert_eq!(usable(&forever, &[], 60 * 365 * 86_400), Use::Fresh);
    let aged =
        stored(&[], 200, &[DATE, "Cache-Control: max-age=60", "Age: 18446744073709551615", "ETag: \"a\""]).unwrap();
    assert_eq!(usable(&aged, &[], 0), Use::Validated);
    let no_cache = stored(&[], 200, &[DATE, "Cache-Control: no-cache, max-age=60", "ETag: \"a\""]).unwrap();
    assert_eq!(usable(&no_cache, &[], 0), Use::Validated);
    // What the origin says of the past, or cannot say, is the past.
    let past = stored(&[], 200, &[DATE, "Expires: 0", "ETag: \"a\""]).unwrap();
    assert_eq!(usable(&past, &[], 0), Use::Validated);
}

#[test]
fn the_request_may_want_it_newer_or_take_it_older() {
    let meta = stored(&[], 200, &[DATE, "Cache-Control: max-age=60"]).unwrap();
    assert_eq!(usable(&meta, &["Cache-Control: no-cache"], 1), Use::Validated);
    assert_eq!(usable(&meta, &["Pragma: No-Cache"], 1), Use::Validated);
    assert_eq!(usable(&meta, &["Cache-Control: max-age=5"], 6), Use::Validated);
    assert_eq!(usable(&meta, &["Cache-Control: max-age=5"], 4), Use::Fresh);
    assert_eq!(usable(&meta, &["Cache-Control: min-fresh=30"], 31), Use::Validated);
    assert_eq!(usable(&meta, &["Cache-Control: max-stale"], 1000), Use::Fresh);
    assert_eq!(usable(&meta, &["Cache-Control: max-stale=10"], 65), Use::Fresh);
    assert_eq!(usable(&meta, &["Cache-Control: max-stale=10"], 75), Use::Validated);
    let must = stored(&[], 200, &[DATE, "Cache-Control: max-age=60, must-revalidate"]).unwrap();
    assert_eq!(usable(&must, &["Cache-Control: max-stale"], 1000), Use::Validated);
}

#[test]
fn stale_responses_are_used_within_their_windows_only() {
    let meta =
        stored(&[], 200, &[DATE, "Cache-Control: max-age=60, stale-while-revalidate=30, stale-if-error=90"]).unwrap();
    assert_eq!(usable(&meta, &[], 59), Use::Fresh);
    assert_eq!(usable(&meta, &[], 60), Use::WhileRevalidating);
    assert_eq!(usable(&meta, &[], 90), Use::WhileRevalidating);
    assert_eq!(usable(&meta, &[], 91), Use::Validated);
    assert_eq!(usable(&meta, &["Cache-Control: no-cache"], 70), Use::Validated);
    assert_eq!(usable(&meta, &["Cache-Control: max-age=10"], 70), Use::Validated);
    let (url, none, wants) = (url(), HeaderMap::new(), fields(&["Cache-Control: stale-if-error=1000"]));
    let on_error = |meta: &Meta, headers: &HeaderMap, seconds| {
        let asked = Asked { method: &Method::GET, url: &url, headers };
        meta.usable_on_error(&asked, noon() + Duration::from_secs(seconds))
    };
    assert!(on_error(&meta, &none, 150) && !on_error(&meta, &none, 151) && on_error(&meta, &wants, 1000));
    let must = [DATE, "Cache-Control: max-age=60, stale-while-revalidate=30, stale-if-error=90, must-revalidate"];
    let must = stored(&[], 200, &must).unwrap();
    assert_eq!(usable(&must, &[], 70), Use::Validated);
    assert!(!on_error(&must, &wants, 70));
}

#[test]
fn a_response_is_selected_by_all_values_of_the_fields_it_varies_by() {
    let varies = [DATE, "Cache-Control: max-age=60", "Vary: Accept-Language, accept", "Vary: X-Both"];
    let meta = stored(&["Accept: text/html", "X-Both: 1", "X-Both: 2"], 200, &varies).unwrap();
    let selected = |asked: &[&str]| meta.is_selected_by(&fields(asked));
    assert!(selected(&["Accept: text/html", "X-Both: 1", "X-Both: 2", "X-Other: 3"]));
    assert!(!selected(&["Accept: text/html", "X-Both: 1"]));
    assert!(!selected(&["Accept: text/html", "X-Both: 2", "X-Both: 1"]));
    assert!(!selected(&["Accept: text/html", "X-Both: 1", "X-Both: 2", "Accept-Language: de"]));
    assert_eq!(meta.selecting.len(), 3, "nothing else of the request is kept");
}

#[test]
fn a_304_brings_new_fields_and_new_life_and_leaves_the_body_described() {
    let old =
        [DATE, "ETag: \"a\"", "Cache-Control: max-age=60", "Content-Length: 5", "X-Old: 1", "X-Both: 1", "Age: 50"];
    let meta = stored(&[], 200, &old).unwrap();
    assert_eq!(usable(&meta, &[], 20), Use::Validated);
    let new = [
        "ETag: \"a\"",
        "Cache-Control: max-age=100",
        "Content-Length: 0",
        "X-Both: 2",
        "X-Both: 3",
        "X-New: 4",
        "Connection: close, x-new-hop",
        "X-New-Hop: 5",
    ];
    let then = noon() + Duration::from_secs(20);
    let new = fields(&new);
    assert!(meta.is_meant_by(&new));
    let meta = meta.renewed(&new, then, then);
    assert_eq!(usable(&meta, &[], 20 + 79), Use::Fresh);
    let fields = meta.fields(then);
    assert_eq!(
        (&fields["content-length"], &fields["x-old"], &fields["x-new"]),
        (&"5".parse().unwrap(), &"1".parse().unwrap(), &"4".parse().unwrap())
    );
    assert_eq!(fields.get_all("x-both").iter().collect::<Vec<_>>(), ["2", "3"]);
    assert!(!fields.contains_key("x-new-hop") && !fields.contains_key("connection"));
    assert_eq!(fields["age"], "20", "by the date of the first, which the 304 did not change");
}

#[test]
fn a_304_about_another_response_is_told() {
    let meta = stored(&[], 200, &[DATE, "ETag: W/\"a\""]).unwrap();
    assert!(meta.is_meant_by(&fields(&["ETag: \"a\""])) && meta.is_meant_by(&fields(&[])));
    assert!(!meta.is_meant_by(&fields(&["ETag: \"b\""])));
    let plain = stored(&[], 200, &[DATE, "Last-Modified: Fri, 15 Jan 2027 11:50:00 GMT"]).unwrap();
    assert!(!plain.is_meant_by(&fields(&["ETag: \"b\""])));
    let names: Vec<_> = meta.conditions().chain(plain.conditions()).map(|(name, _)| name).collect();
    assert_eq!(names, ["if-none-match", "if-modified-since"]);
}

#[test]
fn an_unsafe_method_makes_its_page_and_those_it_names_invalid() {
    let named = fields(&["Location: /new", "Content-Location: http://other.test/x"]);
    let keys = |method, status| rules::invalidated(&method, &url(), StatusCode::from_u16(status).unwrap(), &named);
    assert_eq!(keys(Method::POST, 201), ["http://h.test/page?x", "http://h.test/new"]);
    assert_eq!(keys(Method::DELETE, 303), ["http://h.test/page?x", "http://h.test/new"]);
    assert!(
        keys(Method::PUT, 500).is_empty() && keys(Method::PUT, 409).is_empty() && keys(Method::GET, 200).is_empty()
    );
}

/// Fields that try to upset arithmetic and parsers.
#[test]
fn no_field_of_a_response_upsets_the_rules() {
    let values = [
        "max-age=18446744073709551615",
        "max-age=-1",
        "max-age",
        "max-age=",
        "=",
        ",,,",
        "\"",
        "max-age=\"",
        "a\u{e9}=1",
        "max-age=1, max-age=2",
        "stale-while-revalidate=99999999999999999999",
        "no-cache=\"a, b",
        "max-age=1e9",
    ];
    let dates = [
        "",
        "0",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 01 Jan 0001 00:00:00 GMT",
        "now",
    ];
    for value in values {
        for date in dates {
            for age in ["0", "-1", "99999999999999999999", "x"] {
                let response = [
                    format!("Cache-Control: {value}"),
                    format!("Date: {date}"),
                    format!("Expires: {date}"),
                    format!("Last-Modified: {date}"),
                    format!("Age: {age}"),
                    "ETag: x".to_owned(),
                ];
                let response: Vec<&str> = response.iter().map(String::as_str).collect();
                if let Some(meta) = stored(&[response[0]], 200, &response) {
                    for seconds in [0, 1, 1 << 40] {
                        let _ = usable(&meta, &[response[0]], seconds);
                        let _ = meta.fields(noon() + Duration::from_secs(seconds));
                    }
                }
            }
        }
    }
}

fn head() -> Head {
    Head {
        url: "http://h.test/".to_owned(),
        requested: 1,
        received: 2,
        request: vec![("accept".to_owned(), b"a\xff".to_vec())],
        version: 11,
        status: 200,
        response: vec![("etag".to_owned(), b"\"a\"".to_vec()), ("x".to_owned(), Vec::new())],
    }
}

#[test]
fn head_and_trailer_have_their_golden_bytes() {
    let bytes = head().encode();
    let golden = b"\x0e\0\0\0http://h.test/\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x0b\xc8\0\
        \x01\0\0\0\x06\0\0\0accept\x02\0\0\0a\xff\x02\0\0\0\x04\0\0\0etag\x03\0\0\0\"a\"\x01\0\0\0x\0\0\0\0";
    assert_eq!(bytes, golden);
    assert_eq!(Head::decode(&bytes), Ok(head()));
    let trailer = Trailer { body_length: 5, head_length: 7, body_checksum: 0x0102_0304, head_checksum: 0x0506_0708 };
    let bytes = trailer.encode();
    assert_eq!(bytes[..28], *b"WHARFHC1\x05\0\0\0\0\0\0\0\x07\0\0\0\x04\x03\x02\x01\x08\x07\x06\x05");
    assert_eq!(Trailer::decode(&bytes, 5 + 7 + 32), Ok(trailer));
    assert_eq!(Trailer::decode(&bytes, 5 + 7 + 33), Err(Damaged));
}

#[test]
fn a_head_cut_at_any_length_is_damaged_and_so_is_a_longer_one() {
    let bytes = head().encode();
    for length in 0..bytes.len() {
        assert_eq!(Head::decode(&bytes[..length]), Err(Damaged), "{length}");
    }
    assert_eq!(Head::decode(&[&bytes[..], b"x"].concat()), Err(Damaged));
    // A count that would take all memory.
    let mut many = bytes.clone();
    let at = 4 + 14 + 8 + 8 + 1 + 2;
    many[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Head::decode(&many), Err(Damaged));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(head) = Head::decode(&flipped) {
                assert_eq!(head.encode(), flipped);
            }
        }
    }
}

#[test]
fn a_trailer_with_any_bit_changed_is_damaged() {
    let trailer = Trailer { body_length: 5, head_length: 7, body_checksum: 1, head_checksum: 2 }.encode();
    for at in 0..TRAILER {
        for bit in 0..8 {
            let mut flipped = trailer;
            flipped[at] ^= 1 << bit;
            assert_eq!(Trailer::decode(&flipped, 44), Err(Damaged));
        }
    }
}

/// Stores `body` for `path` in `cache`, as a response that stays fresh.
async fn put(cache: &Cache, path: &str, body: &[u8]) {
    let url = Url::parse("http://h.test/").unwrap().join(path).unwrap();
    let none = HeaderMap::new();
    let asked = Asked { method: &Method::GET, url: &url, headers: &none };
    let headers = fields(&["Cache-Control: max-age=1000", "ETag: \"a\""]);
    let now = SystemTime::now();
    let meta = Meta::of(&asked, Version::HTTP_2, StatusCode::OK, &headers, now, now).unwrap();
    let recorded = cache.record(meta, Body::from_bytes(Bytes::copy_from_slice(body)));
    assert_eq!(recorded.bytes(usize::MAX).await.unwrap().unwrap(), body);
}

/// The body stored for `path`.
async fn find(cache: &Cache, path: &str) -> Option<Vec<u8>> {
    let url = Url::parse("http://h.test/").unwrap().join(path).unwrap();
    let none = HeaderMap::new();
    let found = cache.find(&Asked { method: &Method::GET, url: &url, headers: &none })?;
    assert_eq!(found.meta.version, Version::HTTP_2);
    Some(found.body().bytes(usize::MAX).await.unwrap().unwrap().to_vec())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_is_stored_on_disk_is_there_in_the_next_run_and_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("deep/cache");
    let cache = Cache::on_disk(&directory, 1 << 20).unwrap();
    put(&cache, "a", &[7; 200_000]).await;
    put(&cache, "b", b"").await;
    assert_eq!(find(&cache, "a").await.unwrap(), [7; 200_000]);
    let again = Cache::on_disk(&directory, 1 << 20).unwrap();
    assert_eq!(find(&again, "a").await.unwrap(), [7; 200_000]);
    assert_eq!(find(&again, "b").await.unwrap(), b"");
    assert_eq!(find(&again, "c").await, None);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    for file in files(&directory) {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    again.forget("http://h.test/a");
    assert_eq!((find(&again, "a").await, files(&directory).len()), (None, 1));
}

#[tokio::test]
async fn a_file_cut_anywhere_or_with_a_bit_changed_is_a_miss_and_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    put(&Cache::on_disk(folder.path(), 1 << 20).unwrap(), "a", b"a body").await;
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    let mut broken: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
    broken.extend((0..whole.len()).map(|at| {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x20;
        flipped
    }));
    broken.push([&whole[..], b"more"].concat());
    for bytes in broken {
        fs::write(&file, &bytes).unwrap();
        let cache = Cache::on_disk(folder.path(), 1 << 20).unwrap();
        assert_eq!(find(&cache, "a").await, None, "{bytes:?}");
        assert_eq!((cache.counts().damaged, files(folder.path()).len()), (1, 0), "{bytes:?}");
    }
}

#[tokio::test]
async fn the_longest_unused_make_room_in_memory_and_on_disk_and_across_runs() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Cache::on_disk(folder.path(), 50_000).unwrap();
    for cache in [Cache::in_memory(50_000), open()] {
        for number in 0..4 {
            put(&cache, &number.to_string(), &[number; 10_000]).await;
        }
        assert!(find(&cache, "0").await.is_some());
        put(&cache, "4", &[4; 10_000]).await;
        put(&cache, "5", &[5; 10_000]).await;
        assert!(find(&cache, "0").await.is_some() && find(&cache, "1").await.is_none(), "{:?}", cache.counts());
        assert_eq!(cache.counts().evicted, 2);
        // Larger than a fourth of all: nothing goes for it.
        put(&cache, "6", &[6; 13_000]).await;
        assert_eq!((cache.counts().evicted, find(&cache, "6").await), (2, None));
    }
    let again = open();
    put(&again, "7", &[7; 10_000]).await;
    assert_eq!(again.counts().evicted, 1);
    let taken: u64 = files(folder.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(taken <= 50_000);
}

#[tokio::test]
async fn what_a_dead_process_left_is_removed_and_other_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["notes.txt", "0123.response", "4000000000-1.unfinished", "x-1.unfinished"];
    for name in names {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let ours = format!("{}-77.unfinished", std::process::id());
    fs::write(folder.path().join(&ours), "").unwrap();
    let cache = Cache::on_disk(folder.path(), 1 << 20).unwrap();
    put(&cache, "a", b"a body").await;
    for (name, stays) in names.into_iter().zip([true, true, false, true]).chain([(&*ours, true)]) {
        assert_eq!(folder.path().join(name).exists(), stays, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_read_to_its_end_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::on_disk(folder.path(), 1 << 20).unwrap();
    let (url, none) = (url(), HeaderMap::new());
    let asked = Asked { method: &Method::GET, url: &url, headers: &none };
    let headers = fields(&["Cache-Control: max-age=1000"]);
    let meta = Meta::of(&asked, Version::HTTP_11, StatusCode::OK, &headers, noon(), noon()).unwrap();
    let mut body = cache.record(meta, Body::from_bytes("body"));
    assert_eq!(files(folder.path()).len(), 1);
    assert!(body.chunk().await.unwrap().is_some());
    drop(body);
    assert!(files(folder.path()).is_empty() && cache.find(&asked).is_none());
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_ends_the_storing_and_fails_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("cache");
    let cache = Cache::on_disk(&directory, 1 << 20).unwrap();
    fs::remove_dir(&directory).unwrap();
    put(&cache, "a", b"a body").await;
    assert_eq!(find(&cache, "a").await, None);
    assert!(cache.trouble().unwrap().starts_with("nothing more is stored in the cache: "), "{:?}", cache.trouble());
    assert!(Cache::on_disk(Path::new("/proc/nowhere"), 1).is_err());
}
