//! Connections of one of several engines that share a link.

extern crate wharf_stack as stack;

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::*;
use stack::steering::{Share, Steering};
use stack::tcp::{ConnectError, ConnectOptions, heap_rings};
use stack::{Config, Instant};

const ENGINES: usize = 4;

fn engine(steering: &Arc<Steering>, engine: usize) -> Host {
    let mut config = Config::default();
    config.tcp.share = Some(Share { steering: Arc::clone(steering), engine });
    Host::with_config(config, 1, "10.0.0.1/24", |_| ())
}

#[test]
fn ports_are_chosen_by_which_the_peers_segments_lead_back() {
    let steering = Arc::new(Steering::new([5; 32], ENGINES as u16));
    let mut ports = BTreeSet::new();
    for n in 0..ENGINES {
        let mut host = engine(&steering, n);
        for _ in 0..500 {
            let (rings, _) = heap_rings(1024, 1024);
            let id = host
                .stack
                .tcp_connect(Instant::ZERO, at("10.0.0.2:80"), &ConnectOptions::default(), rings)
                .expect("there are thousands of ports left");
            let (local, remote) = host.stack.tcp_addresses(id).unwrap();
            assert_eq!(steering.engine_of(local, remote), n);
            assert!(ports.insert(local.port()), "no other engine, and no other connection, has the port");
        }
    }
}

#[test]
fn a_local_port_that_belongs_to_another_engine_is_refused() {
    let steering = Arc::new(Steering::new([5; 32], ENGINES as u16));
    let mut host = engine(&steering, 2);
    for port in 2_000..2_100 {
        let local = at(&format!("10.0.0.1:{port}"));
        let options = ConnectOptions { local: Some(local), ..ConnectOptions::default() };
        let (rings, _) = heap_rings(1024, 1024);
        let connected = host.stack.tcp_connect(Instant::ZERO, at("10.0.0.2:80"), &options, rings);
        match steering.engine_of(local, at("10.0.0.2:80")) {
            2 => assert!(connected.is_ok(), "{connected:?}"),
            _ => assert_eq!(connected, Err(ConnectError::OtherEngine)),
        }
    }
}
