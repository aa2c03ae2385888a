//! WebSocket (RFC 6455), client and server, over Wharf's sockets or any stream: tokio-tungstenite makes and reads the
//! frames; limits, back-pressure, keep-alive, the closing and the failing are here. Messages are compressed
//! (permessage-deflate, RFC 7692) where that is asked for.
//!
//! ```no_run
//! # async fn example(net: &wharf::Net) -> Result<(), wharf::ws::Error> {
//! use wharf::ws::{self, Message, Options};
//!
//! let mut socket = ws::connect(net, "wss://example.com/chat", &Options::default()).await?.socket;
//! socket.send(Message::Text("hello".to_owned())).await?;
//! while let Some(message) = socket.recv().await? {
//!     println!("{message:?}");
//! }
//! # Ok(())
//! # }
//! ```

mod connect;
mod deflate;
mod error;
mod keep_alive;
mod marks;
mod options;
mod socket;
mod stream;

pub use connect::{Accepted, Connected, accept, connect, connect_over, connect_with};
pub use error::Error;
pub use options::{Limits, Options, ServerOptions};
pub use socket::{Closed, Event, Message, WebSocket};
pub use stream::Stream;

#[cfg(test)]
mod tests;
