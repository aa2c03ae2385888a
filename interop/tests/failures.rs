//! What `wharf wget` says when it cannot: each failure its own message and a non-zero exit, and nothing under the final
//! name.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use wharf_interop::{Finished, Names, Payload, Tap, Web, World, in_namespace};

/// A world with a TAP device and a DNS server, and a directory that has to stay empty.
struct Site<'a> {
    world: &'a World,
    tap: Tap,
    into: PathBuf,
}

impl<'a> Site<'a> {
    fn new(world: &'a World) -> Self {
        let tap = world.tap();
        let _names = Names::dns(world, tap.address);
        Self { world, tap, into: world.make_directory("into") }
    }

    fn wget(&self, url: &str, more: &[&str]) -> Finished {
        let (into, by_hand) = (self.into.join("file"), self.tap.by_hand());
        let into = into.to_string_lossy();
        let mut arguments = vec!["wget", url, "-O", &into];
        arguments.extend(by_hand.iter().map(String::as_str));
        arguments.extend(more);
        self.world.wharf(&arguments).run()
    }

    fn assert_nothing_left(&self) {
        assert_eq!(fs::read_dir(&self.into).unwrap().count(), 0, "something was left behind");
    }

    /// Serves one connection with `answer`, which gets it after the request's head was read.
    fn serve(&self, answer: impl FnOnce(TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind((self.tap.address, 0)).unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            answer(stream);
        });
        url
    }
}

#[test]
fn a_name_that_does_not_exist() {
    in_namespace(|world| {
        let site = Site::new(world);
        let _ = site.wget("http://missing.test/", &[]).failed_saying(&["missing.test", "not exist|NXDOMAIN|no such"]);
        site.assert_nothing_left();
    });
}

#[test]
fn a_host_that_is_not_there() {
    in_namespace(|world| {
        let site = Site::new(world);
        let _ = site
            .wget("http://silent.test/", &[])
            .failed_saying(&["10.9.0.66", "arp|no answer|unreachable|does not answer"]);
        site.assert_nothing_left();
    });
}

#[test]
fn a_network_that_the_host_has_no_way_to() {
    in_namespace(|world| {
        let said = ["192.0.2.1:80", "unreachable", "does a route lead there"];
        let _ = world.wharf(&["wget", "http://192.0.2.1/", "-O", "-"]).run().failed_saying(&said);
    });
}

#[test]
fn a_closed_port() {
    in_namespace(|world| {
        let site = Site::new(world);
        let _ = site.wget("http://files.test:81/", &[]).failed_saying(&["refused", "81"]);
        site.assert_nothing_left();
    });
}

#[test]
fn a_host_that_swallows_every_segment() {
    in_namespace(|world| {
        // The gateway is there, forwards nothing, and says nothing about it.
        let site = Site::new(world);
        let _ = site.wget("http://192.0.2.1/", &["--timeout", "2"]).failed_saying(&["192.0.2.1", "time"]);
        site.assert_nothing_left();
    });
}

#[test]
fn a_server_that_never_answers() {
    in_namespace(|world| {
        let site = Site::new(world);
        let url = site.serve(|mut stream| {
            // Nothing, until the client goes.
            let _ = stream.read(&mut [0]);
        });
        let _ = site.wget(&url, &["--timeout", "2"]).failed_saying(&["time"]);
        site.assert_nothing_left();
    });
}

#[test]
fn a_server_that_falls_silent_in_the_body() {
    in_namespace(|world| {
        let site = Site::new(world);
        let url = site.serve(|mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbeginning").unwrap();
            let _ = stream.read(&mut [0]);
        });
        let _ = site.wget(&url, &["--timeout", "2"]).failed_saying(&["time"]);
        site.assert_nothing_left();
    });
}

#[test]
fn a_body_cut_short_by_its_length() {
    in_namespace(|world| {
        let site = Site::new(world);
        let url = site.serve(|mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").unwrap();
            stream.write_all(&[7; 50_000]).unwrap();
        });
        let _ = site.wget(&url, &[]).failed_saying(&["cut short|incomplete|before|early|of 100000"]);
        site.assert_nothing_left();
    });
}

#[test]
fn a_chunked_body_without_its_end() {
    in_namespace(|world| {
        let site = Site::new(world);
        let url = site.serve(|mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").unwrap();
        });
        let _ = site.wget(&url, &[]).failed_saying(&["cut short|incomplete|before|early"]);
        site.assert_nothing_left();
    });
}

