//! `wharf wget` against nginx over TAP.

#![allow(clippy::print_stdout, reason = "what was seen is told")]

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use wharf_interop::{Finished, Names, Payload, Program, Tap, Web, World, in_namespace, sha256_of_file, start_caddy};

use crate::origin::{Heard, Origin, say};
use crate::site::{Site, names};

const GIB: u64 = 1 << 30;

/// A TAP device with a DHCP and DNS server and a web server on it.
fn site(world: &World) -> (Tap, Names<'_>, Web) {
    let tap = world.tap();
    let names = Names::dhcp_and_dns(world, &tap, &[]);
    let web = Web::start(world, IpAddr::V4(tap.address), &["files.test", &tap.address.to_string()]);
    (tap, names, web)
}

fn report(what: &str, run: &Finished, bytes: u64) {
    println!("{what}: {:.2} Gbit/s", bytes as f64 * 8.0 / run.elapsed.as_nanos() as f64);
}

#[test]
fn a_gibibyte_over_http_and_no_inet_socket() {
    in_namespace(|world| {
        let (tap, _names, web) = site(world);
        let hash = Payload::new(10).write_file(&web.file("big.bin"), GIB);
        let got = world.path("got.bin");
        let (wget, trace) = world.wharf_traced(
            "socket",
            &["wget", "http://files.test/big.bin", "-O", &got.to_string_lossy(), "--link", &tap.link()],
        );
        let run = wget.run().succeeded();
        report("http over TAP", &run, GIB);
        assert_eq!(sha256_of_file(&got), hash);
        let trace = fs::read_to_string(trace).unwrap();
        assert!(!trace.contains("AF_INET"), "wharf opened a socket of the kernel's:\n{trace}");
    });
}

#[test]
fn a_gibibyte_over_https_by_the_test_authority_and_no_inet_socket() {
    in_namespace(|world| {
        let (tap, _names, web) = site(world);
        let hash = Payload::new(11).write_file(&web.file("big.bin"), GIB);
        let (got, ca) = (world.path("got.bin"), world.ca_file());
        let (wget, trace) = world.wharf_traced(
            "socket",
            &[
                "wget",
                "https://files.test/big.bin",
                "-O",
                &got.to_string_lossy(),
                "--ca",
                &ca.to_string_lossy(),
                "--link",
                &tap.link(),
            ],
        );
        let run = wget.run().succeeded();
        report("https over TAP", &run, GIB);
        assert_eq!(sha256_of_file(&got), hash);
        let trace = fs::read_to_string(trace).unwrap();
        assert!(!trace.contains("AF_INET"), "wharf opened a socket of the kernel's:\n{trace}");
    });
}

#[test]
fn an_unknown_authority_is_refused_by_name_and_leaves_no_file() {
    in_namespace(|world| {
        let (tap, _names, _web) = site(world);
        let into = world.make_directory("into");
        let got = into.join("small.txt");
        let _ = world
            .wharf(&["wget", "https://files.test/small.txt", "-O", &got.to_string_lossy(), "--link", &tap.link()])
            .run()
            .failed_saying(&["certificate", "files.test", "issuer|authority|--ca"]);
        assert_eq!(fs::read_dir(into).unwrap().count(), 0, "something was left behind");
    });
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dhcp_and_dns(world, &tap, &[]);
        let _web = Web::start(world, IpAddr::V4(tap.address), &["other.test"]);
        let ca = world.ca_file();
        let _ = world
            .wharf(&["wget", "https://files.test/small.txt", "--ca", &ca.to_string_lossy(), "--link", &tap.link()])
            .run()
            .failed_saying(&["certificate", "files.test", "name"]);
    });
}

#[test]
fn redirects_are_followed_ten_times_and_from_http_to_https() {
    in_namespace(|world| {
        let (tap, _names, _web) = site(world);
        let (got, ca) = (world.path("got"), world.ca_file());
        let wget = |url: &str| {
            let (got, ca) = (got.to_string_lossy(), ca.to_string_lossy());
            world.wharf(&["wget", url, "-O", &got, "--ca", &ca, "--link", &tap.link()]).run()
        };
        for url in ["http://files.test/redirect/9", "http://files.test/moved"] {
            wget(url).expect_success();
            assert_eq!(fs::read_to_string(&got).unwrap(), "small\n");
            fs::remove_file(&got).unwrap();
        }
        let _ = wget("http://files.test/redirect/10").failed_saying(&["redirect"]);
        assert!(!got.exists());
    });
}

