//! What `net` (blocking) and `aio` (async) sockets have in common: the application's halves of the rings, what the
//! engine has told, who waits, and the poll functions that both are made of.
//!
//! A `*State` is shared by the application and the engine's thread; an owner (`Stream`, `Listener`, `Datagram`,
//! `Echo`) is the application's hold on one, and the last to be dropped tells the engine.

pub(crate) mod block;
pub(crate) mod client;
pub(crate) mod datagram;
pub(crate) mod echo;
pub(crate) mod listener;
pub(crate) mod stream;
mod urgent;
pub(crate) mod wakers;
