//! The options of `wharf ws`.

use std::time::Duration;

use clap::Args;

use super::tls::Session;
use super::{Network, seconds};

/// Talks to a WebSocket: lines in, messages out
#[derive(Debug, Args)]
pub(crate) struct Ws {
    /// ws://HOST/PATH or wss://HOST/PATH
    pub(crate) url: String,
    /// Send this header field with the handshake, written 'Name: value'; may be given several times
    #[arg(long, value_name = "FIELD")]
    pub(crate) header: Vec<String>,
    /// Offer these subprotocols, the preferred one first
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) subprotocol: Vec<String>,
    /// Send a Ping when nothing came for so long, and give up when nothing comes for as long again, 5 s at least
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) ping: Option<Duration>,
    /// Send lines as binary messages, and write binary messages as they are
    #[arg(long)]
    pub(crate) binary: bool,
    /// Send messages longer than this in several frames
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) fragment: Option<u32>,
    /// Offer to compress messages, both ways (permessage-deflate)
    #[arg(long)]
    pub(crate) compressed: bool,
    /// Most bytes of a message
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_message: u32,
    /// Close after so many messages came
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: Option<u64>,
    /// Once the input has ended, close when nothing came for so long
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub(crate) wait: Duration,
    #[command(flatten)]
    pub(crate) session: Session,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(super) const HELP: &str = "\
Examples:
  wharf ws wss://example.com/chat
      Each line typed is a message; Ctrl-D ends.
  wharf ws --messages 1 ws://10.0.2.2:8000/time --host-loopback
      One message from a server on this machine's loopback.
  wharf ws --ping 20 --subprotocol mqtt --json wss://example.com/feed

A binary message is shown in hexadecimal digits, unless --binary is given. Pings are answered unseen.

Exit status:
  0  closed in an orderly way, with code 1000, 1001, or none
  1  closed by the peer with another code
  2  the command line makes no sense
  3  a file of --ca, --cert, --key or --key-log could not be used
  4  the network: no link, no such name, refused, unreachable, no answer in time, the connection lost
  5  TLS: the certificate or the handshake was refused
  6  the server wants a user name and password (401, 407)
  7  the protocol: no WebSocket, a rule broken, a message too large
  8  the server answered the handshake with another error (4xx, 5xx)";
