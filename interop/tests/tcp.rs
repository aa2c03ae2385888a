//! Wharf's TCP and the kernel's, each as client and as server, over TAP.

#![allow(clippy::print_stdout, reason = "what was seen is told")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use wharf::Net;
use wharf_interop::{Payload, Tap, in_namespace};

const GIB: u64 = 1 << 30;

/// Sends `length` bytes of the stream `out` and, at the same time, receives as many of the stream `back`, to both ends'
/// last byte and FIN.
fn exchange<S>(stream: &S, shutdown: impl FnOnce(&S) -> io::Result<()> + Send, out: u64, back: u64, length: u64)
where
    for<'a> &'a S: Read + Write,
    S: Sync,
{
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = stream;
            Payload::new(out).write_to(&mut writer, length).unwrap();
            shutdown(stream).unwrap();
        });
        let mut reader = stream;
        Payload::new(back).check_to_end(&mut reader, length).unwrap();
    });
}

fn kernel_exchange(stream: &TcpStream, out: u64, back: u64, length: u64) {
    exchange(stream, |stream| stream.shutdown(Shutdown::Write), out, back, length);
}

fn wharf_exchange(stream: &wharf::net::TcpStream, out: u64, back: u64, length: u64) {
    exchange(stream, |stream| stream.shutdown(Shutdown::Write), out, back, length);
}

/// Wharf connects to the kernel, and `length` bytes go each way at once.
fn wharf_calls_the_kernel(net: &Net, tap: &Tap, length: u64) {
    let listener = TcpListener::bind((tap.address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let kernel = thread::spawn(move || kernel_exchange(&listener.accept().unwrap().0, 1, 2, length));
    let began = Instant::now();
    let stream = wharf::net::TcpStream::connect(net, address).unwrap();
    wharf_exchange(&stream, 2, 1, length);
    kernel.join().unwrap();
    println!("wharf calls, MTU {}: {:.2} Gbit/s each way", tap.mtu, rate(length, began));
}

/// The kernel connects to Wharf, and `length` bytes go each way at once.
fn the_kernel_calls_wharf(net: &Net, tap: &Tap, length: u64) {
    let listener = wharf::net::TcpListener::bind(net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let began = Instant::now();
    let kernel = thread::spawn(move || kernel_exchange(&TcpStream::connect(address).unwrap(), 3, 4, length));
    let (stream, _) = listener.accept().unwrap();
    wharf_exchange(&stream, 4, 3, length);
    kernel.join().unwrap();
    println!("the kernel calls, MTU {}: {:.2} Gbit/s each way", tap.mtu, rate(length, began));
}

fn rate(bytes: u64, began: Instant) -> f64 {
    bytes as f64 * 8.0 / began.elapsed().as_nanos() as f64
}

#[test]
fn a_gibibyte_each_way_to_the_kernel_as_server() {
    in_namespace(|world| {
        let tap = world.tap();
        wharf_calls_the_kernel(&tap.guest(), &tap, GIB);
    });
}

#[test]
fn a_gibibyte_each_way_to_the_kernel_as_client() {
    in_namespace(|world| {
        let tap = world.tap();
        the_kernel_calls_wharf(&tap.guest(), &tap, GIB);
    });
}

#[test]
fn every_mtu_from_576_to_9000_both_ways() {
    in_namespace(|world| {
        for (number, mtu) in [576, 1280, 1492, 1500, 4000, 9000].into_iter().enumerate() {
            let names = ["tap0", "tap1", "tap2", "tap3", "tap4", "tap5"];
            let address = Ipv4Addr::new(10, 10, number as u8, 1);
            let tap = world.tap_with(Tap { name: names[number], address, mtu });
            let net = tap.guest();
            wharf_calls_the_kernel(&net, &tap, 16 << 20);
            the_kernel_calls_wharf(&net, &tap, 16 << 20);
        }
    });
}

#[test]
fn a_kernel_without_timestamps_window_scaling_or_sack() {
    in_namespace(|world| {
        for (number, off) in ["tcp_timestamps", "tcp_window_scaling", "tcp_sack"].into_iter().enumerate() {
            // Each comes on top of the ones before: the last round has none of them.
            fs::write(format!("/proc/sys/net/ipv4/{off}"), "0").unwrap();
            let names = ["tap0", "tap1", "tap2"];
            let address = Ipv4Addr::new(10, 11, number as u8, 1);
            let tap = world.tap_with(Tap { name: names[number], address, mtu: 1500 });
            let net = tap.guest();
            wharf_calls_the_kernel(&net, &tap, 16 << 20);
            the_kernel_calls_wharf(&net, &tap, 16 << 20);
        }
    });
}

/// Connections that are open at the same time.
const MANY: u64 = 500;
const MANY_BYTES: u64 = 100_000;

#[test]
fn five_hundred_connections_at_once_to_the_kernel() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let listener = TcpListener::bind((tap.address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let all_open = Arc::new(Barrier::new(MANY as usize));
        let clients: Vec<_> = (0..MANY)
            .map(|n| {
                let (net, all_open) = (net.clone(), all_open.clone());
                small_thread(move || {
                    let stream = wharf::net::TcpStream::connect(&net, address).unwrap();
                    (&stream).write_all(&n.to_be_bytes()).unwrap();
                    all_open.wait();
                    wharf_exchange(&stream, n, n + MANY, MANY_BYTES);
                })
            })
            .collect();
        let servers: Vec<_> = (0..MANY)
            .map(|_| {
                let (stream, _) = listener.accept().unwrap();
                small_thread(move || {
                    let mut n = [0; 8];
                    (&stream).read_exact(&mut n).unwrap();
                    let n = u64::from_be_bytes(n);
                    kernel_exchange(&stream, n + MANY, n, MANY_BYTES);
                })
            })
            .collect();
        for thread in clients.into_iter().chain(servers) {
            thread.join().unwrap();
        }
    });
}

#[test]
fn five_hundred_connections_at_once_from_the_kernel() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let listener = wharf::net::TcpListener::bind(&net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let all_open = Arc::new(Barrier::new(MANY as usize));
        let clients: Vec<_> = (0..MANY)
            .map(|n| {
                let all_open = all_open.clone();
                small_thread(move || {
                    let stream = TcpStream::connect(address).unwrap();
                    (&stream).write_all(&n.to_be_bytes()).unwrap();
                    all_open.wait();
                    kernel_exchange(&stream, n, n + MANY, MANY_BYTES);
                })
            })
            .collect();
        let servers: Vec<_> = (0..MANY)
            .map(|_| {
                let (stream, _) = listener.accept().unwrap();
                small_thread(move || {
                    let mut n = [0; 8];
                    (&stream).read_exact(&mut n).unwrap();
                    let n = u64::from_be_bytes(n);
                    wharf_exchange(&stream, n + MANY, n, MANY_BYTES);
                })
            })
            .collect();
        for thread in clients.into_iter().chain(servers) {
            thread.join().unwrap();
        }
    });
}

