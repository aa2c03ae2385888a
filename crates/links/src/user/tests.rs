//! Unit tests of the gateway's parts that need no socket.

mod configuration;
mod deadlines;
mod dhcp_server;
mod dns;
mod host;
mod table;
