//! Urgent data (RFC 9293 section 3.8.5), between two hosts on a cable.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use common::{RIGHT, pair, pattern};
use wharf::net::{TcpListener, TcpStream};
use wharf::{ListenOptions, Net, SocketError, TcpOptions, aio};

fn connected(client: &Net, server: &Net) -> (TcpStream, TcpStream) {
    connected_with(client, server, &ListenOptions::default())
}

fn connected_with(client: &Net, server: &Net, options: &ListenOptions) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind_with(server, (RIGHT, 0), options).unwrap();
    let near = TcpStream::connect(client, listener.local_addr().unwrap()).unwrap();
    near.set_nodelay(true).unwrap();
    (near, listener.accept().unwrap().0)
}

fn read_some(stream: &TcpStream, most: usize) -> Vec<u8> {
    let mut buffer = vec![0; most];
    let mut stream = stream;
    let n = stream.read(&mut buffer).unwrap();
    buffer.truncate(n);
    buffer
}

/// Waits until something holds.
fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "this never came to hold");
        thread::yield_now();
    }
}

/// The last urgent byte, of which the mark may have come before.
fn out_of_band(stream: &TcpStream) -> u8 {
    let mut byte = None;
    until(|| {
        byte = match stream.recv_out_of_band() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            other => Some(other.unwrap()),
        };
        byte.is_some()
    });
    byte.unwrap()
}

/// Reads until `wanted` bytes were read.
fn read_all(stream: &TcpStream, wanted: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < wanted {
        let more = read_some(stream, wanted - bytes.len());
        assert!(!more.is_empty(), "the stream has ended");
        bytes.extend(more);
    }
    bytes
}

#[test]
fn reads_stop_before_the_last_urgent_byte_and_it_stays_in_the_stream() {
    let (left, right) = pair();
    let (mut near, far) = connected(&left, &right);
    assert_eq!(far.urgent_remaining().unwrap(), 0);
    assert!(!far.at_mark().unwrap());
    near.write_all(b"before").unwrap();
    assert_eq!(near.send_out_of_band(b"ur!").unwrap(), 3);
    near.write_all(b"after").unwrap();
    assert!(far.wait_urgent().unwrap() > 0);
    // However large the buffer.
    assert_eq!(read_all(&far, 8), b"beforeur");
    assert!(far.at_mark().unwrap());
    assert_eq!(far.urgent_remaining().unwrap(), 1);
    assert_eq!(read_all(&far, 6), b"!after");
    assert!(!far.at_mark().unwrap());
    assert_eq!(far.urgent_remaining().unwrap(), 0);
    assert_eq!(SocketError::of(&far.recv_out_of_band().unwrap_err()), Some(SocketError::NothingUrgent));
}

#[test]
fn out_of_band_the_last_urgent_byte_is_taken_apart() {
    let (left, right) = pair();
    let (mut near, far) = connected(&left, &right);
    assert!(far.out_of_band_inline());
    far.set_out_of_band_inline(false);
    assert_eq!(far.recv_out_of_band().unwrap_err().kind(), ErrorKind::InvalidInput);
    near.write_all(b"before").unwrap();
    near.send_out_of_band(b"!").unwrap();
    near.write_all(b"after").unwrap();
    far.wait_urgent().unwrap();
    assert_eq!(out_of_band(&far), b'!');
    assert_eq!(read_all(&far, 11), b"beforeafter");
    far.set_nonblocking(true).unwrap();
    assert_eq!((&far).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn no_reader_passes_a_mark_unknowingly() {
    // The reader looks while the byte arrives, and would take it for one of the stream if it did not learn of the mark first.
    let (left, right) = pair();
    let (mut near, far) = connected(&left, &right);
    far.set_out_of_band_inline(false);
    far.set_nonblocking(true).unwrap();
    const ROUNDS: u32 = 1_000;
    let reader = thread::spawn(move || {
        for round in 0..ROUNDS {
            let (mut buffer, mut read) = ([0; 16], 0);
            until(|| {
                read = (&far).read(&mut buffer).unwrap_or(0);
                read > 0
            });
            assert_eq!(&buffer[..read], [round as u8]);
            (&far).write_all(b".").unwrap();
        }
    });
    for round in 0..ROUNDS {
        near.send_out_of_band(b"!").unwrap();
        near.write_all(&[round as u8]).unwrap();
        assert_eq!(read_all(&near, 1), b".");
    }
    reader.join().unwrap();
    drop(near);
    // While somebody is there to acknowledge its end.
    drop(left);
}

#[test]
fn tasks_wait_for_urgent_data_beside_those_that_read() {
    let (left, right) = pair();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = aio::TcpListener::bind(&right, (RIGHT, 0)).await.unwrap();
        let near = aio::TcpStream::connect(&left, listener.local_addr().unwrap()).await.unwrap();
        let far = listener.accept().await.unwrap().0;
        far.set_out_of_band_inline(false);
        let urgent = async { (far.urgent().await.unwrap(), far.recv_out_of_band().await.unwrap()) };
        let send = async { near.send_out_of_band(b"ab!").await.unwrap() };
        let ((remaining, byte), sent) = tokio::join!(urgent, send);
        assert_eq!((remaining, byte, sent), (3, b'!', 3));
        let mut buffer = [0; 10];
        far.readable().await.unwrap();
        assert_eq!(far.try_read(&mut buffer).unwrap(), 2);
        assert!(far.at_mark().await.unwrap());
        drop(near);
        // The mark lies ahead until it is read past; then nothing urgent will come any more.
        assert_eq!(far.urgent().await.unwrap(), 1);
        assert!(!matches!(far.try_read(&mut buffer), Ok(1..)));
        assert_eq!(far.urgent().await.unwrap(), 0);
    });
}

