//! A network stack in your process: sockets, DNS, TLS and HTTP over Wharf's own engine.

pub mod tls;
