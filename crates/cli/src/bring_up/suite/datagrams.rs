//! UDP: every size class, refusal, timeouts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use wharf::net::UdpSocket;

use super::servers::{self, PATIENCE, Server};
use super::streams::{NOTHING_COMES, timed_out};
use super::{Ground, during, noise};

/// Empty; tiny; around Ethernet's minimum frame; around what DNS calls large; around one frame at the usual MTU;
/// two, three and many fragments; the largest there is (RFC 768: 65,535 less two headers).
const SIZES: [usize; 16] =
    [0, 1, 18, 19, 512, 513, 1_232, 1_471, 1_472, 1_473, 2_952, 2_953, 4_096, 16_384, 40_000, 65_507];

fn socket(ground: &Ground) -> Result<UdpSocket, String> {
    let any: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
    let socket = during("bind", UdpSocket::bind(&ground.net, any))?;
    during("set a timeout", socket.set_read_timeout(Some(PATIENCE)))?;
    Ok(socket)
}

pub(super) fn echo(ground: &Ground) -> Result<(), String> {
    let server = during("bind", Server::datagrams(ground.host, |socket| servers::echo_datagrams(socket, SIZES.len())))?;
    let socket = socket(ground)?;
    let place = ground.at(server.port);
    let mut buffer = vec![0; 65_536];
    for (number, size) in SIZES.into_iter().enumerate() {
        let sent = noise(100 + number as u64, size);
        let length = during(&format!("send {size} bytes"), socket.send_to(&sent, place))?;
        if length != size {
            return Err(format!("{length} of {size} bytes were taken"));
        }
        let (length, source) = during(&format!("receive {size} bytes"), socket.recv_from(&mut buffer))?;
        if buffer[..length] != sent {
            return Err(format!("{size} bytes were sent, {length} came back, or others"));
        }
        if source != place {
            return Err(format!("the echo of {size} bytes came from {source}, not from {place}"));
        }
    }
    server.outcome()
}

pub(super) fn refuse(ground: &Ground) -> Result<(), String> {
    let port = during("find a closed port", servers::closed_port(ground.host))?;
    let socket = socket(ground)?;
    during("connect", socket.connect(ground.at(port)))?;
    during("send", socket.send(b"anybody there?"))?;
    match socket.recv(&mut [0; 16]) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(format!("not refused, but: {error}")),
        Ok(length) => Err(format!("not refused, but {length} bytes")),
    }
}

pub(super) fn receive_timeout(ground: &Ground) -> Result<(), String> {
    let socket = socket(ground)?;
    during("set the timeout", socket.set_read_timeout(Some(NOTHING_COMES)))?;
    let begun = Instant::now();
    timed_out(begun, socket.recv_from(&mut [0; 16]))
}