#[test]
fn the_mark_gets_past_a_reader_that_takes_nothing_and_waits_for_its_byte_without_blocking() {
    let (left, right) = pair();
    let mut options = ListenOptions::default();
    options.tcp.receive_buffer = Some(8 << 10);
    let (mut near, far) = connected_with(&left, &right, &options);
    far.set_out_of_band_inline(false);
    let data = pattern(5, 30 << 10);
    near.write_all(&data).unwrap();
    near.send_out_of_band(b"!").unwrap();
    // The window was closed before the urgent byte could come. What is read opens it.
    let remaining = far.wait_urgent().unwrap();
    assert_eq!(remaining, data.len() as u64 + 1);
    assert_eq!(far.recv_out_of_band().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!far.at_mark().unwrap());
    assert!(read_all(&far, data.len()) == data);
    assert!(far.at_mark().unwrap());
    assert_eq!(out_of_band(&far), b'!');
    // A second time there is nothing to take.
    assert_eq!(far.recv_out_of_band().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_later_mark_makes_the_earlier_byte_one_of_the_stream() {
    let (left, right) = pair();
    let (mut near, far) = connected(&left, &right);
    far.set_out_of_band_inline(false);
    near.send_out_of_band(b"1").unwrap();
    assert_eq!(far.wait_urgent().unwrap(), 1);
    near.write_all(b"x").unwrap();
    near.send_out_of_band(b"2").unwrap();
    until(|| far.urgent_remaining().unwrap() == 3);
    assert_eq!(read_all(&far, 2), b"1x");
    assert!(far.at_mark().unwrap());
    near.write_all(b"y").unwrap();
    assert_eq!(read_all(&far, 1), b"y");
    // It was read past, and can still be had.
    assert_eq!(far.recv_out_of_band().unwrap(), b'2');
}

#[test]
fn no_urgent_byte_leaves_without_its_mark_whatever_is_written_around_it() {
    let (left, right) = pair();
    let (mut near, far) = connected(&left, &right);
    let mut position = 0;
    for _ in 0..500 {
        near.write_all(b"x").unwrap();
        near.send_out_of_band(b"!").unwrap();
        position += 2;
        // Nothing was read yet: the mark is where the last urgent byte ends.
        until(|| far.urgent_remaining().unwrap() == position);
    }
    assert_eq!(read_all(&far, 999).len(), 999);
    assert!(far.at_mark().unwrap());
}

#[test]
fn nobody_waits_for_a_mark_that_cannot_come() {
    let (left, right) = pair();
    let (near, far) = connected(&left, &right);
    far.set_nonblocking(true).unwrap();
    assert_eq!(far.wait_urgent().unwrap_err().kind(), ErrorKind::WouldBlock);
    far.set_nonblocking(false).unwrap();
    drop(near);
    assert_eq!(far.wait_urgent().unwrap(), 0);
    assert_eq!(far.recv_out_of_band().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn urgent_data_that_came_before_the_connection_was_accepted_is_known() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    let near = TcpStream::connect(&left, listener.local_addr().unwrap()).unwrap();
    near.send_out_of_band(b"ab").unwrap();
    // Everything has arrived before anybody accepts.
    until(|| near.info().unwrap().bytes_acked == 2);
    let far = listener.accept().unwrap().0;
    assert_eq!(far.wait_urgent().unwrap(), 2);
    assert_eq!(read_some(&far, 10), b"a");
    assert!(far.at_mark().unwrap());
}

#[test]
fn what_did_not_fit_is_not_marked() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    let mut options = TcpOptions::default();
    options.send_buffer = Some(16 << 10);
    let near = TcpStream::connect_with(&left, listener.local_addr().unwrap(), &options).unwrap();
    let far = listener.accept().unwrap().0;
    let written = near.send_out_of_band(&[7; 40 << 10]).unwrap();
    assert!(written <= 16 << 10);
    assert_eq!(far.wait_urgent().unwrap(), written as u64);
}

#[test]
fn an_urgent_write_waits_for_room_like_any_other() {
    const LEN: usize = 200 << 10;
    let (left, right) = pair();
    let (mut serve, mut call) = (ListenOptions::default(), TcpOptions::default());
    serve.tcp.receive_buffer = Some(16 << 10);
    call.send_buffer = Some(16 << 10);
    let listener = TcpListener::bind_with(&right, (RIGHT, 0), &serve).unwrap();
    let near = TcpStream::connect_with(&left, listener.local_addr().unwrap(), &call).unwrap();
    let far = listener.accept().unwrap().0;
    let writer = thread::spawn(move || {
        let data = pattern(9, LEN);
        let mut written = 0;
        while written < LEN {
            written += near.send_out_of_band(&data[written..]).unwrap();
        }
        near
    });
    assert!(read_all(&far, LEN) == pattern(9, LEN));
    drop(writer.join().unwrap());
    drop(left);
}

#[test]
fn an_urgent_write_fails_like_any_other() {
    let (left, right) = pair();
    let (near, far) = connected(&left, &right);
    near.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(near.send_out_of_band(b"!").unwrap_err().kind(), ErrorKind::BrokenPipe);
    drop(far);
    let (near, far) = connected(&left, &right);
    far.set_linger(Some(Duration::ZERO)).unwrap();
    drop(far);
    assert_eq!((&near).read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(near.send_out_of_band(b"!").unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_byte_that_was_announced_and_will_never_come_is_none() {
    let (left, right) = pair();
    let mut options = ListenOptions::default();
    options.tcp.receive_buffer = Some(8 << 10);
    let (mut near, far) = connected_with(&left, &right, &options);
    far.set_out_of_band_inline(false);
    near.write_all(&pattern(5, 30 << 10)).unwrap();
    near.send_out_of_band(b"!").unwrap();
    far.wait_urgent().unwrap();
    assert_eq!(far.recv_out_of_band().unwrap_err().kind(), ErrorKind::WouldBlock);
    near.set_linger(Some(Duration::ZERO)).unwrap();
    drop(near);
    until(|| far.recv_out_of_band().unwrap_err().kind() == ErrorKind::InvalidInput);
}

#[test]
fn a_byte_out_of_band_alone_makes_nothing_readable() {
    let (left, right) = pair();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let listener = aio::TcpListener::bind(&right, (RIGHT, 0)).await.unwrap();
        let near = aio::TcpStream::connect(&left, listener.local_addr().unwrap()).await.unwrap();
        let far = listener.accept().await.unwrap().0;
        far.set_out_of_band_inline(false);
        near.send_out_of_band(b"!").await.unwrap();
        assert_eq!(far.urgent().await.unwrap(), 1);
        assert_eq!(far.recv_out_of_band().await.unwrap(), b'!');
        assert_eq!(far.try_recv_out_of_band().unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut readable = std::pin::pin!(far.readable());
        assert!(std::future::poll_fn(|context| Poll::Ready(readable.as_mut().poll(context).is_pending())).await);
        near.writable().await.unwrap();
        near.try_write(b"x").unwrap();
        readable.await.unwrap();
        let mut buffer = [0; 4];
        assert_eq!((far.try_read(&mut buffer).unwrap(), buffer[0]), (1, b'x'));
    });
}
