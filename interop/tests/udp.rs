//! UDP and ICMP against the kernel over TAP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use wharf_interop::{Payload, Program, in_namespace};

/// Datagram sizes around every edge: empty, tiny, what fits one packet, what does not by a byte, many fragments, most.
const SIZES: [usize; 10] = [0, 1, 512, 1471, 1472, 1473, 2952, 2953, 30_000, 65_507];

#[test]
fn datagrams_of_every_size_return_from_the_kernel() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let kernel = UdpSocket::bind((tap.address, 0)).unwrap();
        let address = kernel.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = kernel.recv_from(&mut buffer) {
                kernel.send_to(&buffer[..length], from).unwrap();
            }
        });
        let socket = wharf::net::UdpSocket::bind(&net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        for size in SIZES {
            let mut sent = vec![0; size];
            Payload::new(size as u64).fill(&mut sent);
            assert_eq!(socket.send_to(&sent, address).unwrap(), size);
            let mut received = vec![0; 65_536];
            let (length, from) = socket.recv_from(&mut received).unwrap();
            assert_eq!((length, from), (size, address));
            assert!(received[..length] == sent[..], "{size} bytes came back changed");
        }
        assert!(socket.send_to(&[0; 65_508], address).is_err(), "one byte more than UDP can carry");
    });
}

#[test]
fn a_port_that_the_kernel_has_not_bound_tells_the_socket() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let socket = wharf::net::UdpSocket::bind(&net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
        socket.connect(SocketAddr::from((tap.address, 9))).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.send(b"anybody there?").unwrap();
        assert_eq!(socket.recv(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_port_that_wharf_has_not_bound_tells_the_kernel() {
    in_namespace(|world| {
        let tap = world.tap();
        let _net = tap.guest();
        let kernel = UdpSocket::bind((tap.address, 0)).unwrap();
        kernel.connect((tap.guest_address(), 9)).unwrap();
        kernel.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        kernel.send(b"anybody there?").unwrap();
        assert_eq!(kernel.recv(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn the_kernel_pings_wharf_with_packets_of_every_size() {
    in_namespace(|world| {
        let tap = world.tap();
        let _net = tap.guest();
        for size in ["0", "56", "1472", "1473", "20000"] {
            let host = tap.guest_address().to_string();
            let run =
                Program::new(world, "ping").arguments(&["-c", "3", "-i", "0.2", "-s", size, &host]).run().succeeded();
            assert!(run.stdout.contains("3 received"), "{run}");
        }
    });
}