#[test]
fn an_address_by_hand_needs_no_dhcp() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dns(world, tap.address);
        let _web = Web::start(world, IpAddr::V4(tap.address), &["files.test"]);
        let got = world.path("got");
        let by_hand = tap.by_hand();
        let mut arguments = vec!["wget", "http://alias.test/small.txt", "-O"];
        let into = got.to_string_lossy();
        arguments.push(&into);
        arguments.extend(by_hand.iter().map(String::as_str));
        world.wharf(&arguments).run().expect_success();
        assert_eq!(fs::read_to_string(&got).unwrap(), "small\n");
    });
}

#[test]
fn every_mtu_from_576_to_9000_carries_a_file() {
    in_namespace(|world| {
        for (number, mtu) in [576, 1280, 1492, 1500, 4000, 9000].into_iter().enumerate() {
            let names = ["tap0", "tap1", "tap2", "tap3", "tap4", "tap5"];
            let address = std::net::Ipv4Addr::new(10, 10, number as u8, 1);
            let tap = world.tap_with(Tap { name: names[number], address, mtu });
            let web = Web::start(world, IpAddr::V4(address), &["files.test"]);
            let hash = Payload::new(u64::from(mtu)).write_file(&web.file("file.bin"), 16 << 20);
            let got = world.path("got.bin");
            let (url, into, by_hand) = (format!("http://{address}/file.bin"), got.to_string_lossy(), tap.by_hand());
            let mut arguments = vec!["wget", url.as_str(), "-O", &into];
            arguments.extend(by_hand.iter().map(String::as_str));
            let run = world.wharf(&arguments).run().succeeded();
            report(&format!("MTU {mtu}"), &run, 16 << 20);
            assert_eq!(sha256_of_file(&got), hash, "MTU {mtu}");
            fs::remove_file(&got).unwrap();
        }
    });
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn several_urls_at_once_and_those_of_a_list_are_saved_and_the_first_failure_is_the_commands() {
    in_namespace(|world| {
        let site = Site::new(world);
        let _web = Web::start(world, IpAddr::V4(site.tap.address), &["files.test"]);
        let origin = Origin::start(&site.tap, |heard, stream| {
            let status = if heard.path == "/private" { 401 } else { 200 };
            say(stream, heard, status, "", heard.path.as_bytes())
        });
        let urls: Vec<String> = (0..10).map(|number| origin.url(&format!("/file{number}"))).collect();
        fs::write(world.path("list"), format!("# mine\n{}\n\n{}\n", urls[8], urls[9])).unwrap();
        let list = world.path("list").to_string_lossy().into_owned();
        let mut arguments: Vec<&str> = urls[..8].iter().map(String::as_str).collect();
        arguments.extend(["-i", &list, "--json"]);
        let run = site.wget(&arguments).run().succeeded();
        assert_eq!(site.names(), (0..10).map(|number| format!("file{number}")).collect::<Vec<_>>());
        assert_eq!(site.read("file7"), b"/file7");
        assert_eq!(run.stdout.lines().filter(|line| line.starts_with("{\"url\":")).count(), 10, "{run}");

        let missing = format!("http://{}/nothing-here", site.tap.address);
        let run = site.wget(&[&origin.url("/good"), &missing, &origin.url("/private"), &urls[0]]).run();
        assert_eq!(run.code(), 8, "{run}");
        let run = run.failed_saying(&["nothing-here: http: .* answered 404|answered 404", "answered 401"]);
        assert!(run.stdout.contains("saved good: ") && run.stdout.contains("saved file0.1: "), "{run}");
        let run = site.wget(&[&origin.url("/private"), &missing, "--quiet"]).run();
        assert_eq!(run.code(), 6, "{run}");
    });
}

/// Serves `body` with an entity tag and ranges; the first time only `first` bytes of it.
fn interrupted(tap: &Tap, body: Vec<u8>, first: usize) -> Origin {
    Origin::start(tap, move |heard, stream| {
        let etag = "ETag: \"one\"\r\n";
        let conditional = heard.field("if-range").is_none_or(|etag| etag == "\"one\"");
        match heard.range() {
            Some(from) if conditional && from >= body.len() => {
                say(stream, heard, 416, &format!("Content-Range: bytes */{}\r\n", body.len()), b"")
            }
            Some(from) if conditional => {
                let range = format!("Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
                say(stream, heard, 206, &format!("{etag}{range}"), &body[from..])
            }
            _ if heard.times == 1 => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{etag}\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..first]));
                false
            }
            _ => say(stream, heard, 200, etag, &body),
        }
    })
}

