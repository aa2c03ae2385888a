//! Hosts and links under one seed and one virtual clock, for tests.
//!
//! A [`World`] holds hosts, each a `stack::Stack` with one interface, and the links between them. Nothing happens but by
//! [`World::step`], which moves the clock to the next thing that is due: a frame's arrival or an engine's deadline. The
//! same seed gives the same run, to the nanosecond.
//!
//! `link` is the emulator of a wire: rate, queue, delay, jitter, loss alone and in bursts, reordering, duplication and
//! corruption. `stream` is an application's end of a TCP connection. `puppet` is a peer made by hand: a test says which
//! segments it sends, and sees those that come back with their times.

#![forbid(unsafe_code)]

pub mod chance;
pub mod link;
pub mod puppet;
pub mod stream;
pub mod trace;
pub mod world;

pub use chance::Chance;
pub use link::{LinkModel, LinkStats, Loss};
pub use puppet::{Puppet, Seen};
pub use stream::Stream;
pub use world::{HostId, World};
