//! Fast Open (RFC 7413) from the library's side, between two hosts on a cable.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::thread;

use common::{RIGHT, pair, pattern};
use wharf::net::{TcpListener, TcpStream};
use wharf::{ListenOptions, Net, TcpOptions, aio};

fn fast() -> TcpOptions {
    let mut options = TcpOptions::default();
    options.fast_open = true;
    options
}

fn listener(net: &Net) -> TcpListener {
    let mut options = ListenOptions::default();
    options.fast_open = Some(16);
    TcpListener::bind_with(net, (RIGHT, 0), &options).unwrap()
}

/// Accepts one connection and answers what it brings with the same, and how many of its bytes came on its SYN.
fn echo(listener: &TcpListener) -> bool {
    let (mut stream, _) = listener.accept().unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    stream.write_all(&bytes).unwrap();
    stream.info().unwrap().fast_open
}

/// Sends `data` by a connection that opens fast and returns whether it went with the SYN, as client and server see it.
fn call(net: &Net, listener: &TcpListener, data: &[u8], options: &TcpOptions) -> (bool, bool) {
    thread::scope(|scope| {
        let server = scope.spawn(|| echo(listener));
        let address = listener.local_addr().unwrap();
        let mut stream = TcpStream::connect_with_data(net, address, options, data).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == data, "every byte once, in order");
        (stream.info().is_ok_and(|info| info.fast_open), server.join().unwrap())
    })
}

#[test]
fn the_second_connection_takes_its_text_along() {
    let (left, right) = pair();
    let listener = listener(&right);
    assert!(!call(&left, &listener, b"first", &fast()).1);
    assert!(call(&left, &listener, b"second", &fast()).1);
}

#[test]
fn more_than_a_syn_holds_follows_the_handshake() {
    let (left, right) = pair();
    let listener = listener(&right);
    call(&left, &listener, b"", &fast());
    let data = pattern(3, 6 << 20);
    assert!(call(&left, &listener, &data, &fast()).1);
}

#[test]
fn without_the_option_data_follows_the_handshake() {
    let (left, right) = pair();
    let listener = listener(&right);
    call(&left, &listener, b"a cookie", &fast());
    assert!(!call(&left, &listener, b"plain", &TcpOptions::default()).1);
}

#[test]
fn a_server_that_does_not_open_fast_gets_the_data_all_the_same() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    for _ in 0..2 {
        assert!(!call(&left, &listener, b"data", &fast()).1);
    }
}

#[test]
fn a_listener_refuses_the_option_of_connections() {
    let (_left, right) = pair();
    let mut options = ListenOptions::default();
    options.tcp.fast_open = true;
    assert_eq!(TcpListener::bind_with(&right, (RIGHT, 0), &options).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn async_connections_open_fast_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (left, right) = pair();
    let listener = listener(&right).into_async();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for round in 0..2 {
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = [0; 4];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                stream.info().await.unwrap().fast_open
            };
            let client = async {
                let mut stream = aio::TcpStream::connect_with_data(&left, address, &fast(), b"ping").await.unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).await.unwrap();
                assert_eq!(&answer, b"ping");
                assert_eq!(stream.info().await.unwrap().fast_open, round == 1);
            };
            let (taken, ()) = tokio::join!(server, client);
            assert_eq!(taken, round == 1);
        }
    });
}

#[test]
fn an_async_connection_sends_what_a_syn_does_not_hold_as_well() {
    use tokio::io::AsyncReadExt;
    let (left, right) = pair();
    let listener = listener(&right).into_async();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        // More than the send buffer.
        let data = pattern(4, 6 << 20);
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 6 << 20];
            stream.read_exact(&mut bytes).await.unwrap();
            (stream, bytes)
        };
        let options = fast();
        let client = aio::TcpStream::connect_with_data(&left, address, &options, &data);
        let ((_server, bytes), client) = tokio::join!(server, client);
        assert!(bytes == data);
        drop(client.unwrap());
    });
}
