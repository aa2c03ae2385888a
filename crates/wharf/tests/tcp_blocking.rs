//! Blocking TCP behaves like std's, between two hosts on a cable.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use common::{LEFT, NOBODY, RIGHT, hash, pair, pair_of_mtu, pattern};
use wharf::net::{TcpListener, TcpStream};
use wharf::{CongestionControl, Ecn, ListenOptions, Net, SocketError, TcpOptions, UserTimeoutOption};

fn connected(client: &Net, server: &Net) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(server, (RIGHT, 0)).unwrap();
    let near = TcpStream::connect(client, listener.local_addr().unwrap()).unwrap();
    let (far, peer) = listener.accept().unwrap();
    assert_eq!(near.local_addr().unwrap(), peer);
    assert_eq!(near.peer_addr().unwrap(), far.local_addr().unwrap());
    (near, far)
}

/// The same, with buffers of a megabyte at each side from the first byte on.
fn connected_with_room(client: &Net, server: &Net) -> (TcpStream, TcpStream) {
    let mut listen = ListenOptions::default();
    listen.tcp.send_buffer = Some(1 << 20);
    listen.tcp.receive_buffer = Some(1 << 20);
    let listener = TcpListener::bind_with(server, (RIGHT, 0), &listen).unwrap();
    let near = TcpStream::connect_with(client, listener.local_addr().unwrap(), &listen.tcp).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn what_is_written_is_read_on_the_other_side() {
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right);
    near.write_all(b"to and").unwrap();
    let mut buffer = [0; 16];
    let n = far.read(&mut buffer).unwrap();
    far.write_all(&buffer[..n]).unwrap();
    far.write_all(b" fro").unwrap();
    let mut echoed = [0; 10];
    near.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"to and fro");
}

#[test]
fn addresses_are_those_of_the_hosts() {
    let (left, right) = pair();
    let (near, _far) = connected(&left, &right);
    assert_eq!(near.local_addr().unwrap().ip(), std::net::IpAddr::from(LEFT));
    assert_eq!(near.peer_addr().unwrap().ip(), std::net::IpAddr::from(RIGHT));
}

