//! Wharf's engine: every protocol, and nothing else.
//!
//! No clock, no entropy, no device, no lock and no I/O: time and chance are arguments, frames go in and out by
//! calls, and a run is replayed by its seed. [`Stack`] is the only type that callers drive; its documentation
//! states the contract. A packet's way in is `link/input` -> `ip/input` -> `tcp/input` or `udp/input`; its way out
//! `tcp/output` -> `ip/output` -> `link/output`: direct calls, no queue and no lock on the way.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod autoconf;
pub mod config;
pub mod discard;
mod entropy;
pub mod event;
mod handle;
pub mod ip;
pub mod link;
#[cfg(feature = "measure")]
pub mod measure;
mod network;
pub mod ports;
mod stack;
pub mod stats;
pub mod steering;
pub mod tcp;
pub mod time;
mod timers;
pub mod udp;

pub use config::Config;
pub use discard::Discard;
pub use event::{Event, Events};
pub use handle::Handle;
pub use stack::{AddressError, Stack};
pub use time::Instant;