#[test]
fn what_was_cut_short_is_gone_on_with_and_has_no_name_until_it_is_whole() {
    in_namespace(|world| {
        let site = Site::new(world);
        let body = noise(300_000);
        let origin = interrupted(&site.tap, body.clone(), 120_000);
        let url = origin.url("/big");
        let run = site.wget(&["-c", &url]).run();
        assert_eq!(run.code(), 7, "{run}");
        let _ = run.failed_saying(&["cut short", "of 300000 bytes", "kept in .*big.part|big.part", "-c goes on"]);
        assert_eq!(site.names(), ["big.part", "big.part.json"]);
        let run = site.wget(&["-c", &url, "-S"]).run().succeeded();
        assert!(run.stderr.contains("content-range: bytes 120000-299999/300000"), "{run}");
        assert!(site.read("big") == body);
        assert_eq!(site.names(), ["big"]);
        let asked = origin.heard("/big").remove(1);
        assert_eq!((asked.range(), asked.field("if-range")), (Some(120_000), Some("\"one\"")));
        // Once more: it is whole, and stays as it is.
        let run = site.wget(&["-c", &url]).run().succeeded();
        assert!(run.stdout.contains("big is whole already"), "{run}");
        assert_eq!((origin.asked("/big"), site.names()), (3, vec!["big".to_owned()]));
    });
}

#[test]
fn another_version_or_a_server_without_ranges_is_fetched_anew() {
    in_namespace(|world| {
        let site = Site::new(world);
        let origin = Origin::start(&site.tap, |heard, stream| {
            if heard.times == 1 {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: \"old\"\r\n\r\nfrom the old";
                let _ = stream.write_all(head);
                return false;
            }
            say(stream, heard, 200, "ETag: \"new\"\r\n", b"all of the new")
        });
        let _ = site.wget(&["-c", &origin.url("/f")]).run().failed_saying(&["cut short"]);
        assert_eq!(site.names(), ["f.part", "f.part.json"]);
        let run = site.wget(&["-c", &origin.url("/f")]).run().succeeded();
        assert!(run.stderr.contains("fetched anew"), "{run}");
        assert_eq!((site.read("f"), site.names()), (b"all of the new".to_vec(), vec!["f".to_owned()]));
        assert_eq!(origin.heard("/f")[1].range(), Some(12));

        // A server that answers a range with an error leaves the part as it is.
        let origin = Origin::start(&site.tap, |heard, stream| match heard.times {
            1 => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: \"a\"\r\n\r\nhalf");
                false
            }
            _ => say(stream, heard, 503, "", b""),
        });
        let _ = site.wget(&["-c", &origin.url("/g")]).run().failed_saying(&["cut short"]);
        let _ = site.wget(&["-c", &origin.url("/g")]).run().failed_saying(&["503"]);
        assert_eq!(site.read("g.part"), b"half");
    });
}

