//! Asynchronous sockets, as in `tokio::net`, on a [`Net`](crate::Net).
//!
//! They implement tokio's `AsyncRead` and `AsyncWrite`, so that hyper (through `TokioIo`), tokio-rustls, russh and the
//! like run on them unchanged. They need no runtime of a certain kind: the engine's thread wakes whoever waits.
//!
//! Dropping a future that these methods return loses nothing: bytes are taken only in the poll that returns them.
//!
//! ```
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use wharf::aio::{TcpListener, TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let net = wharf::Net::loopback()?;
//! let listener = TcpListener::bind(&net, ([127, 0, 0, 1], 0)).await?;
//! let mut client = TcpStream::connect(&net, listener.local_addr()?).await?;
//! let (mut server, _) = listener.accept().await?;
//! client.write_all(b"ahoy").await?;
//! client.shutdown().await?;
//! let mut text = String::new();
//! server.read_to_string(&mut text).await?;
//! assert_eq!(text, "ahoy");
//! # Ok(())
//! # }
//! ```

mod split;
mod tcp;
mod udp;
mod urgent;

pub use self::split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use self::tcp::{TcpListener, TcpStream};
pub use self::udp::{Received, UdpSocket};
