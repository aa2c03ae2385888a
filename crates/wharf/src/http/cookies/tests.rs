//! Which cookies are taken and which are sent, their limits, and the file they are kept in.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use url::Url;

use super::file::{self, Line};
use super::jar::{Jar, MOST, MOST_OF_A_DOMAIN};
use super::{Cookies, CookiesError};
use crate::http::Method;

const NOW: u64 = 1_800_000_000;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// A jar that took each of `set` from `from`.
fn jar(from: &str, set: &[&str]) -> Jar {
    let mut jar = Jar::default();
    take(&mut jar, from, set);
    jar
}

fn take(jar: &mut Jar, from: &str, set: &[&str]) {
    jar.take(&url(from), set.iter().map(|set| set.as_bytes()), NOW);
}

fn sent(jar: &mut Jar, to: &str) -> String {
    jar.field(&Method::GET, &url(to), &[], NOW).unwrap_or_default()
}

#[test]
fn a_cookie_without_a_domain_goes_to_its_host_alone() {
    let mut jar = jar("http://www.example.com/a/b", &["one=1", "two=2; Domain=example.com; Path=/"]);
    assert_eq!(sent(&mut jar, "http://www.example.com/a/c"), "one=1; two=2");
    assert_eq!(sent(&mut jar, "http://example.com/a/c"), "two=2");
    assert_eq!(sent(&mut jar, "http://below.www.example.com/a/c"), "two=2");
    assert_eq!(sent(&mut jar, "http://notexample.com/a/c"), "");
    // The default path is the request's without its last part.
    assert_eq!(sent(&mut jar, "http://www.example.com/"), "two=2");
    assert_eq!(sent(&mut jar, "http://www.example.com/ab"), "two=2");
}

#[test]
fn longer_paths_come_first_and_then_the_earlier_made() {
    let mut jar = jar("http://h.test/", &["a=1; Path=/", "b=2; Path=/x/y", "c=3; Path=/x", "d=4; Path=/"]);
    assert_eq!(sent(&mut jar, "http://h.test/x/y/z"), "b=2; c=3; a=1; d=4");
    // One that is set again keeps its place.
    take(&mut jar, "http://h.test/", &["a=5; Path=/"]);
    assert_eq!(sent(&mut jar, "http://h.test/"), "a=5; d=4");
}

#[test]
fn another_hosts_cookie_is_refused_and_so_is_a_public_suffixes() {
    for set in [
        "a=1; Domain=other.test",
        "a=1; Domain=com",
        "a=1; Domain=co.uk",
        "a=1; Domain=www.site.co.uk",
        "a=1; Domain=e.co.uk",
    ] {
        let mut jar = jar("http://site.co.uk/", &[set]);
        assert_eq!((sent(&mut jar, "http://site.co.uk/"), jar.refused()), (String::new(), 1), "{set}");
    }
    // The suffix's own host may keep one to itself.
    let mut own = jar("http://github.io/", &["a=1; Domain=github.io"]);
    assert_eq!(sent(&mut own, "http://github.io/"), "a=1");
    assert_eq!(sent(&mut own, "http://mine.github.io/"), "");
    let mut below = jar("http://mine.github.io/", &["a=1; Domain=github.io"]);
    assert_eq!(sent(&mut below, "http://mine.github.io/"), "");
    // An address is nobody's domain.
    let mut address = jar("http://10.0.2.2/", &["a=1; Domain=0.2.2", "b=2; Domain=10.0.2.2"]);
    assert_eq!(sent(&mut address, "http://10.0.2.2/"), "b=2");
    assert_eq!(sent(&mut address, "http://10.0.2.3/"), "");
}

#[test]
fn secure_cookies_are_made_and_sent_over_https_only() {
    let mut jar = jar("https://h.test/", &["s=1; Secure; HttpOnly"]);
    assert_eq!(sent(&mut jar, "https://h.test/"), "s=1");
    assert_eq!(sent(&mut jar, "http://h.test/"), "");
    take(&mut jar, "http://h.test/", &["t=1; Secure"]);
    assert_eq!(sent(&mut jar, "https://h.test/"), "s=1");
    // Nor is one laid over it from http, by whatever domain or path.
    take(&mut jar, "http://h.test/", &["s=evil", "s=evil; Domain=h.test", "s=evil; Path=/deep"]);
    assert_eq!(sent(&mut jar, "https://h.test/deep"), "s=1");
    assert_eq!(jar.refused(), 4);
}

