//! TCP: connecting, ending, refusing, resetting, and much data.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use wharf::net::TcpStream;

use super::servers::{self, Deaf, PATIENCE, Server};
use super::{Ground, during, noise};

/// A connection of ours to the host's `port` that no failure can make wait for ever.
fn dial(ground: &Ground, port: u16) -> Result<TcpStream, String> {
    let stream = during("connect", TcpStream::connect_timeout(&ground.net, &ground.at(port), PATIENCE))?;
    during("set a timeout", stream.set_read_timeout(Some(PATIENCE)))?;
    during("set a timeout", stream.set_write_timeout(Some(PATIENCE)))?;
    Ok(stream)
}

fn expect(condition: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what()) }
}

pub(super) fn connect(ground: &Ground) -> Result<(), String> {
    let server = during("listen", Server::once(ground.host, servers::answer_after_the_end))?;
    let mut stream = dial(ground, server.port)?;
    let (near, far) = (during("local address", stream.local_addr())?, during("peer address", stream.peer_addr())?);
    expect(far == ground.at(server.port), || format!("the peer calls itself {far}"))?;
    expect(near.port() != 0 && !near.ip().is_unspecified(), || format!("our address is {near}"))?;
    during("write", stream.write_all(b"hello"))?;
    during("shutdown", stream.shutdown(Shutdown::Write))?;
    let mut heard = Vec::new();
    during("read", stream.read_to_end(&mut heard))?;
    expect(heard == b"hello", || format!("{} bytes came back, not the 5 sent", heard.len()))?;
    server.outcome()
}

pub(super) fn refuse(ground: &Ground) -> Result<(), String> {
    let port = during("find a closed port", servers::closed_port(ground.host))?;
    match TcpStream::connect_timeout(&ground.net, &ground.at(port), PATIENCE) {
        Ok(_) => Err("it accepted".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(format!("not refused, but: {error}")),
    }
}

pub(super) fn reset(ground: &Ground) -> Result<(), String> {
    let server = during("listen", Server::once(ground.host, servers::reset))?;
    let mut stream = dial(ground, server.port)?;
    during("write", stream.write_all(&[0]))?;
    let outcome = stream.read(&mut [0]);
    server.outcome()?;
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(format!("not a reset, but: {error}")),
        Ok(length) => Err(format!("not a reset, but {length} bytes")),
    }
}

pub(super) fn half_close_by_us(ground: &Ground) -> Result<(), String> {
    let sent = noise(1, 100_000);
    let server = during("listen", Server::once(ground.host, servers::answer_after_the_end))?;
    let mut stream = dial(ground, server.port)?;
    during("write", stream.write_all(&sent))?;
    during("shutdown", stream.shutdown(Shutdown::Write))?;
    let mut heard = Vec::new();
    during("read after our end", stream.read_to_end(&mut heard))?;
    server.outcome()?;
    expect(heard == sent, || format!("{} of {} bytes came back, or others", heard.len(), sent.len()))?;
    expect(stream.write(&[0]).is_err(), || "a write after our end was taken".to_owned())
}

pub(super) fn half_close_by_host(ground: &Ground) -> Result<(), String> {
    let sent = noise(2, 100_000);
    let server = during("listen", Server::once(ground.host, servers::end_first))?;
    let mut stream = dial(ground, server.port)?;
    let mut heard = Vec::new();
    during("read", stream.read_to_end(&mut heard))?;
    expect(heard == b"that is all", || "the host's last words are not what it said".to_owned())?;
    during("write after the host's end", stream.write_all(&sent))?;
    during("shutdown", stream.shutdown(Shutdown::Write))?;
    let arrived = server.outcome()?;
    expect(arrived == sent, || format!("{} of {} bytes arrived, or others", arrived.len(), sent.len()))
}

pub(super) fn close_delivers(ground: &Ground) -> Result<(), String> {
    let sent = noise(3, 300_000);
    let server = during(
        "listen",
        Server::once(ground.host, |mut stream| {
            // Late, so that most of it still waits on our side when our socket is closed.
            thread::sleep(Duration::from_millis(20));
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard)?;
            Ok(heard)
        }),
    )?;
    let mut stream = dial(ground, server.port)?;
    during("write", stream.write_all(&sent))?;
    drop(stream);
    let arrived = server.outcome()?;
    expect(arrived == sent, || format!("{} of {} bytes arrived, or others", arrived.len(), sent.len()))
}

const MUCH: usize = 16 << 20;

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// Reads exactly `length` bytes and the end.
fn read_all(mut from: impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    match from.read(&mut [0])? {
        0 => Ok(bytes),
        _ => Err(io::Error::other("more came than was sent")),
    }
}

