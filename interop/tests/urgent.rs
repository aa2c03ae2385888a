//! Urgent data between Wharf and the kernel, both ways (RFC 9293 section 3.8.5; the kernel reads it by MSG_OOB).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_oobinline;
use rustix::net::{RecvFlags, SendFlags};
use wharf_interop::in_namespace;

const LIMIT: Duration = Duration::from_secs(60);

/// Asks again until there is an answer.
fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < LIMIT, "this never came to be");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The kernel's urgent byte.
fn kernel_byte(stream: &impl AsFd) -> u8 {
    let mut byte = [0];
    eventually(|| match rustix::net::recv(stream, &mut byte[..], RecvFlags::OOB) {
        Ok((1, _)) => Some(()),
        // There is none yet, or it was announced and has not arrived.
        Ok(_) | Err(Errno::INVAL | Errno::AGAIN) => None,
        Err(error) => panic!("{error}"),
    });
    byte[0]
}

#[test]
fn the_kernel_takes_our_urgent_byte_apart_and_stops_before_it() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let listener = TcpListener::bind((tap.address, 0)).unwrap();
        for inline in [false, true] {
            let mut ours = wharf::net::TcpStream::connect(&net, listener.local_addr().unwrap()).unwrap();
            let (mut theirs, _) = listener.accept().unwrap();
            set_socket_oobinline(&theirs, inline).unwrap();
            ours.write_all(b"before").unwrap();
            assert_eq!(ours.send_out_of_band(b"more!").unwrap(), 5);
            if !inline {
                assert_eq!(kernel_byte(&theirs), b'!');
            }
            ours.write_all(b"after").unwrap();
            drop(ours);
            // A read of the kernel's ends before the urgent byte, however much there is behind.
            let mut head = [0; 10];
            theirs.read_exact(&mut head).unwrap();
            assert_eq!(&head, b"beforemore");
            let mut rest = String::new();
            theirs.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, if inline { "!after" } else { "after" });
        }
    });
}

#[test]
fn our_mark_reaches_a_kernel_that_takes_no_more() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let listener = TcpListener::bind((tap.address, 0)).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 4_096).unwrap();
        let mut ours = wharf::net::TcpStream::connect(&net, listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        // More than its buffer takes, and less than a pointer reaches.
        let data = vec![7; 48 << 10];
        ours.write_all(&data).unwrap();
        ours.send_out_of_band(b"!").unwrap();
        // EINVAL would say that nothing urgent was announced.
        eventually(|| {
            let mut byte = [0];
            (rustix::net::recv(&theirs, &mut byte[..], RecvFlags::OOB).err() == Some(Errno::AGAIN)).then_some(())
        });
        let mut head = vec![0; data.len()];
        theirs.read_exact(&mut head).unwrap();
        assert!(head == data);
        assert_eq!(kernel_byte(&theirs), b'!');
    });
}

#[test]
fn the_kernels_urgent_byte_is_taken_apart_or_read_in_line() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let listener = wharf::net::TcpListener::bind(&net, SocketAddr::from((tap.guest_address(), 0))).unwrap();
        for inline in [false, true] {
            let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut ours, _) = listener.accept().unwrap();
            ours.set_out_of_band_inline(inline);
            theirs.write_all(b"before").unwrap();
            assert_eq!(rustix::net::send(&theirs, b"more!", SendFlags::OOB).unwrap(), 5);
            assert!(ours.wait_urgent().unwrap() > 0);
            if !inline {
                let byte = eventually(|| match ours.recv_out_of_band() {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                    other => Some(other.unwrap()),
                });
                assert_eq!(byte, b'!');
            }
            theirs.write_all(b"after").unwrap();
            drop(theirs);
            let mut head = [0; 10];
            ours.read_exact(&mut head).unwrap();
            assert_eq!(&head, b"beforemore");
            assert!(ours.at_mark().unwrap());
            let mut rest = String::new();
            ours.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, if inline { "!after" } else { "after" });
        }
    });
}

#[test]
fn the_kernels_mark_reaches_us_while_we_read_nothing() {
    in_namespace(|world| {
        let tap = world.tap();
        let net = tap.guest();
        let mut options = wharf::ListenOptions::default();
        options.tcp.receive_buffer = Some(8 << 10);
        let address = SocketAddr::from((tap.guest_address(), 0));
        let listener = wharf::net::TcpListener::bind_with(&net, address, &options).unwrap();
        let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut ours, _) = listener.accept().unwrap();
        ours.set_out_of_band_inline(false);
        let data = vec![7; 48 << 10];
        let reader = thread::spawn(move || {
            theirs.write_all(&data).unwrap();
            rustix::net::send(&theirs, b"!", SendFlags::OOB).unwrap();
            theirs
        });
        assert!(ours.wait_urgent().unwrap() > 8 << 10);
        assert_eq!(ours.recv_out_of_band().unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut head = vec![0; 48 << 10];
        ours.read_exact(&mut head).unwrap();
        assert!(head.iter().all(|byte| *byte == 7));
        assert_eq!(eventually(|| ours.recv_out_of_band().ok()), b'!');
        drop(reader.join().unwrap());
    });
}
