//! Wharf's TCP and the kernel's, each as client and as server, over TAP.

#![allow(clippy::print_stdout, reason = "what was seen is told")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use wharf::Net;
use wharf_interop::{Tap, in_namespace};

use crate::exchange::{Stream, answer, call, exchange, kernel_listener, small_thread};

const GIB: u64 = 1 << 30;

/// Wharf connects to the kernel, and `length` bytes go each way at once.
fn wharf_calls_the_kernel(net: &Net, tap: &Tap, length: u64) {
    let listener = TcpListener::bind((tap.address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let kernel = thread::spawn(move || exchange(&listener.accept().unwrap().0, 1, 2, length));
    let began = Instant::now();
    let stream = wharf::net::TcpStream::connect(net, address).unwrap();
    exchange(&stream, 2, 1, length);
    kernel.join().unwrap();
    println!("wharf calls, MTU {}: {:.2} Gbit/s each way", tap.mtu, rate(length, began));
}

/// The kernel connects to Wharf, and `length` bytes go each way at once.
fn the_kernel_calls_wharf(net: &Net, tap: &Tap, length: u64) {
    let listener = wharf::net::TcpListener::bind(net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let began = Instant::now();
    let kernel = thread::spawn(move || exchange(&TcpStream::connect(address).unwrap(), 3, 4, length));
    let (stream, _) = listener.accept().unwrap();
    exchange(&stream, 4, 3, length);
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

/// Connects `MANY` times at once with `connect`, accepts as often with `accept`, and when all are open lets each carry
/// `MANY_BYTES` each way.
fn a_crowd<C: Stream, A: Stream + Send + 'static>(
    connect: impl Fn() -> C + Clone + Send + 'static,
    accept: impl Fn() -> A,
) {
    let all_open = Arc::new(Barrier::new(MANY as usize));
    let clients: Vec<_> = (0..MANY)
        .map(|n| {
            let (connect, all_open) = (connect.clone(), all_open.clone());
            small_thread(move || {
                call(&connect(), n, MANY, MANY_BYTES, || {
                    all_open.wait();
                });
            })
        })
        .collect();
    let servers: Vec<_> = (0..MANY)
        .map(|_| {
            let stream = accept();
            small_thread(move || answer(&stream, MANY, MANY_BYTES))
        })
        .collect();
    for thread in clients.into_iter().chain(servers) {
        thread.join().unwrap();
    }
}

#[test]
fn five_hundred_connections_at_once_to_the_kernel() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let listener = kernel_listener(tap.address, MANY);
        let address = listener.local_addr().unwrap();
        a_crowd(move || wharf::net::TcpStream::connect(&net, address).unwrap(), || listener.accept().unwrap().0);
    });
}

#[test]
fn five_hundred_connections_at_once_from_the_kernel() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let listener = wharf::net::TcpListener::bind(&net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
        let address = listener.local_addr().unwrap();
        a_crowd(move || TcpStream::connect(address).unwrap(), || listener.accept().unwrap().0);
    });
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