#[test]
fn a_pulled_cable_is_told_and_after_it_is_back_the_download_goes_on() {
    in_namespace(|world| {
        let site = Site::new(world);
        let body = noise(400_000);
        let served = body.clone();
        let origin = Origin::start(&site.tap, move |heard, stream| {
            let range = heard.range();
            let from = range.unwrap_or(0);
            let head = match range {
                None => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", served.len()),
                Some(from) => format!(
                    "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\n",
                    served.len() - from,
                    served.len() - 1,
                    served.len()
                ),
            };
            let sent = stream.write_all(format!("{head}ETag: \"a\"\r\n\r\n").as_bytes());
            let until = if range.is_none() { 150_000 } else { served.len() };
            let sent = sent.and_then(|()| stream.write_all(&served[from..until]));
            if range.is_none() {
                // The rest never comes, until the client goes.
                let _ = stream.read(&mut [0]);
            }
            sent.is_ok() && range.is_some()
        });
        let url = origin.url("/file");
        let running = site.wget(&["-c", &url, "--timeout", "2"]).start();
        let deadline = Instant::now() + Duration::from_secs(120);
        while fs::metadata(site.into.join("file.part")).map_or(0, |metadata| metadata.len()) < 150_000 {
            assert!(Instant::now() < deadline, "the first half does not come");
            thread::sleep(Duration::from_millis(5));
        }
        world.ip(&["link", "set", "tap0", "down"]);
        let run = running.wait();
        assert!(matches!(run.code(), 4 | 7), "{run}");
        let _ = run.failed_saying(&["file.part", "-c goes on"]);
        assert_eq!(site.names(), ["file.part", "file.part.json"]);
        world.ip(&["link", "set", "tap0", "up"]);
        let _ = site.wget(&["-c", &url]).run().succeeded();
        assert!(site.read("file") == body);
        assert_eq!(origin.heard("/file")[1].range(), Some(150_000));
    });
}

#[test]
fn on_a_disk_that_fills_the_part_stays_and_goes_on_when_there_is_room() {
    in_namespace(|world| {
        let site = Site::new(world);
        let body = noise(3 << 20);
        let origin = interrupted(&site.tap, body.clone(), 3 << 20);
        let disk = world.small_disk(5 << 20);
        let ballast = disk.join("ballast");
        fs::write(&ballast, vec![1; 4 << 20]).unwrap();
        let into = disk.join("file").to_string_lossy().into_owned();
        let run = site.wget(&["-c", &origin.url("/file"), "-O", &into]).run();
        assert_eq!(run.code(), 3, "{run}");
        let _ = run.failed_saying(&["the disk is full", "-c goes on"]);
        assert_eq!(names(&disk), ["ballast", "file.part", "file.part.json"]);
        fs::remove_file(ballast).unwrap();
        let _ = site.wget(&["-c", &origin.url("/file"), "-O", &into]).run().succeeded();
        assert!(fs::read(&into).unwrap() == body);
        assert!(origin.heard("/file")[1].range().is_some_and(|from| from > 100_000));
        assert_eq!(names(&disk), ["file"]);
    });
}

#[test]
fn a_body_longer_than_promised_is_told_and_leaves_no_file() {
    in_namespace(|world| {
        let site = Site::new(world);
        let origin = Origin::start(&site.tap, |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more");
            false
        });
        let _ = site.wget(&[&origin.url("/f")]).run().failed_saying(&["longer|more than|too much"]);
        assert!(site.names().is_empty());
    });
}

/// Sets a cookie where there is none, and says which came.
fn cookies(heard: &Heard, stream: &mut TcpStream) -> bool {
    let set = "Set-Cookie: session=abc; HttpOnly; Path=/\r\nSet-Cookie: evil=1; Domain=test\r\n";
    say(stream, heard, 200, set, heard.field("cookie").unwrap_or("none").as_bytes())
}