pub(super) fn both_ways(ground: &Ground) -> Result<(), String> {
    let (ours, theirs) = (noise(4, MUCH), noise(5, MUCH));
    let (hash_of_ours, hash_of_theirs) = (hash(&ours), hash(&theirs));
    let server = during(
        "listen",
        Server::once(ground.host, move |stream| {
            let mut writing = stream.try_clone()?;
            let writer = thread::spawn(move || {
                writing.write_all(&theirs)?;
                writing.shutdown(Shutdown::Write)
            });
            let heard = read_all(&stream, MUCH)?;
            writer.join().map_err(|_| io::Error::other("the writer panicked"))??;
            Ok(hash(&heard))
        }),
    )?;
    let stream = dial(ground, server.port)?;
    let mut writing = during("clone", stream.try_clone())?;
    let writer = thread::spawn(move || {
        writing.write_all(&ours)?;
        writing.shutdown(Shutdown::Write)
    });
    let heard = during("read", read_all(&stream, MUCH))?;
    during("write", writer.join().map_err(|_| "our writer panicked".to_owned())?)?;
    expect(hash(&heard) == hash_of_theirs, || "what we read differs from what the host wrote".to_owned())?;
    expect(server.outcome()? == hash_of_ours, || "what the host read differs from what we wrote".to_owned())
}

const MANY: usize = 200;

pub(super) fn many(ground: &Ground) -> Result<(), String> {
    // The host answers only when all of them stand, so that they stand at the same time.
    let server = during(
        "listen",
        Server::listening(ground.host, |listener| {
            let mut streams = Vec::with_capacity(MANY);
            for _ in 0..MANY {
                streams.push(servers::accept(listener)?);
            }
            for stream in &mut streams {
                let mut token = [0; 8];
                stream.read_exact(&mut token)?;
                stream.write_all(&token)?;
            }
            Ok(())
        }),
    )?;
    let dialled: Vec<_> = thread::scope(|scope| {
        // A few at a time, as a program with threads would; the host's listen queue holds 128.
        let workers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..MANY / 8).map(|_| dial(ground, server.port)).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    let mut streams = dialled.into_iter().collect::<Result<Vec<_>, _>>()?;
    expect(streams.len() == MANY, || format!("{} of {MANY} were made", streams.len()))?;
    for (number, stream) in streams.iter_mut().enumerate() {
        during("write", stream.write_all(&(number as u64).to_le_bytes()))?;
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut token = [0; 8];
        during("read", stream.read_exact(&mut token))?;
        expect(u64::from_le_bytes(token) == number as u64, || format!("connection {number} got another's bytes"))?;
    }
    server.outcome()
}

/// Short, for the suite waits for it, and long enough to tell from not waiting at all.
const SHORT: Duration = Duration::from_millis(60);

/// What must end by a timeout of [`SHORT`] ended so, and not before.
pub(super) fn timed_out<T>(begun: Instant, outcome: io::Result<T>) -> Result<(), String> {
    match outcome {
        Ok(_) => Err("it did not time out".to_owned()),
        // std's sockets say WouldBlock for a timeout of reading and writing, and TimedOut for connecting.
        Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            expect(begun.elapsed() >= SHORT, || format!("it gave up after {:?}, before its {SHORT:?}", begun.elapsed()))
        }
        Err(error) => Err(format!("not a timeout, but: {error}")),
    }
}

pub(super) fn read_timeout(ground: &Ground) -> Result<(), String> {
    let server = during("listen", Server::once(ground.host, servers::answer_after_the_end))?;
    let mut stream = dial(ground, server.port)?;
    during("set the timeout", stream.set_read_timeout(Some(SHORT)))?;
    let begun = Instant::now();
    timed_out(begun, stream.read(&mut [0]))?;
    // The stream is as good as before.
    during("set the timeout", stream.set_read_timeout(Some(PATIENCE)))?;
    during("write after the timeout", stream.write_all(b"x"))?;
    during("shutdown", stream.shutdown(Shutdown::Write))?;
    let mut heard = Vec::new();
    during("read after the timeout", stream.read_to_end(&mut heard))?;
    expect(heard == b"x", || "what came after the timeout is not what was sent".to_owned())?;
    server.outcome()
}

pub(super) fn write_timeout(ground: &Ground) -> Result<(), String> {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let server = during(
        "listen",
        Server::once(ground.host, move |stream| {
            // Does not read until the other side has seen its timeout.
            let _ = released.recv_timeout(PATIENCE);
            drop(stream);
            Ok(())
        }),
    )?;
    let mut stream = dial(ground, server.port)?;
    during("set the timeout", stream.set_write_timeout(Some(SHORT)))?;
    let chunk = vec![0; 1 << 20];
    let mut begun = Instant::now();
    let mut outcome = Ok(0);
    // Every buffer on the way fills first: ours, the gateway's, the host's.
    for _ in 0..256 {
        begun = Instant::now();
        outcome = stream.write(&chunk);
        if outcome.is_err() {
            break;
        }
    }
    let verdict = timed_out(begun, outcome);
    drop(release);
    server.outcome()?;
    verdict
}

pub(super) fn connect_timeout(ground: &Ground) -> Result<(), String> {
    let deaf = during("listen", Deaf::start(ground.host))?;
    let place: SocketAddr = ground.at(deaf.port);
    let begun = Instant::now();
    timed_out(begun, TcpStream::connect_timeout(&ground.net, &place, SHORT))
}

/// The patience of the cases that wait for nothing to come.
pub(super) const NOTHING_COMES: Duration = SHORT;
