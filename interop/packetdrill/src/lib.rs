//! The engine behind packetdrill's `--so_filename`: packetdrill runs a script, and instead of the kernel's sockets and
//! a TUN device it calls the functions of this library.
//!
//! `packetdrill_interface_init` fills in the table that `abi` describes. A call comes in through `calls`, which
//! turns C's pointers and errno into Rust's slices and results, and is carried out by `world`, which holds the lock,
//! the clock and whoever waits. Below it, `state` is one set of sockets: `machine` the engine and its wire,
//! `descriptors` the file descriptors, `socket`, `connect`, `transfer`, `sockopt`, `tcp_info`,
//! `readiness` and `epoll` what POSIX and Linux say of sockets.
//!
//! **Time is virtual.** It stands still while packetdrill thinks, moves by a microsecond when it looks at the clock,
//! and jumps when it sleeps or waits for a packet. So a run is exact, whatever else the machine does, and a minute of
//! retransmissions takes no time.

mod abi;
mod address;
mod calls;
mod connect;
mod descriptors;
mod epoll;
mod errno;
mod fast_open;
mod machine;
mod preload;
mod readiness;
mod settings;
mod socket;
mod sockopt;
mod state;
mod tcp_info;
mod transfer;
mod world;

pub use calls::packetdrill_interface_init;
