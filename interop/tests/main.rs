//! All interop tests, in one binary: linked as a release nine times over they would take longer to build than to run.

mod bad_input;
mod bring_up;
mod commands;
mod connect;
mod dhcp;
mod dns;
mod exchange;
mod failures;
mod fast_open;
mod gateway;
mod harness;
mod http;
mod http_cache;
mod lossy;
mod origin;
mod queues;
mod sftp;
mod ssh;
mod ssh_identities;
mod tcp;
mod tls;
mod udp;
mod urgent;
mod wget;
mod wget_again;
mod ws;
