//! Asynchronous TCP behaves like tokio's, on its runtimes and without one.

mod common;

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use common::{NOBODY, RIGHT, pair, pattern};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharf::Net;
use wharf::aio::{TcpListener, TcpStream};

async fn connected(client: &Net, server: &Net) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(server, (RIGHT, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(client, address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

#[tokio::test]
async fn what_is_written_is_read_on_a_runtime_of_one_thread() {
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right).await;
    near.write_all(b"hello").await.unwrap();
    near.shutdown().await.unwrap();
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
    far.write_all(b"goodbye").await.unwrap();
    drop(far);
    text.clear();
    near.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "goodbye");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_tasks_echo_on_a_runtime_of_many_threads() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut reading, mut writing) = stream.into_split();
                tokio::io::copy(&mut reading, &mut writing).await.unwrap();
            });
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..200 {
        let left = left.clone();
        clients.spawn(async move {
            let stream = TcpStream::connect(&left, address).await.unwrap();
            let (mut reading, mut writing) = stream.into_split();
            let sent = pattern(number, 50_000);
            let writer = tokio::spawn({
                let sent = sent.clone();
                async move { writing.write_all(&sent).await.unwrap() }
            });
            let mut received = Vec::new();
            reading.read_to_end(&mut received).await.unwrap();
            writer.await.unwrap();
            assert!(received == sent);
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[tokio::test]
async fn megabytes_cross_both_ways_at_once() {
    let (left, right) = pair();
    let (near, far) = connected(&left, &right).await;
    let side = |stream: TcpStream, seed| async move {
        let (mut reading, mut writing) = stream.into_split();
        let sent = pattern(seed, 4 << 20);
        let (_, received) = tokio::join!(
            async {
                writing.write_all(&sent).await.unwrap();
                writing.shutdown().await.unwrap();
            },
            async {
                let mut received = Vec::new();
                reading.read_to_end(&mut received).await.unwrap();
                received
            }
        );
        received
    };
    let (near, far) = tokio::join!(side(near, 1), side(far, 2));
    assert!(near == pattern(2, 4 << 20));
    assert!(far == pattern(1, 4 << 20));
}

#[tokio::test]
async fn a_refused_connection_is_an_error() {
    let (left, _right) = pair();
    let error = TcpStream::connect(&left, (RIGHT, 9)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn dropping_a_connect_gives_it_up() {
    let (left, _right) = pair();
    let connect = TcpStream::connect(&left, (NOBODY, 80));
    assert!(tokio::time::timeout(Duration::from_millis(20), connect).await.is_err());
    // Nothing is left that would keep the engine from stopping at once.
    let begun = std::time::Instant::now();
    drop(left);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn dropping_a_read_loses_no_byte() {
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right).await;
    let sent = pattern(3, 300_000);
    let writer = tokio::spawn({
        let sent = sent.clone();
        async move {
            for chunk in sent.chunks(997) {
                near.write_all(chunk).await.unwrap();
                tokio::task::yield_now().await;
            }
            near
        }
    });
    let mut received = Vec::new();
    let mut given_up = 0;
    while received.len() < sent.len() {
        let mut buffer = [0; 701];
        tokio::select! {
            biased;
            n = far.read(&mut buffer) => received.extend_from_slice(&buffer[..n.unwrap()]),
            () = tokio::task::yield_now() => given_up += 1,
        }
    }
    assert!(received == sent);
    assert!(given_up > 0);
    writer.await.unwrap();
}

#[tokio::test]
async fn dropping_an_accept_loses_no_connection() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let clients = tokio::spawn(async move {
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(TcpStream::connect(&left, address).await.unwrap());
        }
        streams
    });
    let mut accepted = Vec::new();
    while accepted.len() < 50 {
        tokio::select! {
            biased;
            stream = listener.accept() => accepted.push(stream.unwrap()),
            () = tokio::task::yield_now() => {}
        }
    }
    clients.await.unwrap();
}

#[tokio::test]
async fn dropping_the_writing_half_ends_the_stream_and_halves_reunite() {
    let (left, right) = pair();
    let (near, mut far) = connected(&left, &right).await;
    let (reading, writing) = near.into_split();
    let near = reading.reunite(writing).unwrap();
    let (mut reading, mut writing) = near.into_split();
    writing.write_all(b"all").await.unwrap();
    drop(writing);
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "all");
    far.write_all(b"still open").await.unwrap();
    drop(far);
    text.clear();
    reading.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "still open");

    let (near, _far) = connected(&left, &right).await;
    let (other, _other_far) = connected(&left, &right).await;
    let (reading, _writing) = near.into_split();
    let (_reading, writing) = other.into_split();
    assert!(reading.reunite(writing).is_err());
}

#[tokio::test]
async fn readiness_can_be_awaited() {
    let (left, right) = pair();
    let (near, mut far) = connected(&left, &right).await;
    let mut buffer = [0; 8];
    assert_eq!(near.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    near.writable().await.unwrap();
    far.write_all(b"ready").await.unwrap();
    near.readable().await.unwrap();
    let n = near.peek(&mut buffer).await.unwrap();
    assert_eq!(near.try_read(&mut buffer).unwrap(), n);
    let filler = vec![0; 1 << 16];
    while near.try_write(&filler).is_ok() {}
    assert_eq!(near.try_write(&filler).unwrap_err().kind(), ErrorKind::WouldBlock);
    let drain = tokio::spawn(async move {
        let mut sink = vec![0; 1 << 16];
        while far.read(&mut sink).await.unwrap() > 0 {}
    });
    near.writable().await.unwrap();
    assert!(near.try_write(&filler).is_ok());
    drop(near);
    drain.await.unwrap();
}

#[tokio::test]
async fn quick_acknowledgements_can_be_asked_for_and_taken_back() {
    let (left, right) = pair();
    let (near, _far) = connected(&left, &right).await;
    assert!(!near.quickack().await.unwrap());
    near.set_quickack(true).unwrap();
    assert!(near.quickack().await.unwrap());
    near.set_quickack(false).unwrap();
    assert!(!near.quickack().await.unwrap());
}

#[tokio::test]
async fn vectored_writes_arrive_in_order() {
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right).await;
    let pieces = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two "), IoSlice::new(b"three")];
    assert_eq!(near.write_vectored(&pieces).await.unwrap(), 13);
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "one two three");
}