/// A thread whose stack does not weigh much, five hundred times over.
fn small_thread(body: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::Builder::new().stack_size(512 << 10).spawn(body).unwrap()
}

#[test]
fn a_closed_port_of_the_kernels_refuses_and_one_of_ours_refuses_the_kernel() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let refused = wharf::net::TcpStream::connect(&net, SocketAddr::from((tap.address, 9))).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let refused = TcpStream::connect((tap.guest_address(), 9)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_half_closed_stream_still_carries_the_other_half() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let listener = TcpListener::bind((tap.address, 0)).unwrap();
        let mut stream = wharf::net::TcpStream::connect(&net, listener.local_addr().unwrap()).unwrap();
        let (mut kernel, _) = listener.accept().unwrap();

        // Ours first: the kernel reads to the end and only then answers.
        stream.write_all(b"question").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut question = String::new();
        kernel.read_to_string(&mut question).unwrap();
        assert_eq!(question, "question");
        kernel.write_all(b"answer").unwrap();
        kernel.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");

        // The kernel's first.
        let stream = wharf::net::TcpStream::connect(&net, listener.local_addr().unwrap()).unwrap();
        let (mut kernel, _) = listener.accept().unwrap();
        kernel.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&stream).read(&mut [0; 8]).unwrap(), 0);
        (&stream).write_all(b"still here").unwrap();
        drop(stream);
        let mut rest = String::new();
        kernel.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "still here");
    });
}

#[test]
fn a_reset_is_told_from_an_end() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let listener = TcpListener::bind((tap.address, 0)).unwrap();

        // The kernel closes with data of ours unread, and so resets.
        let mut stream = wharf::net::TcpStream::connect(&net, listener.local_addr().unwrap()).unwrap();
        let (mut kernel, _) = listener.accept().unwrap();
        stream.write_all(b"unread, but for one byte").unwrap();
        kernel.read_exact(&mut [0]).unwrap();
        drop(kernel);
        let error = stream.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        // And the same with the sides exchanged.
        let stream = wharf::net::TcpStream::connect(&net, listener.local_addr().unwrap()).unwrap();
        let (mut kernel, _) = listener.accept().unwrap();
        kernel.write_all(b"unread, but for one byte").unwrap();
        (&stream).read_exact(&mut [0]).unwrap();
        drop(stream);
        let error = kernel.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}