#[test]
fn a_port_without_a_listener_refuses() {
    let (left, _right) = pair();
    let error = TcpStream::connect(&left, (RIGHT, 9)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(SocketError::of(&error), Some(SocketError::Refused));
}

#[test]
fn a_host_that_does_not_exist_is_unreachable() {
    let (left, _right) = pair();
    let error = TcpStream::connect(&left, (NOBODY, 80)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable);
}

#[test]
fn a_network_without_a_route_is_unreachable_at_once() {
    let (left, _right) = pair();
    let error = TcpStream::connect(&left, ([192, 0, 2, 1], 80)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
}

#[test]
fn connect_gives_up_when_its_time_is_over() {
    let (left, _right) = pair();
    let begun = Instant::now();
    let address = SocketAddr::from((NOBODY, 80));
    let error = TcpStream::connect_timeout(&left, &address, Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    let error = TcpStream::connect_timeout(&left, &address, Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right);
    near.write_all(b"question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(near.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut text = String::new();
    far.read_to_string(&mut text).unwrap();
    assert_eq!(text, "question");
    far.write_all(b"answer").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    text.clear();
    near.read_to_string(&mut text).unwrap();
    assert_eq!(text, "answer");
    assert!(near.take_error().unwrap().is_none());
}

#[test]
fn a_reader_that_has_shut_down_reads_the_end() {
    let (left, right) = pair();
    let (mut near, _far) = connected(&left, &right);
    let clone = near.try_clone().unwrap();
    let reader = thread::spawn(move || near.read(&mut [0; 8]).unwrap());
    clone.shutdown(Shutdown::Read).unwrap();
    assert_eq!(reader.join().unwrap(), 0);
}

#[test]
fn dropping_a_stream_with_unread_bytes_resets_the_peer() {
    let (left, right) = pair();
    let (mut near, far) = connected(&left, &right);
    near.write_all(b"nobody reads this").unwrap();
    let mut peeked = [0; 8];
    assert!(far.peek(&mut peeked).unwrap() > 0);
    drop(far);
    let error = near.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    // A stream that was cut off never looks like one that ended.
    assert_eq!(near.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(near.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(near.take_error().unwrap().is_some());
    assert!(near.take_error().unwrap().is_none());
}

#[test]
fn zero_linger_resets_the_peer() {
    let (left, right) = pair();
    let (mut near, far) = connected(&left, &right);
    far.set_zero_linger().unwrap();
    drop(far);
    assert_eq!(near.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn lingering_waits_until_the_peer_has_everything_and_no_longer_than_it_was_told() {
    // POSIX, SO_LINGER with a time.
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right);
    far.set_linger(Some(Duration::from_secs(60))).unwrap();
    far.write_all(&[7; 20_000]).unwrap();
    drop(far);
    let mut all = Vec::new();
    near.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 20_000);

    // More than the peer's window takes, and nobody reads: the drop returns all the same, and nothing is lost.
    let (mut near, mut far) = connected(&left, &right);
    far.set_linger(Some(Duration::from_millis(50))).unwrap();
    let writer = thread::spawn(move || {
        far.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut written = 0;
        while let Ok(more) = far.write(&[7; 65_536]) {
            written += more;
        }
        written
    });
    let written = writer.join().unwrap();
    let mut all = Vec::new();
    near.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), written);
}

#[test]
fn what_arrived_before_a_reset_is_read_first() {
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right);
    far.write_all(b"last words").unwrap();
    let mut words = [0; 4];
    assert_eq!(near.peek(&mut words).unwrap(), 4);
    near.write_all(b"unread").unwrap();
    far.peek(&mut words).unwrap();
    drop(far);
    // The reset is here when writing fails.
    while near.write(b"?").is_ok() {
        thread::yield_now();
    }
    let mut all = [0; 10];
    near.read_exact(&mut all).unwrap();
    assert_eq!(&all, b"last words");
    assert_eq!(near.read(&mut words).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn dropping_a_stream_still_sends_what_was_written() {
    let (left, right) = pair();
    let (mut near, mut far) = connected_with_room(&left, &right);
    let sent = pattern(1, 900_000);
    near.write_all(&sent).unwrap();
    drop(near);
    let mut received = Vec::new();
    far.read_to_end(&mut received).unwrap();
    assert!(received == sent);
}

#[test]
fn dropping_the_last_handle_still_sends_what_was_written() {
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right);
    let sent = pattern(2, 900_000);
    let writer = thread::spawn({
        let sent = sent.clone();
        move || {
            near.write_all(&sent).unwrap();
            drop(near);
            drop(left);
        }
    });
    let mut received = Vec::new();
    far.read_to_end(&mut received).unwrap();
    assert!(received == sent);
    writer.join().unwrap();
}

#[test]
fn reading_stops_when_its_time_is_over() {
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right);
    near.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(near.read_timeout().unwrap(), Some(Duration::from_millis(20)));
    assert_eq!(near.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(near.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
    far.write_all(b"late").unwrap();
    near.set_read_timeout(None).unwrap();
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 4);
}

#[test]
fn writing_stops_when_its_time_is_over_and_goes_on_when_there_is_room() {
    let (left, right) = pair();
    let (mut near, mut far) = connected_with_room(&left, &right);
    near.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let chunk = pattern(3, 1 << 16);
    let mut written = 0;
    let error = loop {
        match near.write(&chunk) {
            Ok(n) => written += n,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    // A megabyte here and a megabyte there.
    assert!(written > 1 << 20, "{written}");
    near.set_write_timeout(None).unwrap();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        all.len()
    });
    near.write_all(&chunk).unwrap();
    drop(near);
    assert_eq!(reader.join().unwrap(), written + chunk.len());
}

#[test]
fn nonblocking_calls_say_so_instead_of_waiting() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let near = TcpStream::connect(&left, listener.local_addr().unwrap()).unwrap();
    near.set_nonblocking(true).unwrap();
    assert_eq!((&near).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn peeking_takes_nothing() {
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right);
    near.write_all(b"look").unwrap();
    let mut buffer = [0; 8];
    for _ in 0..3 {
        let n = far.peek(&mut buffer).unwrap();
        assert!(n > 0 && b"look".starts_with(&buffer[..n]));
    }
    let mut all = [0; 4];
    far.read_exact(&mut all).unwrap();
    assert_eq!(&all, b"look");
}

#[test]
fn a_clone_reads_while_another_writes() {
    let (left, right) = pair();
    let (near, far) = connected(&left, &right);
    let mut echo = far.try_clone().unwrap();
    thread::spawn(move || std::io::copy(&mut &far, &mut echo).unwrap());
    let mut reader = near.try_clone().unwrap();
    let sent = pattern(4, 3_000_000);
    let reading = thread::spawn(move || {
        let mut received = vec![0; 3_000_000];
        reader.read_exact(&mut received).unwrap();
        received
    });
    (&near).write_all(&sent).unwrap();
    assert!(reading.join().unwrap() == sent);
}

#[test]
fn sixteen_mebibytes_cross_both_ways_at_once() {
    const LEN: usize = 16 << 20;
    let (left, right) = pair();
    let (near, far) = connected(&left, &right);
    let side = |stream: TcpStream, seed: u64| {
        let writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            let bytes = pattern(seed, LEN);
            (&writer).write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
            hash(&bytes)
        });
        thread::spawn(move || {
            let mut received = Vec::new();
            (&stream).read_to_end(&mut received).unwrap();
            (received.len(), hash(&received), writing.join().unwrap())
        })
    };
    let (near, far) = (side(near, 5), side(far, 6));
    let (near_len, near_received, near_sent) = near.join().unwrap();
    let (far_len, far_received, far_sent) = far.join().unwrap();
    assert_eq!((near_len, far_len), (LEN, LEN));
    assert_eq!((near_received, far_received), (far_sent, near_sent));
}

#[test]
fn bytes_are_right_at_every_mtu() {
    for mtu in [576, 1_280, 9_000, 65_535] {
        let (left, right) = pair_of_mtu(mtu);
        let (mut near, mut far) = connected(&left, &right);
        let sent = pattern(u64::from(mtu), 500_000);
        let writer = thread::spawn({
            let sent = sent.clone();
            move || near.write_all(&sent).unwrap()
        });
        let mut received = vec![0; sent.len()];
        far.read_exact(&mut received).unwrap();
        assert!(received == sent, "MTU {mtu}");
        writer.join().unwrap();
    }
}

#[test]
fn two_hundred_connections_at_once_all_echo() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let echoes: Vec<_> = (0..200)
            .map(|_| {
                let (stream, _) = listener.accept().unwrap();
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream).unwrap())
            })
            .collect();
        echoes.into_iter().map(|echo| echo.join().unwrap()).sum::<u64>()
    });
    let clients: Vec<_> = (0..200)
        .map(|number: u64| {
            let left = left.clone();
            thread::spawn(move || {
                let mut stream = TcpStream::connect(&left, address).unwrap();
                let sent = pattern(number, 10_000);
                stream.write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut received = Vec::new();
                stream.read_to_end(&mut received).unwrap();
                assert!(received == sent);
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(server.join().unwrap(), 2_000_000);
}

#[test]
fn a_burst_beyond_the_backlog_is_served_in_the_end() {
    // T34: nobody is reset for want of a place in the queue.
    let (left, right) = pair();
    let mut options = ListenOptions::default();
    options.backlog = 4;
    let listener = TcpListener::bind_with(&right, (RIGHT, 0), &options).unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..150)
        .map(|_| {
            let left = left.clone();
            thread::spawn(move || {
                let mut stream = TcpStream::connect(&left, address).unwrap();
                stream.read_exact(&mut [0; 1]).unwrap();
            })
        })
        .collect();
    for stream in listener.incoming().take(150) {
        stream.unwrap().write_all(b"!").unwrap();
    }
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn dropping_a_listener_resets_who_was_not_accepted_and_frees_the_port() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(TcpListener::bind(&right, address).unwrap_err().kind(), ErrorKind::AddrInUse);
    let mut near = TcpStream::connect(&left, address).unwrap();
    drop(listener);
    assert_eq!(near.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(TcpStream::connect(&left, address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    TcpListener::bind(&right, address).unwrap();
}

#[test]
fn an_address_that_is_not_ours_cannot_be_bound() {
    let (left, _right) = pair();
    assert_eq!(TcpListener::bind(&left, (RIGHT, 0)).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    let mut options = TcpOptions::default();
    options.local = Some((NOBODY, 0).into());
    let error = TcpStream::connect_with(&left, (RIGHT, 9), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn traffic_to_the_own_address_stays_inside() {
    // I2.
    let (left, _right) = pair();
    let listener = TcpListener::bind(&left, ([0, 0, 0, 0], 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for own in [LEFT, [127, 0, 0, 1], [127, 8, 8, 8]] {
        let mut near = TcpStream::connect(&left, (own, port)).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(b"inside").unwrap();
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
    }
}

#[test]
fn options_are_kept_and_shared_by_clones() {
    let (left, right) = pair();
    let (near, _far) = connected(&left, &right);
    near.set_nodelay(true).unwrap();
    near.set_ttl(17).unwrap();
    near.set_tos(0x10).unwrap();
    assert_eq!(near.set_ttl(0).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(near.set_ttl(256).unwrap_err().kind(), ErrorKind::InvalidInput);
    let clone = near.try_clone().unwrap();
    assert!(clone.nodelay().unwrap());
    assert_eq!(clone.ttl().unwrap(), 17);
    assert_eq!(clone.tos().unwrap(), 0x10);
    let info = clone.info().unwrap();
    assert!(info.segment_size > 1_000 && info.segment_size <= 1_460);
}

#[test]
fn what_is_written_in_pieces_waits_where_it_is_corked() {
    const PIECES: [&[u8]; 3] = [b"HTTP/1.1 200 OK\r\n", b"\r\n", b"hello"];
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right);
    near.set_nodelay(true).unwrap();
    // A machine that stalls for longer than anything is held back shows nothing: then once more.
    let waited = (0..20).any(|_| {
        near.set_cork(true).unwrap();
        assert!(near.cork().unwrap());
        let before = near.info().unwrap().bytes_sent;
        PIECES.iter().for_each(|piece| near.write_all(piece).unwrap());
        // The engine answers before it looks at what was written: the second answer tells.
        near.info().unwrap();
        let waits = near.info().unwrap().bytes_sent == before;
        near.set_cork(false).unwrap();
        let mut text = vec![0; PIECES.concat().len()];
        far.read_exact(&mut text).unwrap();
        assert_eq!(text, PIECES.concat());
        waits
    });
    assert!(waited);
}

#[test]
fn quick_acknowledgements_last_until_something_is_sent_in_answer() {
    // TCP_QUICKACK, as std has it for Linux.
    let (left, right) = pair();
    let (mut near, mut far) = connected(&left, &right);
    assert!(!near.quickack().unwrap());
    near.set_quickack(true).unwrap();
    assert!(near.try_clone().unwrap().quickack().unwrap());
    far.write_all(b"question").unwrap();
    let mut question = [0; 8];
    near.read_exact(&mut question).unwrap();
    assert!(near.quickack().unwrap());
    near.write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    far.read_exact(&mut answer).unwrap();
    assert!(!near.quickack().unwrap());
    near.set_quickack(true).unwrap();
    near.set_quickack(false).unwrap();
    assert!(!near.quickack().unwrap());
}

#[test]
fn congestion_control_and_pacing_are_chosen_by_socket_and_tcp_info_tells() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    let mut options = TcpOptions::default();
    options.congestion_control = Some(CongestionControl::Bbr);
    options.ecn = Some(Ecn::Active);
    let mut near = TcpStream::connect_with(&left, listener.local_addr().unwrap(), &options).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let sent = pattern(3, 300_000);
    let reader = thread::spawn(move || {
        let mut received = vec![0; 300_000];
        far.read_exact(&mut received).unwrap();
        (received, far)
    });
    near.write_all(&sent).unwrap();
    let (received, mut far) = reader.join().unwrap();
    assert!(received == sent);
    let info = near.info().unwrap();
    assert_eq!(info.congestion_control, Some(CongestionControl::Bbr));
    assert!(info.ecn && info.pacing_rate.is_some() && info.delivery_rate.is_some() && info.min_rtt.is_some());
    assert!(info.bytes_sent >= 300_000 && info.busy > Duration::ZERO, "{info:?}");
    assert_eq!(far.info().unwrap().bytes_received, 300_000);

    near.set_congestion_control("reno").unwrap();
    assert_eq!(near.set_congestion_control("vegas").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(near.set_max_pacing_rate(Some(0)).unwrap_err().kind(), ErrorKind::InvalidInput);
    near.set_max_pacing_rate(Some(50_000_000)).unwrap();
    near.write_all(b"more").unwrap();
    let mut more = [0; 4];
    far.read_exact(&mut more).unwrap();
    let info = near.info().unwrap();
    assert_eq!(info.congestion_control, Some(CongestionControl::NewReno));
    assert!(info.pacing_rate.is_some_and(|rate| rate <= 50_000_000));
    near.set_max_pacing_rate(None).unwrap();
    options.max_pacing_rate = Some(0);
    let refused = TcpStream::connect_with(&left, listener.local_addr().unwrap(), &options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(near.info().unwrap().pacing_rate, None);
}

#[test]
fn two_ends_tell_each_other_their_user_timeouts_where_both_want_to() {
    // RFC 5482 section 3.
    let (left, right) = pair();
    let mut told = UserTimeoutOption::default();
    told.advertised = Some(Duration::from_secs(180));
    let mut listening = ListenOptions::default();
    listening.tcp.user_timeout_option = Some(told);
    let listener = TcpListener::bind_with(&right, (RIGHT, 0), &listening).unwrap();
    let mut options = TcpOptions::default();
    options.user_timeout_option = Some(UserTimeoutOption::default());
    let mut near = TcpStream::connect_with(&left, listener.local_addr().unwrap(), &options).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    assert_eq!(near.info().unwrap().remote_user_timeout, Some(Duration::from_secs(180)));
    assert_eq!(far.info().unwrap().remote_user_timeout, Some(Duration::from_secs(300)));
    told.advertised = Some(Duration::from_secs(240));
    far.set_user_timeout_option(Some(told)).unwrap();
    far.write_all(b"x").unwrap();
    near.read_exact(&mut [0]).unwrap();
    assert_eq!(near.info().unwrap().remote_user_timeout, Some(Duration::from_secs(240)));
    assert_eq!(far.user_timeout_option().unwrap(), Some(told));
    // The longer of the two, which none of the applications has set.
    for stream in [&near, &far] {
        assert_eq!(stream.info().unwrap().user_timeout, Some(Duration::from_secs(300)));
        assert_eq!(stream.user_timeout().unwrap(), None);
    }
}

#[test]
fn a_slow_reader_does_not_slow_the_others() {
    // T39, P2.
    let (left, right) = pair();
    let (mut stuck, _unread) = connected(&left, &right);
    stuck.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    while stuck.write(&[0; 1 << 16]).is_ok() {}
    let (mut near, mut far) = connected(&left, &right);
    let sent = pattern(7, 2_000_000);
    let writer = thread::spawn({
        let sent = sent.clone();
        move || near.write_all(&sent).unwrap()
    });
    let mut received = vec![0; sent.len()];
    far.read_exact(&mut received).unwrap();
    assert!(received == sent);
    writer.join().unwrap();
}

#[test]
fn small_buffers_never_stall_a_stream() {
    // A wake-up that is lost, or a window that nobody opens again, shows here as a test that never ends.
    for size in [1_460, 2_000, 5_000, 20_000] {
        let (left, right) = pair();
        let mut listen = ListenOptions::default();
        listen.tcp.send_buffer = Some(size);
        listen.tcp.receive_buffer = Some(size);
        let listener = TcpListener::bind_with(&right, (RIGHT, 0), &listen).unwrap();
        let mut options = TcpOptions::default();
        options.send_buffer = Some(size);
        options.receive_buffer = Some(size);
        let near = TcpStream::connect_with(&left, listener.local_addr().unwrap(), &options).unwrap();
        let (far, _) = listener.accept().unwrap();
        let echo = thread::spawn(move || {
            // Pieces of odd sizes, so that the ring is neither emptied nor filled at the same places.
            let mut buffer = [0; 777];
            loop {
                let n = (&far).read(&mut buffer).unwrap();
                if n == 0 {
                    return;
                }
                (&far).write_all(&buffer[..n]).unwrap();
            }
        });
        let sent = pattern(size as u64, 400_000);
        let writer = near.try_clone().unwrap();
        let writing = thread::spawn({
            let sent = sent.clone();
            move || {
                for (number, chunk) in sent.chunks(613).enumerate() {
                    (&writer).write_all(chunk).unwrap();
                    if number % 64 == 0 {
                        thread::sleep(Duration::from_micros(200));
                    }
                }
                writer.shutdown(Shutdown::Write).unwrap();
            }
        });
        let mut received = Vec::new();
        (&near).read_to_end(&mut received).unwrap();
        assert!(received == sent, "buffers of {size}");
        writing.join().unwrap();
        echo.join().unwrap();
    }
}

#[test]
fn a_word_and_its_answer_cross_ten_thousand_times() {
    let (left, right) = pair();
    let (near, far) = connected(&left, &right);
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let echo = thread::spawn(move || std::io::copy(&mut &far, &mut &far).unwrap());
    let mut buffer = [0; 8];
    for number in 0..10_000u64 {
        (&near).write_all(&number.to_be_bytes()).unwrap();
        (&near).read_exact(&mut buffer).unwrap();
        assert_eq!(u64::from_be_bytes(buffer), number);
    }
    drop(near);
    assert_eq!(echo.join().unwrap(), 80_000);
}
