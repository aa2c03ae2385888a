//! The kernel's side of a stream: an ordinary socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Direction, HUNG, Run};

/// As in smoltcp's own benchmark.
const BUFFER: usize = 1_000_000;

/// Connects to `server`, and sends or receives until it is told to stop.
///
/// # Errors
/// When the connection does not come about, or fails.
pub(super) fn run(server: SocketAddr, run: &Run) -> Result<()> {
    let mut stream = connect(server)?;
    // The congestion control on both sides is the same, and named.
    rustix::net::sockopt::set_tcp_congestion(&stream, "reno").context("choosing Reno")?;
    stream.set_read_timeout(Some(HUNG))?;
    stream.set_write_timeout(Some(HUNG))?;
    let mut buffer = vec![0; BUFFER];
    while !run.must_kernel_stop() {
        match run.direction {
            Direction::Transmit => match stream.read(&mut buffer).context("the kernel's read")? {
                0 => bail!("the stack ended the stream"),
                len => run.count(len),
            },
            Direction::Receive => {
                stream.write(&buffer).context("the kernel's write")?;
            }
        }
    }
    Ok(())
}

/// The stack may not listen yet.
fn connect(server: SocketAddr) -> Result<TcpStream> {
    let start = Instant::now();
    loop {
        match TcpStream::connect_timeout(&server, HUNG) {
            Err(error) if is_early(&error) && start.elapsed() < HUNG => std::thread::sleep(Duration::from_millis(5)),
            result => return result.with_context(|| format!("connecting from the kernel to {server}")),
        }
    }
}

fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
}
