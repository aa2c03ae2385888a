//! A name server that lies: it answers each question with the datagrams that the test makes of it.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::world::{Tap, World};

/// A question as it arrived.
pub struct Question {
    /// The whole message.
    pub bytes: Vec<u8>,
    /// The name, in lower case and without the final dot.
    pub name: String,
    /// The type's number.
    pub kind: u16,
}

/// The datagrams to answer with; `None` for the port is the server's own.
pub type Answers = Vec<(Vec<u8>, Option<u16>)>;

/// The server. Its thread ends with the test.
pub struct Scripted {
    asked: Arc<Mutex<Vec<(u16, String)>>>,
}

impl Tap {
    /// Gives the kernel's side of the device a further address of its network.
    pub fn further_address(&self, world: &World, address: Ipv4Addr) {
        world.ip(&["address", "add", &format!("{address}/24"), "dev", self.name]);
    }
}

impl Scripted {
    /// Serves on UDP port 53 of `address`.
    ///
    /// # Panics
    ///
    /// When the port cannot be had.
    #[must_use]
    pub fn start(address: Ipv4Addr, answer: impl Fn(&Question) -> Answers + Send + 'static) -> Self {
        let socket = UdpSocket::bind((address, 53)).expect("the port is free");
        let asked: Arc<Mutex<Vec<(u16, String)>>> = Arc::default();
        let log = asked.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, source)) = socket.recv_from(&mut buffer) {
                let Some(question) = Question::read(&buffer[..length]) else { continue };
                log.lock().expect("no test panics with it").push((question.id(), question.name.clone()));
                for (datagram, port) in answer(&question) {
                    send(&socket, address, port, &datagram, source);
                }
            }
        });
        Self { asked }
    }

    /// How many different questions were asked for `name`; one that was sent again counts once.
    #[must_use]
    pub fn asked(&self, name: &str) -> usize {
        let asked = self.asked.lock().expect("no test panics with it");
        asked.iter().filter(|(_, asked)| asked == name).map(|(id, _)| id).collect::<HashSet<_>>().len()
    }
}

fn send(socket: &UdpSocket, address: Ipv4Addr, port: Option<u16>, datagram: &[u8], to: SocketAddr) {
    // A datagram that is not sent makes the test wait and then say so.
    let _ = match port {
        None => socket.send_to(datagram, to),
        Some(port) => UdpSocket::bind((address, port)).and_then(|other| other.send_to(datagram, to)),
    };
}

impl Question {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = 12;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
        Some(Self { bytes: bytes.to_vec(), name: labels.join("."), kind })
    }

    /// The message's id.
    #[must_use]
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    /// An answer with an A record of `address` for each of `names`.
    #[must_use]
    pub fn addresses(&self, names: &[&str], address: [u8; 4]) -> Vec<u8> {
        let mut answer = self.head(0, names.len());
        for name in names {
            answer.extend(wire(name));
            answer.extend([0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
            answer.extend(address);
        }
        answer
    }

    /// An answer with an A record of each of `addresses`, in this order, for the name asked for.
    #[must_use]
    pub fn each_of(&self, addresses: &[[u8; 4]]) -> Vec<u8> {
        let mut answer = self.head(0, addresses.len());
        for address in addresses {
            answer.extend(wire(&self.name));
            answer.extend([0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
            answer.extend(address);
        }
        answer
    }

    /// An answer with an A record of `address` for `name` among the additional records besides.
    #[must_use]
    pub fn with_additional(mut answer: Vec<u8>, name: &str, address: [u8; 4]) -> Vec<u8> {
        answer[11] += 1;
        answer.extend(wire(name));
        answer.extend([0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
        answer.extend(address);
        answer
    }

    /// An answer without records and with this response code.
    #[must_use]
    pub fn code(&self, code: u8) -> Vec<u8> {
        self.head(code, 0)
    }

    /// An answer that says that `name` is an alias of `target`.
    #[must_use]
    pub fn alias(&self, name: &str, target: &str) -> Vec<u8> {
        let mut answer = self.head(0, 1);
        let target = wire(target);
        answer.extend(wire(name));
        answer.extend([0, 5, 0, 1, 0, 0, 1, 44, 0, u8::try_from(target.len()).expect("a short name")]);
        answer.extend(target);
        answer
    }

    /// The header and the question, for so many answers.
    fn head(&self, code: u8, answers: usize) -> Vec<u8> {
        let question = wire(&self.name);
        let mut head = self.bytes[..2].to_vec();
        // A response with authority to a query with recursion desired, and recursion available.
        head.extend([0x85, 0x80 | code, 0, 1, 0, u8::try_from(answers).expect("few answers"), 0, 0, 0, 0]);
        head.extend(question);
        head.extend(self.kind.to_be_bytes());
        head.extend([0, 1]);
        head
    }
}

fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a short label"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
