//! TCP through the user-mode gateway, against the host's own sockets.

mod guest;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use guest::{Guest, Pattern, Stream, loopback, outside};
use stack::event::Readiness;
use stack::tcp::TcpError;
use wharf_links::Link;
use wharf_links::user::{Forward, Transport, UserConfig};

/// A host whose connections are each served by `serve` in a thread of its own.
fn host(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            thread::Builder::new().stack_size(128 << 10).spawn(move || serve(stream)).unwrap();
        }
    });
    address
}

/// A port on which nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind(loopback()).unwrap().local_addr().unwrap()
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream.as_fd(), Some(Duration::ZERO)).unwrap();
}

#[test]
fn what_is_sent_comes_back() {
    let peer = host(echo);
    let mut guest = Guest::with_peers(&[peer]);
    let mut stream = guest.connect(outside(peer)).unwrap();
    guest.write_all(&mut stream, b"through two engines and the kernel");
    assert_eq!(guest.read_exact(&mut stream, 34), b"through two engines and the kernel");
    guest.finish(&mut stream);
    assert_eq!(guest.read_to_end(&mut stream), b"");
    guest.close(stream);
    guest.until("the flow's end", |guest| (guest.link.gateway().stats().tcp_flows == 0).then_some(()));
}

/// PITFALLS P2: the window scales, at the usual MTU and the largest.
#[test]
fn megabytes_cross_both_ways_at_once_unchanged() {
    const TOTAL: u64 = 64 << 20;
    for mtu in [1_500, 65_520] {
        let (verdict, checked) = mpsc::channel();
        let peer = host(move |mut stream| {
            let mut writer = stream.try_clone().unwrap();
            let writing = thread::spawn(move || {
                let pattern = Pattern::new(1);
                let mut sent = 0;
                while sent < TOTAL {
                    let bytes = pattern.at(sent, (TOTAL - sent).min(100_000) as usize);
                    writer.write_all(bytes).unwrap();
                    sent += bytes.len() as u64;
                }
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let pattern = Pattern::new(2);
            let mut buffer = vec![0; 100_000];
            let (mut received, mut right) = (0, true);
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                right &= pattern.matches(received, &buffer[..count]);
                received += count as u64;
            }
            writing.join().unwrap();
            verdict.send((received, right)).unwrap();
        });
        let redirect = vec![(outside(peer), peer)];
        let mut guest = Guest::new(&UserConfig { redirect, mtu, ..UserConfig::default() });
        let mut stream = guest.connect(outside(peer)).unwrap();
        let (down, up) = (Pattern::new(1), Pattern::new(2));
        let (mut sent, mut received) = (0, 0);
        let mut buffer = vec![0; 200_000];
        guest.until("64 MiB both ways", |guest| {
            loop {
                let mut moved = 0;
                if sent < TOTAL {
                    let bytes = up.at(sent, (TOTAL - sent).min(200_000) as usize);
                    let count = guest.write(&mut stream, bytes);
                    sent += count as u64;
                    moved += count;
                    if sent == TOTAL {
                        guest.finish(&mut stream);
                    }
                }
                let count = guest.read(&mut stream, &mut buffer);
                assert!(down.matches(received, &buffer[..count]), "at {received}");
                received += count as u64;
                moved += count;
                if moved == 0 {
                    return (sent == TOTAL && stream.rings.receive.is_finished()).then_some(());
                }
            }
        });
        assert_eq!((sent, received), (TOTAL, TOTAL));
        assert_eq!(guest.until("the host's verdict", |_| checked.try_recv().ok()), (TOTAL, true));
    }
}

#[test]
fn the_guest_may_finish_first_and_still_listen() {
    let peer = host(|mut stream| {
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        request.reverse();
        stream.write_all(&request).unwrap();
    });
    let mut guest = Guest::with_peers(&[peer]);
    let mut stream = guest.connect(outside(peer)).unwrap();
    guest.write_all(&mut stream, b"stressed");
    guest.finish(&mut stream);
    assert_eq!(guest.read_to_end(&mut stream), b"desserts");
}

#[test]
fn the_host_may_finish_first_and_still_listen() {
    let (heard, hear) = mpsc::channel();
    let peer = host(move |mut stream| {
        stream.write_all(b"speak").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        heard.send(rest).unwrap();
    });
    let mut guest = Guest::with_peers(&[peer]);
    let mut stream = guest.connect(outside(peer)).unwrap();
    assert_eq!(guest.read_to_end(&mut stream), b"speak");
    guest.write_all(&mut stream, b"long after the host's end of stream");
    guest.finish(&mut stream);
    let rest = guest.until("the host to hear", |_| hear.try_recv().ok());
    assert_eq!(rest, b"long after the host's end of stream");
}

#[test]
fn a_connection_that_the_host_is_refused_is_refused_to_the_guest() {
    let peer = closed_port();
    let mut guest = Guest::with_peers(&[peer]);
    assert_eq!(guest.connect(outside(peer)).err(), Some(TcpError::Refused));
    let stats = guest.link.gateway().stats();
    assert_eq!((stats.tcp_attempts, stats.tcp_refused, stats.tcp_flows), (1, 1, 0));
}

#[test]
fn what_leads_nowhere_says_so() {
    let mut guest = Guest::with_peers(&[]);
    let to = |address: [u8; 4], port| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), port);
    assert_eq!(guest.connect(to([10, 0, 2, 3], 80)).err(), Some(TcpError::Refused));
    // The host has no route to a documentation address in a namespace of its own, and elsewhere nobody answers:
    // either way it is 240.0.0.0/4 that is reserved everywhere.
    assert_eq!(guest.connect(to([10, 0, 2, 77], 80)).err(), Some(TcpError::HostUnreachable));
}