#[test]
fn a_connection_reset_in_the_body() {
    in_namespace(|world| {
        let site = Site::new(world);
        let url = {
            let listener = TcpListener::bind((site.tap.address, 0)).unwrap();
            let url = format!("http://{}/file", listener.local_addr().unwrap());
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                // One byte of the request is read, so that the rest lies there unread: then close() resets.
                stream.read_exact(&mut [0]).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbeginning").unwrap();
            });
            url
        };
        let _ = site.wget(&url, &[]).failed_saying(&["reset"]);
        site.assert_nothing_left();
    });
}

#[test]
fn a_full_disk() {
    in_namespace(|world| {
        let site = Site::new(world);
        let web = Web::start(world, IpAddr::V4(site.tap.address), &["files.test"]);
        let _ = Payload::new(5).write_file(&web.file("large"), 8 << 20);
        let disk = world.small_disk(1 << 20);
        let (into, by_hand) = (disk.join("large"), site.tap.by_hand());
        let into = into.to_string_lossy();
        let mut arguments = vec!["wget", "http://files.test/large", "-O", &into];
        arguments.extend(by_hand.iter().map(String::as_str));
        let _ = world.wharf(&arguments).run().failed_saying(&["space|full", "large"]);
        assert_eq!(fs::read_dir(disk).unwrap().count(), 0, "something was left behind");
    });
}

#[test]
fn a_directory_that_is_not_there() {
    in_namespace(|world| {
        let site = Site::new(world);
        let _web = Web::start(world, IpAddr::V4(site.tap.address), &["files.test"]);
        let by_hand = site.tap.by_hand();
        let mut arguments = vec!["wget", "http://files.test/small.txt", "-O", "/nowhere/at/all"];
        arguments.extend(by_hand.iter().map(String::as_str));
        let _ = world.wharf(&arguments).run().failed_saying(&["/nowhere/at/all"]);
    });
}

#[test]
fn a_page_that_is_not_found() {
    in_namespace(|world| {
        let site = Site::new(world);
        let _web = Web::start(world, IpAddr::V4(site.tap.address), &["files.test"]);
        let _ = site.wget("http://files.test/nothing-here", &[]).failed_saying(&["404"]);
        let _ = site.wget("http://files.test/teapot", &[]).failed_saying(&["418"]);
        site.assert_nothing_left();
    });
}

#[test]
fn an_existing_file_survives_a_failed_download() {
    in_namespace(|world| {
        let site = Site::new(world);
        let url = site.serve(|mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnew").unwrap();
        });
        fs::write(site.into.join("file"), "old").unwrap();
        let _ = site.wget(&url, &[]).failed_saying(&["cut short|incomplete|before|early|of 100"]);
        assert_eq!(fs::read_to_string(site.into.join("file")).unwrap(), "old");
        assert_eq!(fs::read_dir(&site.into).unwrap().count(), 1);
    });
}

#[test]
fn no_dhcp_server() {
    in_namespace(|world| {
        let tap = world.tap();
        let _ = world.wharf(&["wget", "http://files.test/", "--link", &tap.link()]).run().failed_saying(&[
            "dhcp",
            "tap0",
            "--address",
        ]);
    });
}

#[test]
fn a_gateway_that_does_not_answer() {
    in_namespace(|world| {
        let tap = world.tap();
        let _ = world
            .wharf(&[
                "wget",
                "http://192.0.2.1/",
                "--link",
                "tap:tap0",
                "--address",
                "10.9.0.2/24",
                "--gateway",
                "10.9.0.99",
                "--dns",
                "10.9.0.1",
            ])
            .run()
            .failed_saying(&["gateway|arp", "10.9.0.99"]);
        let _ = tap;
    });
}

#[test]
fn links_that_cannot_be() {
    in_namespace(|world| {
        for (link, words) in [
            ("tap:a-name-of-16-byt", &["a-name-of-16-byt", "15"][..]),
            ("carrier-pigeon", &["carrier-pigeon", "user", "tap:"]),
            ("fd:77", &["77"]),
            ("tap:", &["name"]),
        ] {
            let _ = world.wharf(&["ping", "10.9.0.1", "--link", link]).run().failed_saying(words);
        }
    });
}
