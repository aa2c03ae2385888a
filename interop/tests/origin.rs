//! An HTTP origin of kernel sockets that says exactly what a test gives it, and counts what it is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use wharf_interop::Tap;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The request line and the fields, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// How many for the path there have been, this one too.
    pub(crate) times: usize,
}

impl Heard {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    /// Where the range asked for begins.
    pub(crate) fn range(&self) -> Option<usize> {
        self.field("range")?.strip_prefix("bytes=")?.split_once('-')?.0.parse().ok()
    }
}

/// An origin on the kernel's side of a device.
pub(crate) struct Origin {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Origin {
    /// `answer` writes what it likes to the connection, and says whether the connection goes on.
    pub(crate) fn start(tap: &Tap, answer: impl Fn(&Heard, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((tap.address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answer, hears) = (Arc::new(answer), heard.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, hears) = (answer.clone(), hears.clone());
                thread::spawn(move || converse(stream, &*answer, &hears));
            }
        });
        Self { address, heard }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests for `path` so far.
    pub(crate) fn heard(&self, path: &str) -> Vec<Heard> {
        self.heard.lock().unwrap().iter().filter(|heard| heard.path == path).cloned().collect()
    }

    /// How many there were for `path`.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.heard(path).len()
    }
}

fn converse(stream: TcpStream, answer: &dyn Fn(&Heard, &mut TcpStream) -> bool, heard: &Mutex<Vec<Heard>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(request) = read(&mut reader) {
        let request = {
            let mut heard = heard.lock().unwrap();
            let times = 1 + heard.iter().filter(|heard| heard.path == request.path).count();
            let request = Heard { times, ..request };
            heard.push(request.clone());
            request
        };
        if !answer(&request, &mut stream) {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Heard> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head += &line;
    }
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut heard = Heard { method, path, head: head.to_ascii_lowercase(), body: Vec::new(), times: 0 };
    let length = heard.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reader.by_ref().take(length).read_to_end(&mut heard.body).ok()?;
    Some(heard)
}

/// Writes an answer with the fields `fields`, each ended by CR and LF, and a length. Whether the connection goes on.
pub(crate) fn say(stream: &mut TcpStream, heard: &Heard, status: u16, fields: &str, body: &[u8]) -> bool {
    // RFC 9110 section 8.6: a 304 may say the length of what it does not bring, which here would only confuse.
    let length = if status == 304 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("HTTP/1.1 {status} Said\r\n{length}{fields}\r\n");
    let body = if heard.method == "HEAD" { &[][..] } else { body };
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_ok()
}