#[test]
fn the_hosts_loopback_is_closed_unless_opened() {
    let peer = host(echo);
    let inside = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)), peer.port());
    let mut guest = Guest::new(&UserConfig::default());
    assert_eq!(guest.connect(inside).err(), Some(TcpError::Refused));
    let mut guest = Guest::new(&UserConfig { host_loopback: true, ..UserConfig::default() });
    let mut stream = guest.connect(inside).unwrap();
    guest.write_all(&mut stream, b"open");
    assert_eq!(guest.read_exact(&mut stream, 4), b"open");
}

#[test]
fn a_reset_by_the_guest_reaches_the_host() {
    let (told, tell) = mpsc::channel();
    let peer = host(move |mut stream| {
        stream.write_all(b"x").unwrap();
        told.send(stream.read(&mut [0; 1]).map_err(|error| error.kind())).unwrap();
    });
    let mut guest = Guest::with_peers(&[peer]);
    let mut stream = guest.connect(outside(peer)).unwrap();
    guest.read_exact(&mut stream, 1);
    guest.abort(stream);
    let result = guest.until("the reset", |_| tell.try_recv().ok());
    assert_eq!(result, Err(io::ErrorKind::ConnectionReset));
    assert_eq!(guest.link.gateway().stats().tcp_flows, 0);
}

#[test]
fn a_reset_by_the_host_reaches_the_guest_behind_what_came_before() {
    // More than the guest's window takes, less than it and what the gateway holds, both as they begin: nobody reads, so
    // they do not grow.
    const TOTAL: usize = 96 << 10;
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let peer = host(move |mut stream| {
        stream.write_all(&[7; TOTAL]).unwrap();
        gone.lock().unwrap().recv().unwrap();
        reset(stream);
    });
    let mut guest = Guest::with_peers(&[peer]);
    let mut stream = guest.connect(outside(peer)).unwrap();
    guest.until("everything to be on its way", |guest| {
        (guest.link.gateway().stats().bytes_to_guest == TOTAL as u64).then_some(())
    });
    go.send(()).unwrap();
    for _ in 0..50 {
        guest.turn();
        guest.sleep(Duration::from_millis(1));
    }
    let (mut received, mut buffer) = (0, vec![0; 1 << 16]);
    let error = guest.until("the reset", |guest| {
        received += guest.read(&mut stream, &mut buffer);
        guest.stack.tcp_error(stream.id)
    });
    assert_eq!(error, TcpError::Reset);
    received +=
        std::iter::from_fn(|| Some(guest.read(&mut stream, &mut buffer)).filter(|count| *count > 0)).sum::<usize>();
    assert_eq!(received, TOTAL);
    assert_eq!(guest.link.gateway().stats().tcp_flows, 0);
}

#[test]
fn a_reset_after_the_hosts_end_of_stream_still_reaches_the_guest() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let peer = host(move |stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        gone.lock().unwrap().recv().unwrap();
        reset(stream);
    });
    let mut guest = Guest::with_peers(&[peer]);
    let mut stream = guest.connect(outside(peer)).unwrap();
    assert_eq!(guest.read_to_end(&mut stream), b"");
    go.send(()).unwrap();
    assert_eq!(guest.error(&stream), TcpError::Reset);
}

