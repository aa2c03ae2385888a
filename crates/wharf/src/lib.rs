//! A network stack in your process: sockets, DNS, TLS, HTTP, WebSocket and SSH over Wharf's own engine.
//!
//! A [`Net`] is an engine on a link, running on a thread of its own. Sockets are made on it: blocking ones like
//! std's in [`net`], asynchronous ones like tokio's in [`aio`]. Above them stand [`dns`], [`connect`] for connections by
//! name, [`tls`], [`http`], [`ws`] and [`ssh`].
//!
//! Features, all on unless switched off: `http`, `ws` (which takes `http` along) and `ssh`. Without them there are sockets,
//! names and TLS.
//!
//! Inside: `socket` is what both kinds share (rings, what the engine told, who waits), `control` the channel between
//! them and the engine, `engine` the thread that owns the `Stack` and the link.

#![forbid(unsafe_code)]

pub mod aio;
mod configuration;
pub mod connect;
mod control;
mod date;
pub mod dns;
mod engine;
mod error;
#[cfg(feature = "http")]
pub mod http;
mod instance;
mod interface;
pub mod net;
mod options;
mod ping;
mod socket;
#[cfg(feature = "ssh")]
pub mod ssh;
pub mod tls;
mod words;
#[cfg(feature = "ws")]
pub mod ws;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a [`Net`] can stand on: TAP devices, open descriptors, the user-mode gateway, captures.
pub use links;
pub use stack::link::AddressCheck;
pub use wire::cidr::Cidr;
pub use wire::ethernet::MacAddr;

pub use crate::configuration::{Configuration, LeaseTerms};
pub use crate::date::Date;
pub use crate::error::{Error, PingFailure, SocketError};
pub use crate::instance::{Net, NetBuilder};
pub use crate::interface::{Interface, InterfaceStats};
pub use crate::options::{
    CongestionControl, Ecn, KeepAlive, ListenOptions, TcpInfo, TcpOptions, UdpOptions, UserTimeoutOption, Waiting,
};
pub use crate::ping::{PingReply, Pinger};

/// Locks a mutex; a thread that panicked while it held one left nothing half-done that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
