//! Several engines on the queues of one TAP device: to the kernel they are one host.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wharf::{Net, Pinger};
use wharf_interop::{Names, Program, Tap, World, in_namespace};

use crate::exchange::{answer, call, kernel_listener, small_thread};

const QUEUES: usize = 4;
const MANY: u64 = 200;
const BYTES: u64 = 300_000;

fn calls_both_ways(net: &Net, tap: &Tap, many: u64) {
    let kernel = kernel_listener(tap.address, many);
    let wharf = wharf::net::TcpListener::bind(net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
    let (at_kernel, at_wharf) = (kernel.local_addr().unwrap(), wharf.local_addr().unwrap());
    let mut threads = Vec::new();
    for n in 0..many {
        let net = net.clone();
        threads.push(small_thread(move || {
            call(&wharf::net::TcpStream::connect(&net, at_kernel).unwrap(), n, many, BYTES, || {});
        }));
        threads.push(small_thread(move || {
            call(&TcpStream::connect(at_wharf).unwrap(), n, many, BYTES, || {});
        }));
    }
    for _ in 0..many {
        let (stream, _) = kernel.accept().unwrap();
        threads.push(small_thread(move || answer(&stream, many, BYTES)));
        let (stream, _) = wharf.accept().unwrap();
        threads.push(small_thread(move || answer(&stream, many, BYTES)));
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The kernel's ping, to an address that it has to ask for first: at least one of `count` requests is answered, which is
/// what ping's own exit status says.
fn the_kernel_pings(world: &World, tap: &Tap, count: u32) -> String {
    world.ip(&["neighbour", "flush", "dev", tap.name]);
    let (count, address) = (count.to_string(), tap.guest_address().to_string());
    let run = Program::new(world, "ping").arguments(&["-c", &count, "-i", "0.05", "-W", "10", &address]).run();
    run.succeeded().stdout
}

/// Sets its flag however the test ends, so that nobody works on for a test that has failed.
struct SetAtTheEnd<'a>(&'a AtomicBool);

impl Drop for SetAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn datagrams_return(net: &Net, tap: &Tap) {
    let echo = wharf::net::UdpSocket::bind(net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
    let address = echo.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = vec![0; 20_000];
            for _ in 0..32 {
                let (len, from) = echo.recv_from(&mut bytes).unwrap();
                echo.send_to(&bytes[..len], from).unwrap();
            }
        });
        // A socket each, so that the kernel chooses a queue for each, and sizes that come in fragments too.
        for n in 0..32_usize {
            let socket = UdpSocket::bind((tap.address, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let sent: Vec<u8> = (0..n * 500).map(|at| (at * 7 + n) as u8).collect();
            socket.send_to(&sent, address).unwrap();
            let mut bytes = vec![0; 20_000];
            let len = socket.recv(&mut bytes).unwrap();
            assert!(bytes[..len] == sent, "datagram {n} came back with {len} bytes");
        }
    });
}

#[test]
fn two_hundred_connections_each_way_over_four_queues() {
    in_namespace(|world| {
        let tap = world.queued_tap();
        calls_both_ways(&tap.guest_on_queues(QUEUES), &tap, MANY);
    });
}

#[test]
fn arp_ping_and_datagrams_both_ways_over_four_queues() {
    in_namespace(|world| {
        let tap = world.queued_tap();
        let net = tap.guest_on_queues(QUEUES);
        assert!(the_kernel_pings(world, &tap, 5).contains("5 received"));
        datagrams_return(&net, &tap);
        let pinger = Pinger::new(&net, tap.address.into()).unwrap();
        for _ in 0..5 {
            assert_eq!(pinger.ping(&[1; 1_000], Duration::from_secs(10)).unwrap().source, tap.address);
        }
        // Every engine has to find the kernel by itself.
        let listener = TcpListener::bind((tap.address, 0)).unwrap();
        for _ in 0..2 * QUEUES {
            wharf::net::TcpStream::connect(&net, listener.local_addr().unwrap()).unwrap();
        }
        let refused = wharf::net::TcpStream::connect(&net, SocketAddr::from((tap.address, 9))).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        for _ in 0..2 * QUEUES {
            let refused = TcpStream::connect((tap.guest_address(), 9)).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        }
    });
}

#[test]
fn no_engine_is_starved_by_streams_in_the_others() {
    in_namespace(|world| {
        let tap = world.queued_tap();
        let net = tap.guest_on_queues(QUEUES);
        let sink = wharf::net::TcpListener::bind(&net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
        let address = sink.local_addr().unwrap();
        let enough = AtomicBool::new(false);
        thread::scope(|scope| {
            let _enough = SetAtTheEnd(&enough);
            for _ in 0..2 {
                // The kernel sends as fast as it can, until the rest is done.
                scope.spawn(|| {
                    let mut stream = TcpStream::connect(address).unwrap();
                    while !enough.load(Ordering::Relaxed) {
                        stream.write_all(&[7; 1 << 16]).unwrap();
                    }
                });
                let (mut stream, _) = sink.accept().unwrap();
                scope.spawn(move || while stream.read(&mut [0; 1 << 16]).unwrap() > 0 {});
            }
            // Over every engine, some times.
            calls_both_ways(&net, &tap, 5 * QUEUES as u64);
            // Beside streams in full flow the device's queue may be full when a request comes: the kernel drops it then.
            the_kernel_pings(world, &tap, 20);
        });
    });
}

#[test]
fn a_connection_is_found_again_when_the_kernel_has_forgotten_its_queue() {
    in_namespace(|world| {
        let tap = world.queued_tap();
        let net = tap.guest_on_queues(QUEUES);
        let kernel = TcpListener::bind((tap.address, 0)).unwrap();
        let at_kernel = kernel.local_addr().unwrap();
        let mut streams: Vec<_> = (0..40)
            .map(|_| (wharf::net::TcpStream::connect(&net, at_kernel).unwrap(), kernel.accept().unwrap().0))
            .collect();
        // tun forgets after three seconds, and looks as often.
        thread::sleep(Duration::from_secs(7));
        for (wharf, kernel) in &mut streams {
            kernel.write_all(b"still there?").unwrap();
            let mut bytes = [0; 12];
            wharf.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"still there?");
        }
    });
}

#[test]
fn a_command_uses_several_queues_with_an_address_from_dhcp() {
    in_namespace(|world| {
        let tap = world.queued_tap();
        let _names = Names::dhcp_and_dns(world, &tap, &[]);
        let link = tap.link();
        let run = world.wharf(&["ping", "files.test", "-c", "3", "--queues", "4", "--link", &link]).run().succeeded();
        assert!(run.stdout.contains("10.9.0.1"), "{run}");
    });
}

#[test]
fn queues_of_a_device_that_has_one_are_refused_with_what_to_do() {
    in_namespace(|world| {
        let tap = world.tap();
        let ping = |more: &[&str]| world.wharf(&["ping", "10.9.0.1", "-c", "1"]).arguments(more).run();
        let run = ping(&["--queues", "2", "--link", &tap.link()]);
        assert!(!run.success() && run.stderr.contains("mode tap multi_queue"), "{run}");
        let run = ping(&["--queues", "2"]);
        assert!(!run.success() && run.stderr.contains("--queues is for TAP devices"), "{run}");
        let run = ping(&["--queues", "0", "--link", &tap.link()]);
        assert!(!run.success(), "{run}");
    });
}