#[tokio::test]
async fn a_stream_changes_between_blocking_and_async() {
    let (left, right) = pair();
    let (near, mut far) = connected(&left, &right).await;
    let mut near = near.into_blocking();
    near.write_all(b"b").unwrap();
    let mut byte = [0];
    far.read_exact(&mut byte).await.unwrap();
    far.write_all(b"a").await.unwrap();
    near.read_exact(&mut byte).unwrap();
    let mut near = near.into_async();
    far.write_all(b"c").await.unwrap();
    near.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"c");
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn futures_need_no_runtime() {
    let (left, right) = pair();
    let wakes = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    let mut work = pin!(async {
        let (mut near, mut far) = connected(&left, &right).await;
        near.write_all(b"bare").await.unwrap();
        let mut bytes = [0; 4];
        far.read_exact(&mut bytes).await.unwrap();
        bytes
    });
    let bytes = loop {
        let seen = wakes.0.load(Ordering::SeqCst);
        if let Poll::Ready(bytes) = work.as_mut().poll(&mut context) {
            break bytes;
        }
        // A wake-up for every wait: polling again without one would be cheating.
        while wakes.0.load(Ordering::SeqCst) == seen {
            std::thread::yield_now();
        }
    };
    assert_eq!(&bytes, b"bare");
}

#[tokio::test]
async fn a_task_that_waits_is_woken_although_others_waited_before_it() {
    // A waker that is left over from a future that was dropped must not take the place of one that is needed.
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right).await;
    for _ in 0..100 {
        let wakes = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(wakes);
        let mut context = Context::from_waker(&waker);
        let mut buffer = [0; 1];
        let mut read = pin!(far.read(&mut buffer));
        assert!(read.as_mut().poll(&mut context).is_pending());
    }
    let reader = tokio::spawn(async move {
        let mut buffer = [0; 1];
        far.read_exact(&mut buffer).await.unwrap();
    });
    tokio::task::yield_now().await;
    near.write_all(b"!").await.unwrap();
    reader.await.unwrap();
}

#[tokio::test]
async fn hyper_runs_http_1_over_our_streams() {
    let (left, right) = pair();
    let (near, far) = connected(&left, &right).await;
    let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut answer = body.to_vec();
        answer.reverse();
        Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(Bytes::from(answer))))
    });
    let server = tokio::spawn(async move {
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service).await.unwrap();
    });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
    let client = tokio::spawn(connection);
    for len in [0, 1, 1_000, 1_000_000] {
        let body = pattern(len as u64, len);
        let request = hyper::Request::post("/").body(Full::new(Bytes::from(body.clone()))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let mut answer = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        answer.reverse();
        assert!(answer == body);
    }
    drop(sender);
    client.await.unwrap().unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn poll_functions_serve_hand_written_futures() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).await.unwrap();
    let near = TcpStream::connect(&left, listener.local_addr().unwrap()).await.unwrap();
    let (_far, peer) = poll_fn(|context| listener.poll_accept(context)).await.unwrap();
    assert_eq!(peer, near.local_addr().unwrap());
    assert!(tokio::io::AsyncWrite::is_write_vectored(&near));
}
