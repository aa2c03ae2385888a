//! `wharf wget` over the user link, against servers on the host's loopback: what arrives, and each way to fail with
//! its own message and status, and no file under the final name.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::thread;

use common::{PATIENCE, answer, closed_port, dns_server, http_server, read_head, run, tcp_server, wharf_in};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn a_page_is_saved_under_the_last_part_of_its_url() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|_| answer("200 OK", b"a page"));
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &format!("http://10.0.2.2:{port}/a/page.html")]);
    ran.expect_success();
    assert!(ran.stdout.starts_with("saved page.html: 6 bytes in "), "{}", ran.stdout);
    assert_eq!(names(folder.path()), ["page.html"]);
    assert_eq!(fs::read(folder.path().join("page.html")).unwrap(), b"a page");
}

#[test]
fn a_large_body_arrives_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|_| answer("200 OK", &noise(20 << 20)));
    wharf_in(folder.path(), &["wget", "--host-loopback", &format!("10.0.2.2:{port}/big"), "-O", "big"])
        .expect_success();
    assert!(fs::read(folder.path().join("big")).unwrap() == noise(20 << 20));
}

#[test]
fn standard_output_gets_the_body_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|_| answer("200 OK", b"a page"));
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &format!("10.0.2.2:{port}"), "-O", "-"]);
    ran.expect_success();
    assert_eq!(ran.stdout, "a page");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn json_tells_what_was_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|_| answer("200 OK", b"a page"));
    let ran = wharf_in(folder.path(), &["wget", "--json", "--host-loopback", &format!("10.0.2.2:{port}/x")]);
    ran.expect_success();
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&told["status"], &told["bytes"], &told["file"]), (&200.into(), &6.into(), &"x".into()));
}

#[test]
fn header_fields_are_sent_and_redirects_followed() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|head| {
        if head.starts_with("GET /old ") {
            return b"HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        answer("200 OK", head.as_bytes())
    });
    let url = format!("10.0.2.2:{port}/old");
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &url, "--header", "X-One: 1", "-O", "-"]);
    ran.expect_success();
    assert!(ran.stdout.starts_with("GET /new ") && ran.stdout.contains("x-one: 1"), "{}", ran.stdout);
}

#[test]
fn a_fixed_name_leads_where_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|head| answer("200 OK", head.as_bytes()));
    let (url, host) = (format!("http://my.site:{port}/"), "my.site=10.0.2.2");
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", "--host", host, &url, "-O", "-"]);
    ran.expect_success();
    assert!(ran.stdout.contains(&format!("host: my.site:{port}")), "{}", ran.stdout);
}