#[test]
fn cookies_are_kept_from_one_command_to_the_next_in_a_file_of_their_owners() {
    in_namespace(|world| {
        let site = Site::new(world);
        let origin = Origin::start(&site.tap, cookies);
        let jar = world.path("cookies.txt");
        let file = jar.to_string_lossy().into_owned();
        let said = |more: &[&str]| {
            let mut arguments = vec![more[0], "-O", "-", "--cookies", &file];
            arguments.extend(&more[1..]);
            site.wget(&arguments).run().succeeded().stdout
        };
        let url = origin.url("/");
        assert_eq!(said(&[&url]), "none");
        let text = fs::read_to_string(&jar).unwrap();
        assert!(text.contains("#HttpOnly_10.9.0.1\tFALSE\t/\tFALSE\t0\tsession\tabc\n"), "{text}");
        assert!(!text.contains("evil"), "{text}");
        assert_eq!(fs::metadata(&jar).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(said(&[&url]), "session=abc");
        assert_eq!(said(&[&url, "--header", "Cookie: mine=1"]), "mine=1; session=abc");
        fs::write(&jar, "not cookies\n").unwrap();
        let run = site.wget(&[&url, "-O", "-", "--cookies", &file]).run();
        assert_eq!(run.code(), 3, "{run}");
        let _ = run.failed_saying(&["cookies.txt is not a file of cookies", "line 1"]);
        assert_eq!((fs::read_to_string(&jar).unwrap(), origin.asked("/")), ("not cookies\n".to_owned(), 3));
    });
}

#[test]
fn curl_reads_the_cookies_and_wharf_reads_curls() {
    in_namespace(|world| {
        let site = Site::new(world);
        let origin = Origin::start(&site.tap, cookies);
        let file = world.path("jar").to_string_lossy().into_owned();
        let (url, into) = (origin.url("/"), world.path("page").to_string_lossy().into_owned());
        let curl = |arguments: &[&str]| {
            let arguments = [&["-sS", "-o", &into, &url][..], arguments].concat();
            Program::new(world, "curl").arguments(&arguments).run().expect_success();
        };
        let _ = site.wget(&[&url, "--cookies", &file, "-q", "-O", &into]).run().succeeded();
        curl(&["-b", &file]);
        fs::remove_file(&file).unwrap();
        curl(&["-c", &file]);
        let _ = site.wget(&[&url, "--cookies", &file, "-q", "-O", &into]).run().succeeded();
        let came: Vec<_> = origin.heard("/").iter().map(|heard| heard.field("cookie").map(str::to_owned)).collect();
        let session = Some("session=abc".to_owned());
        assert_eq!(came, [None, session.clone(), None, session]);
    });
}

/// A MiB of zeros by gzip, as `head -c 1M /dev/zero | gzip` gives it: the repeated block is left to gzip(1).
fn gzip(world: &World, plain: &[u8]) -> Vec<u8> {
    let path = world.path("plain");
    fs::write(&path, plain).unwrap();
    Program::new(world, "gzip").arguments(&["-9", "-f", &path.to_string_lossy()]).run().expect_success();
    fs::read(world.path("plain.gz")).unwrap()
}

#[test]
fn coded_bodies_are_undone_if_that_was_asked_for_and_a_bomb_is_told() {
    in_namespace(|world| {
        let site = Site::new(world);
        let page = gzip(world, b"a page\n");
        let bomb = gzip(world, &vec![0; 64 << 20]);
        let coded = page.clone();
        let origin = Origin::start(&site.tap, move |heard, stream| {
            let body = if heard.path == "/bomb" { &bomb } else { &page };
            let body = if heard.path == "/cut" { &body[..body.len() - 5] } else { &body[..] };
            say(stream, heard, 200, "Content-Encoding: gzip\r\n", body)
        });
        let _ = site.wget(&[&origin.url("/page"), "--compressed"]).run().succeeded();
        assert_eq!(site.read("page"), b"a page\n");
        assert_eq!(origin.heard("/page")[0].field("accept-encoding"), Some("zstd, br, gzip, deflate"));
        let _ = site.wget(&[&origin.url("/page"), "-O", "raw"]).run().succeeded();
        assert_eq!((site.read("raw"), origin.heard("/page")[1].field("accept-encoding")), (coded, None));
        for (path, words) in [("/bomb", "a decompression bomb"), ("/cut", "cut short")] {
            let run = site.wget(&[&origin.url(path), "--compressed"]).run();
            assert_eq!(run.code(), 7, "{run}");
            let _ = run.failed_saying(&[words]);
        }
        assert_eq!(site.names(), ["page", "raw"]);
    });
}

#[test]
fn method_and_body_are_sent_as_given_and_the_answer_is_shown() {
    in_namespace(|world| {
        let site = Site::new(world);
        let origin = Origin::start(&site.tap, |heard, stream| {
            say(stream, heard, 201, "X-Said: yes\r\n", &[heard.method.as_bytes(), b" ", &heard.body].concat())
        });
        let body = world.path("body");
        fs::write(&body, noise(200_000)).unwrap();
        let (url, file) = (origin.url("/"), body.to_string_lossy().into_owned());
        let _ = site.wget(&[&url, "--body-file", &file, "-O", "one"]).run().succeeded();
        assert!(site.read("one") == [b"POST ", &noise(200_000)[..]].concat());
        let run = site.wget(&[&url, "--body-file", &file, "--method", "PUT", "-O", "two", "-S", "--timing"]).run();
        let run = run.succeeded();
        assert!(site.read("two").starts_with(b"PUT "));
        assert!(run.stderr.contains("HTTP/1.1 201") && run.stderr.contains("x-said: yes"), "{run}");
        assert!(run.stderr.contains("time of two: ") && run.stderr.contains("first byte "), "{run}");
        let run = site.wget(&[&url, "--method", "DELETE", "--json", "-S", "--timing", "-O", "three"]).run().succeeded();
        assert_eq!(site.read("three"), b"DELETE ");
        for word in ["\"headers\":[[", "[\"x-said\",\"yes\"]", "\"timing\":{", "\"first_byte\":"] {
            assert!(run.stdout.contains(word), "{word}: {run}");
        }
        let missing = site.wget(&[&url, "--body-file", "/nowhere"]).run();
        assert_eq!(missing.code(), 3, "{missing}");
    });
}

#[test]
fn the_rate_is_limited_for_all_downloads_together() {
    in_namespace(|world| {
        let site = Site::new(world);
        let origin = Origin::start(&site.tap, |heard, stream| say(stream, heard, 200, "", &noise(100 << 10)));
        let run =
            site.wget(&[&origin.url("/a"), &origin.url("/b"), "--limit-rate", "100k", "--json"]).run().succeeded();
        // 200 KiB at 100 KiB a second: never sooner, however late.
        assert!(run.elapsed > Duration::from_millis(1800), "{run}");
        assert_eq!((site.read("a").len(), site.read("b").len()), (100 << 10, 100 << 10));
    });
}

#[test]
fn a_proxy_is_taken_from_the_option_or_from_the_environment_as_curl_does() {
    in_namespace(|world| {
        let site = Site::new(world);
        // It answers for everybody, with what it was asked for.
        let proxy = Origin::start(&site.tap, |heard, stream| say(stream, heard, 200, "", heard.path.as_bytes()));
        let origin = Origin::start(&site.tap, |heard, stream| say(stream, heard, 200, "", b"itself"));
        let (by, url) = (proxy.url(""), origin.url("/page"));
        let said = |option: &[&str], environment: &[(&str, &str)]| {
            let mut arguments = vec![&*url, "-O", "-"];
            arguments.extend(option);
            let wget =
                environment.iter().fold(site.wget(&arguments), |wget, (name, value)| wget.environment(name, value));
            wget.run().succeeded().stdout
        };
        let host = site.tap.address.to_string();
        assert_eq!(said(&[], &[]), "itself");
        assert_eq!(said(&["--proxy", &by], &[]), url);
        assert_eq!(said(&[], &[("http_proxy", &by)]), url);
        assert_eq!(said(&[], &[("all_proxy", &by)]), url);
        assert_eq!(said(&["--no-proxy"], &[("http_proxy", &by)]), "itself");
        assert_eq!(said(&[], &[("http_proxy", &by), ("no_proxy", &host)]), "itself");
        assert_eq!(said(&["--proxy", &by], &[("NO_PROXY", &host)]), "itself");
        let run = site.wget(&[&url, "--proxy", "carrier-pigeon://h"]).run();
        assert_eq!(run.code(), 2, "{run}");
    });
}

#[test]
fn the_version_of_http_is_the_servers_choice_or_the_commands() {
    in_namespace(|world| {
        let site = Site::new(world);
        let _names = Names::dns(world, site.tap.address);
        let root = world.make_directory("www").to_string_lossy().into_owned();
        start_caddy(world, site.tap.address, &root, "files.test");
        let ca = world.ca_file().to_string_lossy().into_owned();
        for (option, version) in
            [("-q", "HTTP/2.0"), ("--http1", "HTTP/1.1"), ("--http2", "HTTP/2.0"), ("--http3", "HTTP/3.0")]
        {
            let url = "https://files.test:4433/proto";
            let run = site.wget(&[url, "-O", "-", "--ca", &ca, option]).run().succeeded();
            assert_eq!(run.stdout, version, "{option}: {run}");
        }
        let run = site.wget(&["http://files.test/", "--http3"]).run();
        let _ = run.failed_saying(&["http/3", "https"]);
        for contradiction in [["--http1", "--http2"], ["--http2", "--http3"]] {
            let run = site.wget(&["http://files.test/", contradiction[0], contradiction[1]]).run();
            assert_eq!(run.code(), 2, "{run}");
        }
    });
}
