//! Fast Open with the kernel, each as client and as server (RFC 7413). What the kernel may do is a setting of the test's own
//! network namespace.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustix::net::{AddressFamily, SendFlags, SocketType};
use wharf_interop::in_namespace;

/// Not in rustix.
const MSG_FASTOPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

/// The kernel may open fast as client and as server, and every listener of its does without being asked (ip-sysctl).
fn allow_the_kernel() {
    fs::write("/proc/sys/net/ipv4/tcp_fastopen", (1 | 2 | 0x400).to_string()).unwrap();
}

/// One of the kernel's counters of TCP's extensions in this namespace.
fn kernel_counter(name: &str) -> u64 {
    let table = fs::read_to_string("/proc/self/net/netstat").unwrap();
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split_whitespace().position(|found| found == name).unwrap();
    values.split_whitespace().nth(at).unwrap().parse().unwrap()
}

#[test]
fn the_second_connection_to_the_kernel_takes_its_text_along_on_the_syn() {
    in_namespace(|world| {
        allow_the_kernel();
        let tap = world.tap();
        let net = tap.guest();
        let listener = TcpListener::bind((tap.address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut options = wharf::TcpOptions::default();
        options.fast_open = true;
        for round in 0..3u64 {
            let before = kernel_counter("TCPFastOpenPassive");
            let listener = listener.try_clone().unwrap();
            let kernel = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                stream.read_to_end(&mut request).unwrap();
                stream.write_all(&request).unwrap();
            });
            // More than a SYN holds.
            let request = vec![round as u8; 5_000];
            let mut stream = wharf::net::TcpStream::connect_with_data(&net, address, &options, &request).unwrap();
            assert_eq!(stream.info().unwrap().fast_open, round > 0, "round {round}: the first asks for a cookie");
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            kernel.join().unwrap();
            assert!(answer == request, "round {round}: what went with the SYN and what followed is whole");
            let taken = kernel_counter("TCPFastOpenPassive") - before;
            assert_eq!(taken, u64::from(round > 0), "round {round}");
        }
    });
}

#[test]
fn the_kernels_second_connection_brings_its_text_along_on_the_syn() {
    in_namespace(|world| {
        allow_the_kernel();
        let tap = world.tap();
        let net = tap.guest();
        let mut options = wharf::ListenOptions::default();
        options.fast_open = Some(16);
        let address = SocketAddr::from((tap.guest_address(), 0));
        let listener = wharf::net::TcpListener::bind_with(&net, address, &options).unwrap();
        let address = listener.local_addr().unwrap();
        for round in 0..3u64 {
            let before = kernel_counter("TCPFastOpenActive");
            let request = vec![round as u8; 5_000];
            let kernel = thread::spawn({
                let request = request.clone();
                move || {
                    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
                    let sent = rustix::net::sendto(&socket, &request, MSG_FASTOPEN, &address).unwrap();
                    let mut stream = TcpStream::from(socket);
                    stream.write_all(&request[sent..]).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).unwrap();
                    answer
                }
            });
            let (mut stream, _) = listener.accept().unwrap();
            assert_eq!(stream.info().unwrap().fast_open, round > 0, "round {round}: the first asks for a cookie");
            let mut text = Vec::new();
            stream.read_to_end(&mut text).unwrap();
            assert!(text == request, "round {round}: what came with the SYN and what followed is whole");
            stream.write_all(&text).unwrap();
            drop(stream);
            assert!(kernel.join().unwrap() == request);
            assert_eq!(kernel_counter("TCPFastOpenActive") - before, u64::from(round > 0), "round {round}");
        }
    });
}
