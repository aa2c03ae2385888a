//! The harness against itself: kernel peers only, so that a failing test elsewhere speaks about Wharf.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::panic;
use std::thread;
use std::time::Duration;

use wharf_interop::{Names, Payload, Program, Web, World, in_namespace, sha256_of_file};

#[test]
fn a_namespace_holds_nothing_but_loopback() {
    in_namespace(|world| {
        let links = Program::new(world, "ip").arguments(&["-brief", "link"]).run().succeeded().stdout;
        assert_eq!(links.lines().count(), 1, "{links}");
        assert!(links.starts_with("lo"), "{links}");
        assert!(TcpStream::connect("192.0.2.1:80").is_err());
    });
}

#[test]
fn a_panic_inside_the_namespace_fails_the_test_outside() {
    let body = |_: &World| panic!("on purpose");
    let panic = panic::catch_unwind(|| in_namespace(body)).unwrap_err();
    if panic.is::<&str>() {
        // This is the run inside, whose panic has to arrive outside.
        panic::resume_unwind(panic);
    }
    let outside = panic.downcast::<String>().unwrap();
    assert!(outside.starts_with("inside the namespace") && outside.contains("on purpose"), "{outside}");
}

#[test]
fn a_thread_that_panics_ends_a_test_that_waits_for_it() {
    let body = |_: &World| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        thread::spawn(|| panic!("on purpose"));
        listener.accept().unwrap();
    };
    let panic = panic::catch_unwind(|| in_namespace(body)).unwrap_err();
    let outside = panic.downcast::<String>().unwrap();
    assert!(outside.contains("on purpose") && outside.contains("the test has not ended"), "{outside}");
}

#[test]
fn nginx_serves_files_and_tls_by_the_test_authority() {
    in_namespace(|world| {
        let web = Web::start(world, IpAddr::V4(Ipv4Addr::LOCALHOST), &["files.test", "127.0.0.1"]);
        let hash = Payload::new(1).write_file(&web.file("file.bin"), 5_000_000);
        let (into, ca) = (world.path("got.bin"), world.ca_file());
        let (into, ca) = (into.to_string_lossy(), ca.to_string_lossy());
        let curl =
            |arguments: &[&str]| Program::new(world, "curl").arguments(&["-sS", "-f"]).arguments(arguments).run();
        curl(&["-o", &into, "http://127.0.0.1/file.bin"]).expect_success();
        assert_eq!(sha256_of_file(&world.path("got.bin")), hash);
        curl(&["--cacert", &ca, "-o", &into, "https://127.0.0.1/file.bin"]).expect_success();
        assert_eq!(sha256_of_file(&world.path("got.bin")), hash);
        let _ = curl(&["https://127.0.0.1/small.txt"]).failed_saying(&["certificate"]);
        assert_eq!(curl(&["-L", "http://127.0.0.1/redirect/7"]).succeeded().stdout, "small\n");
    });
}

#[test]
fn dnsmasq_answers_for_the_test_domain_and_only_that() {
    in_namespace(|world| {
        let tap = world.tap();
        let dhcp = Names::dhcp_and_dns(world, &tap, &[]);
        let ask = |name: &str| {
            let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for label in name.split('.') {
                query.push(label.len() as u8);
                query.extend(label.as_bytes());
            }
            query.extend([0, 0, 1, 0, 1]);
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket.send_to(&query, (tap.address, 53)).unwrap();
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).unwrap();
            (answer[3] & 0xf, answer[length - 4..length].to_vec())
        };
        assert_eq!(ask("files.test"), (0, tap.address.octets().to_vec()));
        assert_eq!(ask("missing.test").0, 3, "NXDOMAIN; {}", dhcp.log());
        dhcp.kill();
    });
}

#[test]
fn udhcpd_starts_with_a_lease_of_seconds() {
    in_namespace(|world| {
        let tap = world.tap();
        let dhcp = Names::udhcpd(world, &tap, 4);
        assert!(dhcp.log().contains("started"));
    });
}

#[test]
fn strace_sees_the_inet_socket_of_a_program_that_opens_one() {
    in_namespace(|world| {
        let (curl, trace) = world.traced("socket", "curl", &["-s", "http://127.0.0.1:9/"]);
        assert!(!curl.run().success(), "nobody listens there");
        let trace = fs::read_to_string(trace).unwrap();
        assert!(trace.contains("AF_INET"), "{trace}");
    });
}

#[test]
fn a_small_disk_fills_up() {
    in_namespace(|world| {
        let file = world.small_disk(1 << 20).join("large");
        let error = fs::write(file, vec![1; 2 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    });
}

#[test]
fn the_system_resolvers_can_be_replaced() {
    in_namespace(|world| {
        world.resolv_conf("nameserver 10.9.0.1\n");
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), "nameserver 10.9.0.1\n");
    });
}

#[test]
fn a_payload_is_checked_byte_for_byte() {
    let mut bytes = vec![0; 100_000];
    let (mut start, mut rest) = (Payload::new(7), Payload::new(7));
    start.fill(&mut bytes[..333]);
    start.fill(&mut bytes[333..]);
    rest.check(&bytes[..5]);
    rest.check(&bytes[5..]);
    bytes[77_777] ^= 1;
    let found = thread::spawn(move || Payload::new(7).check(&bytes)).join().unwrap_err();
    assert_eq!(found.downcast_ref::<String>().unwrap(), "byte 77777 of the stream differs");
}

#[test]
fn a_payload_crosses_kernel_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sender = thread::spawn(move || Payload::new(3).write_to(&mut TcpStream::connect(address).unwrap(), 3_000_001));
    let (mut stream, _) = listener.accept().unwrap();
    Payload::new(3).check_to_end(&mut stream, 3_000_001).unwrap();
    sender.join().unwrap().unwrap();
    // Both ends are closed: nothing more can be read or usefully written.
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    let _ = stream.write(b"x");
}
