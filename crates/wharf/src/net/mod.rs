//! Blocking sockets, as in `std::net`, on a [`Net`](crate::Net) instead of the operating system.
//!
//! They read, write and fail like std's; differences are few and stand on the methods: a socket is made on a `Net`,
//! and an address is an address, never a name (names go through this `Net`'s own resolver, not the host's).
//!
//! ```
//! use std::io::{Read, Write};
//! use wharf::net::{TcpListener, TcpStream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let net = wharf::Net::loopback()?;
//! let listener = TcpListener::bind(&net, ([127, 0, 0, 1], 0))?;
//! let mut client = TcpStream::connect(&net, listener.local_addr()?)?;
//! let (mut server, _) = listener.accept()?;
//! client.write_all(b"ahoy")?;
//! drop(client);
//! let mut text = String::new();
//! server.read_to_string(&mut text)?;
//! assert_eq!(text, "ahoy");
//! # Ok(())
//! # }
//! ```

mod tcp;
mod udp;
mod urgent;

pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::udp::UdpSocket;
