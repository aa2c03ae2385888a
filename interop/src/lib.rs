//! Tests against real peers in network namespaces of their own: the harness.
//!
//! A test in `tests/` hands its body to [`in_namespace`]. The test then runs itself a second time inside new
//! network, mount and process namespaces, where it is root whoever started it, and where nothing but a loopback
//! interface exists until the [`World`] makes it: TAP devices, nginx, dnsmasq, udhcpd, a test CA, plain kernel
//! sockets of the test itself. Whatever it started dies with the namespace, and what the daemons logged is shown
//! when the test fails.
//!
//! A test may also be run once more, over a link that delays and loses: [`again_over_a_bad_link`].
//!
//! No test is ever skipped. Where the system allows no namespaces, or a program is missing, the test fails and says
//! what to do about it; `./test.sh` installs what is missing.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "tests report what they saw; libtest shows it on failure")]

mod authority;
mod bad_link;
mod daemon;
pub mod dns;
mod guest;
mod http_peers;
mod namespace;
mod payload;
mod peers;
mod program;
mod secure;
mod sshd;
mod typist;
mod websocket;
mod world;

pub use authority::{Authority, Identity};
pub use http_peers::{KeepingWeb, Line, Scripted, start_caddy, start_microsocks, start_nghttpd, start_tinyproxy};
pub use namespace::{again_over_a_bad_link, in_namespace, in_namespace_over_a_bad_link};
pub use payload::{Payload, sha256_of_file};
pub use peers::{HTTP_PORT, HTTPS_PORT, Names, Web};
pub use program::{Finished, Program, Running};
pub use secure::{Secure, SecureServer};
pub use sshd::{PASSWORD, Sshd, USER};
pub use typist::Typist;
pub use websocket::WebSocketServer;
pub use world::{Tap, World};

/// Most that any single step of a test may take before it counts as hung. No speed is asserted with it: it is far
/// above what the slowest machine needs, and only keeps a hang from looking like patience.
pub(crate) const HUNG: std::time::Duration = std::time::Duration::from_secs(240);