#[test]
fn prefixes_of_names_keep_their_promise() {
    let taken = |from: &str, set: &str| jar(from, &[set]).len() == 1;
    assert!(taken("https://h.test/", "__Secure-a=1; Secure"));
    assert!(!taken("https://h.test/", "__Secure-a=1"));
    assert!(!taken("https://h.test/", "__secure-a=1"));
    assert!(taken("https://h.test/x/", "__Host-a=1; Secure; Path=/"));
    assert!(!taken("https://h.test/", "__Host-a=1; Secure"));
    assert!(!taken("https://h.test/", "__Host-a=1; Secure; Path=/; Domain=h.test"));
    assert!(!taken("https://h.test/", "__HOST-a=1; Path=/"));
    assert!(!taken("http://h.test/", "__Host-a=1; Secure; Path=/"));
}

#[test]
fn same_site_cookies_stay_behind_when_a_redirect_crosses_sites() {
    let set = ["strict=1; SameSite=Strict", "lax=1; SameSite=Lax", "none=1; SameSite=None; Secure", "unsaid=1"];
    let mut jar = jar("https://bank.example.com/", &set);
    let to = url("https://bank.example.com/");
    let mut field = |method: Method, from: &[&str]| {
        let from: Vec<Url> = from.iter().map(|from| url(from)).collect();
        jar.field(&method, &to, &from, NOW).unwrap()
    };
    assert_eq!(field(Method::POST, &["https://www.example.com/"]), "strict=1; lax=1; none=1; unsaid=1");
    assert_eq!(field(Method::GET, &["https://evil.test/"]), "lax=1; none=1; unsaid=1");
    assert_eq!(field(Method::POST, &["https://evil.test/"]), "none=1");
    // A site is its scheme too.
    assert_eq!(field(Method::POST, &["http://bank.example.com/"]), "none=1");
    take(&mut jar, "https://bank.example.com/", &["bad=1; SameSite=None"]);
    assert_eq!(jar.refused(), 1);
}