/// PITFALLS P2: a slow reader starves nobody, and its stream waits where it came from.
#[test]
fn a_guest_that_does_not_read_stops_the_host_and_nobody_else() {
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let flood = host(move |mut stream| {
        let block = [1; 1 << 16];
        while let Ok(bytes) = stream.write(&block) {
            count.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    });
    let quick = host(echo);
    let mut guest = Guest::with_peers(&[flood, quick]);
    let mut idle = guest.connect(outside(flood)).unwrap();
    let mut busy = guest.connect(outside(quick)).unwrap();
    let mut last = 0;
    let mut same = 0;
    while same < 50 {
        guest.write_all(&mut busy, b"still here");
        assert_eq!(guest.read_exact(&mut busy, 10), b"still here");
        thread::sleep(Duration::from_millis(1));
        let now = written.load(Ordering::Relaxed);
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    let passed = guest.link.gateway().stats().bytes_to_guest;
    assert!(passed <= 3 << 20, "{passed} bytes wait in two rings of a mebibyte");
    assert!(last < 64 << 20, "the host wrote {last} bytes to a reader that does not read");
    // And when the guest reads, the rest comes.
    let mut buffer = vec![0; 1 << 16];
    let mut received = 0;
    guest.until("the flood to go on", |guest| {
        received += guest.read(&mut idle, &mut buffer) as u64;
        (received > last + (1 << 20)).then_some(())
    });
}

/// PITFALLS P2: many busy flows delay one that says little by a bounded number of bytes.
#[test]
fn a_short_message_passes_twenty_bulk_streams() {
    const ROUNDS: u64 = 50;
    let flood = host(|mut stream| {
        let block = [1; 1 << 16];
        while stream.write_all(&block).is_ok() {}
    });
    let quick = host(echo);
    let mut guest = Guest::with_peers(&[flood, quick]);
    let mut streams: Vec<_> = (0..20).map(|_| guest.connect(outside(flood)).unwrap()).collect();
    let mut busy = guest.connect(outside(quick)).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let mut received = vec![0_u64; streams.len()];
    let before = guest.link.gateway().stats().bytes_to_guest;
    for _ in 0..ROUNDS {
        assert_eq!(guest.write(&mut busy, b"excuse me"), 9);
        let mut have = 0;
        guest.until("the answer", |guest| {
            for (stream, total) in streams.iter_mut().zip(&mut received) {
                *total += guest.read(stream, &mut buffer) as u64;
            }
            have += guest.read(&mut busy, &mut buffer);
            (have == 9).then_some(())
        });
    }
    let passed = guest.link.gateway().stats().bytes_to_guest - before;
    assert!(passed / ROUNDS < 64 << 20, "{passed} bytes of others' went before {ROUNDS} short answers");
    guest.until("every stream to get on", |guest| {
        for (stream, total) in streams.iter_mut().zip(&mut received) {
            *total += guest.read(stream, &mut buffer) as u64;
        }
        received.iter().all(|total| *total > 4 << 20).then_some(())
    });
    let (least, most) = (received.iter().min().unwrap(), received.iter().max().unwrap());
    assert!(most / least < 20, "the streams' shares: {received:?}");
}

#[test]
fn a_host_that_does_not_read_stops_the_guest() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let (verdict, checked) = mpsc::channel();
    let peer = host(move |mut stream| {
        gone.lock().unwrap().recv().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        verdict.send((all.len(), Pattern::new(3).matches(0, &all))).unwrap();
    });
    let mut guest = Guest::with_peers(&[peer]);
    let mut stream = guest.connect(outside(peer)).unwrap();
    let pattern = Pattern::new(3);
    let (mut sent, mut stalled) = (0, 0);
    while stalled < 200 {
        let count = guest.write(&mut stream, pattern.at(sent, 1 << 16));
        sent += count as u64;
        stalled = if count == 0 { stalled + 1 } else { 0 };
        guest.turn();
        guest.sleep(Duration::from_millis(1));
        assert!(sent < 64 << 20, "nothing holds the guest back");
    }
    guest.finish(&mut stream);
    go.send(()).unwrap();
    let verdict = guest.until("the host to read it all", |_| checked.try_recv().ok());
    assert_eq!(verdict, (sent as usize, true));
}

/// PITFALLS P2: a thousand flows.
#[test]
fn a_thousand_connections_at_once_all_get_their_answers() {
    const COUNT: usize = 1_000;
    let peer = host(echo);
    let mut guest = Guest::with_peers(&[peer]);
    let mut streams: Vec<Stream> = Vec::new();
    // The host's listener queues 128 at a time.
    for batch in 0..COUNT / 100 {
        let opened: Vec<_> = (0..100).map(|_| guest.start_connect(outside(peer))).collect();
        guest.until("a hundred connections", |guest| {
            opened.iter().all(|stream| guest.saw(stream.id, Readiness::CONNECTED)).then_some(())
        });
        streams.extend(opened);
        assert_eq!(guest.link.gateway().stats().tcp_flows, 100 * (batch as u64 + 1));
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        let message = format!("message {n:04}");
        assert_eq!(guest.write(stream, message.as_bytes()), 12);
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        assert_eq!(guest.read_exact(stream, 12), format!("message {n:04}").as_bytes());
        guest.finish(stream);
    }
    for mut stream in streams {
        assert_eq!(guest.read_to_end(&mut stream), b"");
        guest.close(stream);
    }
    guest.until("the flows' end", |guest| (guest.link.gateway().stats().tcp_flows == 0).then_some(()));
}

#[test]
fn a_forward_lets_the_host_in() {
    let forward = Forward { transport: Transport::Tcp, host: loopback(), guest_port: 7 };
    let mut guest = Guest::new(&UserConfig { forwards: vec![forward], ..UserConfig::default() });
    let listener = guest.listen(7);
    let (transport, way_in) = guest.link.gateway().forwards()[0];
    assert_eq!(transport, Transport::Tcp);
    assert!(way_in.ip().is_loopback() && way_in.port() != 0);
    let host = thread::spawn(move || {
        let mut stream = TcpStream::connect(way_in).unwrap();
        stream.write_all(b"knock").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    let (mut stream, from) = guest.accept(listener);
    assert_eq!(from.ip(), IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)));
    assert_eq!(guest.read_to_end(&mut stream), b"knock");
    guest.write_all(&mut stream, b"come in");
    guest.finish(&mut stream);
    guest.until("the host's thread", |_| host.is_finished().then_some(()));
    assert_eq!(host.join().unwrap(), b"come in");
}

#[test]
fn a_forward_to_a_port_where_nobody_listens_is_reset() {
    let forward = Forward { transport: Transport::Tcp, host: loopback(), guest_port: 7 };
    let mut guest = Guest::new(&UserConfig { forwards: vec![forward], ..UserConfig::default() });
    let (_, way_in) = guest.link.gateway().forwards()[0];
    let host = thread::spawn(move || TcpStream::connect(way_in).and_then(|mut stream| stream.read(&mut [0; 1])));
    guest.until("the host's thread", |_| host.is_finished().then_some(()));
    assert_eq!(host.join().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_forward_that_cannot_be_opened_is_an_error_that_names_it() {
    let taken = TcpListener::bind(loopback()).unwrap();
    let forward = Forward { transport: Transport::Tcp, host: taken.local_addr().unwrap(), guest_port: 80 };
    let config = UserConfig { forwards: vec![forward], ..UserConfig::default() };
    let error = wharf_links::user::UserLink::open(&config).err().unwrap().to_string();
    assert!(error.contains(&forward.to_string()) && error.contains("another port"), "{error}");
}

/// PITFALLS P2: an idle gateway burns nothing, connections or not.
#[test]
fn an_idle_gateway_has_nothing_to_do() {
    let peer = host(echo);
    let mut guest = Guest::with_peers(&[peer]);
    let mut stream = guest.connect(outside(peer)).unwrap();
    guest.write_all(&mut stream, b"ping");
    guest.read_exact(&mut stream, 4);
    // Delayed acknowledgements, stale timers and memory that is given back wake both a few times more, and then there is
    // silence for two seconds. (The next deadline itself says less: a timer far away is looked at on the way to it.)
    let mut wakes = 0;
    while guest.sleep(Duration::from_secs(2)) {
        guest.turn();
        wakes += 1;
        assert!(wakes < 20, "it does not come to rest: due at {:?}", guest.link.deadline());
    }
    let before = guest.link.gateway().stats().turns;
    assert!(!guest.sleep(Duration::from_millis(300)), "something woke an idle guest");
    assert_eq!(guest.link.gateway().stats().turns, before);
}