#[test]
fn a_host_that_does_not_exist_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let dns = dns_server(|_, _| Some((3, Vec::new())));
    let dns = format!("10.0.2.2:{dns}");
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", "--dns", &dns, "http://nope.example/f"]);
    ran.expect_failure(4, &["DNS:", "nope.example does not exist", "check the spelling"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_name_server_that_is_silent_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let dns = dns_server(|_, _| None);
    let dns = format!("10.0.2.2:{dns}");
    let args = ["wget", "--host-loopback", "--timeout", "0.5", "--dns", &dns, "http://h.example/f"];
    wharf_in(folder.path(), &args).expect_failure(4, &["DNS: no answer from the DNS server 10.0.2.2", "in 0.5 s"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_closed_port_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://10.0.2.2:{}/f", closed_port());
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &url]);
    ran.expect_failure(4, &["TCP:", "refused the connection", "nothing listens on port"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn the_hosts_loopback_is_refused_unless_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|_| answer("200 OK", b"secret"));
    let ran = wharf_in(folder.path(), &["wget", &format!("http://10.0.2.2:{port}/f")]);
    ran.expect_failure(4, &["refused the connection"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_host_that_never_answers_the_connection_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // No route of the guest's world leads to a host at an address of its own subnet that nobody has.
    let ran = wharf_in(folder.path(), &["wget", "--timeout", "1", "http://10.0.2.77/f"]);
    ran.expect_failure(4, &["10.0.2.77"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_server_that_never_answers_the_request_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = tcp_server(|_stream| thread::sleep(PATIENCE));
    let url = format!("http://10.0.2.2:{port}/f");
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", "--timeout", "0.5", &url]);
    ran.expect_failure(4, &["HTTP:", "did not answer the request in 0.5 s"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_body_cut_short_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this".to_vec());
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &format!("http://10.0.2.2:{port}/f")]);
    ran.expect_failure(7, &["HTTP: the body was cut short: 9 of 1000 bytes came"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_body_that_stops_coming_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = tcp_server(|mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this");
        thread::sleep(PATIENCE);
    });
    let url = format!("http://10.0.2.2:{port}/f");
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", "--timeout", "0.5", &url]);
    ran.expect_failure(4, &["the body stopped coming: 9 of 1000 bytes came"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_reset_in_the_body_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = tcp_server(|mut stream| {
        // What was sent but not read makes closing send a reset.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this");
        let _ = stream.read(&mut [0]);
    });
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &format!("http://10.0.2.2:{port}/f")]);
    assert!(matches!(ran.status, 4 | 7), "{} {}", ran.status, ran.stderr);
    assert!(ran.stderr.contains("HTTP:"), "{}", ran.stderr);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_full_disk_is_told_and_the_older_file_spared() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|_| answer("200 OK", &noise(4 << 20)));
    // A file system of one megabyte, in a mount namespace of the test's own.
    let script = r#"mount -t tmpfs -o size=1m none "$1" && cd "$1" && echo older > f &&
        "$2" wget --host-loopback "$3" -O f; status=$?; ls -A; cat f; exit $status"#;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(folder.path()).arg(env!("CARGO_BIN_EXE_wharf")).arg(format!("http://10.0.2.2:{port}/f"));
    let ran = run(&mut command);
    if ran.stderr.contains("unshare:") || ran.stderr.contains("mount:") {
        // Where no user namespace may be made, the device that is always full stands for the disk.
        let url = format!("http://10.0.2.2:{port}/f");
        let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &url, "-O", "/dev/full"]);
        return ran.expect_failure(3, &["file: /dev/full cannot be written: the disk is full", "free some space"]);
    }
    ran.expect_failure(3, &["file:", "cannot be written: the disk is full", "free some space"]);
    assert_eq!(ran.stdout, "f\nolder\n");
}

#[test]
fn an_interrupted_download_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let port = tcp_server(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this");
        let _ = begun.send(());
        let _ = stream.read(&mut [0]);
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_wharf"))
        .current_dir(folder.path())
        .args(["wget", "--host-loopback", &format!("http://10.0.2.2:{port}/f")])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    has_begun.recv_timeout(PATIENCE).unwrap();
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn an_error_status_is_told_and_saves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (line, status, words) in [
        ("404 Not Found", 8, "404 Not Found"),
        ("500 Internal Server Error", 8, "try again later"),
        ("401 Unauthorized", 6, "user name and password"),
    ] {
        let port = http_server(move |_| answer(line, b"sorry"));
        let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &format!("http://10.0.2.2:{port}/f")]);
        ran.expect_failure(status, &["HTTP: 10.0.2.2 answered", words]);
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn what_is_not_http_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = http_server(|_| b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &format!("http://10.0.2.2:{port}/f")]);
    ran.expect_failure(7, &["not an HTTP response"]);
}

#[test]
fn https_to_a_port_without_tls_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = tcp_server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let ran = wharf_in(folder.path(), &["wget", "--host-loopback", &format!("https://10.0.2.2:{port}/f")]);
    ran.expect_failure(5, &["TLS:", "does not speak TLS on this port"]);
}

#[test]
fn a_file_of_authorities_that_cannot_be_read_is_told_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let ran = wharf_in(folder.path(), &["wget", "https://10.0.2.77/", "--ca", "/nonexistent/ca.pem"]);
    ran.expect_failure(3, &["TLS: the certificate authorities in /nonexistent/ca.pem", "No such file"]);
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["wget"][..],
        &["wget", "ftp://h/"],
        &["wget", "http://"],
        &["wget", "http://h/", "--header", "no colon"],
        &["wget", "http://h/", "--link", "cable"],
        &["wget", "http://h/", "--link", "tap:a-name-of-sixteen"],
        &["wget", "http://h/", "--timeout", "0"],
        &["wget", "http://h/", "--mtu", "10"],
        &["wget", "http://h/", "--host", "no-address"],
        &["wget", "http://h/", "--address", "10.0.2.15/33"],
        &["wget", "http://h/", "--gateway", "10.0.2.2"],
        &["wget", "http://h/", "--forward", "sctp:1:2"],
        &["wget", "http://h/", "--link", "fd:0", "--host-loopback"],
    ] {
        let ran = wharf_in(folder.path(), args);
        assert_eq!(ran.status, 2, "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
}
