//! The `wharf` binary, and servers on the host's loopback for it to reach over the user link.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

/// How a run of `wharf` ended.
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `wharf` with `args`, in the folder `folder`.
pub(crate) fn wharf_in(folder: &std::path::Path, args: &[&str]) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_wharf")).current_dir(folder).args(args))
}

/// `wharf` with `args`.
pub(crate) fn wharf(args: &[&str]) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_wharf")).args(args))
}

/// Runs `command` to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    // Whoever runs the tests may sit behind a proxy; what is tested here does not.
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
        command.env_remove(name);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    Run {
        status: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

impl Run {
    /// Fails unless the run ended with `status` and said each of `words` on standard error.
    #[track_caller]
    pub(crate) fn expect_failure(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, status, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing in: {}", self.stderr);
        }
    }

    /// Fails unless the run ended well.
    #[track_caller]
    pub(crate) fn expect_success(&self) {
        assert_eq!(self.status, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
    }
}

/// A server on the host's loopback; `converse` has each connection on a thread of its own. Gives the port.
pub(crate) fn tcp_server(converse: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let converse = converse.clone();
            thread::spawn(move || converse(stream));
        }
    });
    port
}

/// An HTTP server that answers each path with the bytes that `answer` gives, and closes.
pub(crate) fn http_server(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + Clone + 'static) -> u16 {
    tcp_server(move |mut stream| {
        let Some(head) = read_head(&mut stream) else { return };
        let _ = stream.write_all(&answer(&head));
    })
}

/// A request's head, without its body.
pub(crate) fn read_head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// A whole answer of `status` with `body`.
pub(crate) fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A port of the loopback where nothing listens.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A DNS server on the host's loopback: `answer` gives the response code, the count of answers, and these in wire
/// form, for a name without its final dot and a type; `None` is silence. Gives the port.
pub(crate) fn dns_server(answer: impl Fn(&str, u16) -> Option<(u8, Vec<Vec<u8>>)> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((length, source)) = socket.recv_from(&mut query) {
            let (name, end) = question(&query[..length]);
            let kind = u16::from_be_bytes([query[end - 4], query[end - 3]]);
            let Some((code, records)) = answer(&name, kind) else { continue };
            let mut reply = query[..2].to_vec();
            reply.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
            reply.extend(&query[12..end]);
            for record in records {
                reply.extend(record);
            }
            socket.send_to(&reply, source).unwrap();
        }
    });
    port
}

/// A record of the name that was asked for: type, TTL 300, and `data`.
pub(crate) fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, 12];
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 1, 44]);
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// `name` in wire form.
pub(crate) fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// The name in the question of `query`, and where the question ends.
fn question(query: &[u8]) -> (String, usize) {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + length]).to_lowercase());
        at += 1 + length;
    }
    (labels.join("."), at + 5)
}

/// Long enough for whatever is waited for on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
