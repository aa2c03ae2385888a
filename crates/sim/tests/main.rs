//! Scripts over the simulator, a file a mechanism.

mod random_networks;
mod tcp_any_address;
mod tcp_basics;
mod tcp_bounds;
mod tcp_close;
mod tcp_delayed_ack;
mod tcp_goodput;
mod tcp_handshake;
mod tcp_icmp;
mod tcp_idle_and_time;
mod tcp_idle_memory;
mod tcp_isn_and_ports;
mod tcp_keep_alive;
mod tcp_listener;
mod tcp_nagle;
mod tcp_options;
mod tcp_persist;
mod tcp_reassembly;
mod tcp_recovery;
mod tcp_resets;
mod tcp_retransmission;
mod tcp_time_wait;
mod tcp_timestamps;
mod tcp_window;