#[test]
fn max_age_wins_over_expires_and_the_past_deletes() {
    let mut jar = Jar::default();
    let now = super::now();
    let from = url("http://h.test/");
    let set = |jar: &mut Jar, set: &str| jar.take(&from, [set.as_bytes()], now);
    set(&mut jar, "a=1; Max-Age=100; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    set(&mut jar, "b=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT");
    set(&mut jar, "c=1");
    assert_eq!(jar.field(&Method::GET, &from, &[], now).unwrap(), "a=1; b=1; c=1");
    assert_eq!(jar.field(&Method::GET, &from, &[], now + 200).unwrap(), "b=1; c=1");
    // No longer than 400 days.
    assert_eq!(jar.field(&Method::GET, &from, &[], now + 401 * 86_400).unwrap(), "c=1");
    set(&mut jar, "c=; Max-Age=0");
    assert_eq!(jar.field(&Method::GET, &from, &[], now), None);
    set(&mut jar, "d=1; Max-Age=-99999999999999999999");
    set(&mut jar, "e=1; Max-Age=99999999999999999999");
    let lines = jar.lines(now);
    assert!(lines.iter().all(|line| line.name == "e"), "{lines:?}");
}

#[test]
fn what_no_field_may_hold_is_refused() {
    let long = format!("a={}", "x".repeat(4096));
    let mut jar = jar("http://h.test/", &["a\u{1}=1", "a=1\n2", "noequals", "=value", &long, "", "ok=1"]);
    assert_eq!(sent(&mut jar, "http://h.test/"), "ok=1");
    assert_eq!(jar.refused(), 6);
    jar.take(&url("http://h.test/"), [&b"a=\xff"[..]], NOW);
    assert_eq!(jar.refused(), 7);
}

#[test]
fn a_site_and_the_whole_jar_have_their_limits_and_the_longest_unused_go() {
    let mut jar = Jar::default();
    for number in 0..MOST_OF_A_DOMAIN {
        take(&mut jar, &format!("http://h{}.example.com/", number % 9), &[&format!("c{number}=1")]);
    }
    take(&mut jar, "https://example.com/", &["safe=1; Secure"]);
    assert_eq!(jar.len(), MOST_OF_A_DOMAIN);
    assert_eq!(sent(&mut jar, "http://h0.example.com/").split("; ").next(), Some("c9=1"));
    for number in 0..2 * MOST {
        take(&mut jar, &format!("http://host{number}.test/"), &["c=1"]);
    }
    assert_eq!(jar.len(), MOST);
    assert_eq!(sent(&mut jar, "http://host0.test/"), "");
    assert_eq!(sent(&mut jar, "https://example.com/"), "safe=1");
}

#[test]
fn a_response_sets_no_more_than_so_many_and_a_request_carries_no_more_than_so_much() {
    let set: Vec<String> = (0..1000).map(|number| format!("c{number}={}", "x".repeat(1000))).collect();
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    let mut jar = jar("http://h.test/", &set);
    assert!(jar.len() <= MOST_OF_A_DOMAIN && jar.refused() > 0);
    assert!(sent(&mut jar, "http://h.test/").len() <= 8000);
}

#[test]
fn a_file_has_what_other_programs_read_and_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cookies.txt");
    let cookies = Cookies::load(&path).unwrap();
    assert!(cookies.is_empty());
    let set = ["s=1; Secure; HttpOnly", "d=2; Domain=example.com; Path=/x; Max-Age=1000", "empty="];
    cookies.jar().take(&url("https://www.example.com/"), set.map(str::as_bytes), super::now());
    cookies.save(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# Netscape HTTP Cookie File\n"), "{text}");
    assert!(text.contains("\n#HttpOnly_www.example.com\tFALSE\t/\tTRUE\t0\ts\t1\n"), "{text}");
    assert!(text.contains("\n.example.com\tTRUE\t/x\tFALSE\t"), "{text}");
    let again = Cookies::load(&path).unwrap();
    assert_eq!(again.len(), 3);
    let to = url("https://www.example.com/x");
    assert_eq!(again.field(&Method::GET, &to, &[]), cookies.field(&Method::GET, &to, &[]));
    again.save(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_file_is_told_by_its_line_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cookies.txt");
    for (text, line) in [
        ("# Netscape HTTP Cookie File\n\nh.test\tFALSE\t/\tFALSE\t0\tname", None),
        ("# Netscape HTTP Cookie File\r\nh.test\tFALSE\t/\tFALSE\t0\tname\tvalue\r\n", None),
        ("<html>\n", Some(1)),
        ("# x\nh.test\tFALSE\t/\tFALSE\t0\n", Some(2)),
        ("h.test\tMAYBE\t/\tFALSE\t0\ta\tb\n", Some(1)),
        ("h.test\tFALSE\tpath\tFALSE\t0\ta\tb\n", Some(1)),
        ("h.test\tFALSE\t/\tFALSE\tsoon\ta\tb\n", Some(1)),
        ("\tFALSE\t/\tFALSE\t0\ta\tb\n", Some(1)),
        ("..test\tTRUE\t/\tFALSE\t0\ta\tb\n", Some(1)),
        ("h.test\tFALSE\t/\tFALSE\t0\ta\tb\tc\n", Some(1)),
    ] {
        fs::write(&path, text).unwrap();
        match (Cookies::load(&path), line) {
            (Ok(cookies), None) => assert_eq!(cookies.len(), 1),
            (Err(CookiesError::Damaged { line: at, .. }), Some(line)) => assert_eq!(at, line, "{text}"),
            (other, _) => panic!("{text}: {:?}", other.map(|cookies| cookies.len())),
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::write(&path, b"h.test\tFALSE\t/\tFALSE\t0\ta\t\xff\n").unwrap();
    assert!(matches!(Cookies::load(&path), Err(CookiesError::Damaged { line: 1, .. })));
    assert!(matches!(Cookies::load(folder.path()), Err(CookiesError::Read { .. })));
}

#[test]
fn what_a_file_says_is_held_to_the_same_rules() {
    let mut jar = Jar::default();
    let line = |domain: &str, subdomains, name: &str| Line {
        domain: domain.to_owned(),
        subdomains,
        path: "/".to_owned(),
        secure: false,
        http_only: false,
        expires: 0,
        name: name.to_owned(),
        value: "1".to_owned(),
    };
    jar.take_lines(vec![line("com", true, "a"), line("h.test", false, "__Secure-b"), line("h.test", false, "c")], NOW);
    assert_eq!((jar.len(), jar.refused()), (1, 2));
    let past = Line { expires: 1, ..line("h.test", false, "old") };
    jar.take_lines(vec![past], NOW);
    assert_eq!(sent(&mut jar, "http://h.test/"), "c=1");
}

/// Files mutated at random from a fixed seed: read or refused, never a panic, and what is read is written and read alike.
#[test]
fn no_mutation_of_a_file_panics_and_what_is_read_is_written_alike() {
    let text = "# Netscape HTTP Cookie File\n\n#HttpOnly_www.example.com\tFALSE\t/\tTRUE\t0\ts\t1\n\
                .example.com\tTRUE\t/x\tFALSE\t1900000000\td\tvalue\n";
    let mut state = 0x5eed_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for _ in 0..20_000 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..1 + random() % 6 {
            let at = random() % bytes.len();
            match random() % 3 {
                0 => bytes[at] = random() as u8,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, b"\t\n#. ;="[random() % 7]),
            }
        }
        let Ok(lines) = file::parse(&bytes) else { continue };
        assert_eq!(file::parse(file::print(&lines).as_bytes()).as_deref(), Ok(&lines[..]));
        let mut jar = Jar::default();
        jar.take_lines(lines, NOW);
        let _ = sent(&mut jar, "https://www.example.com/x");
    }
}
