//! Commands of a random life about UDP and echo sockets.

use std::net::{Ipv4Addr, SocketAddr};

use ring::datagram::{self, Record};
use sim::World;
use sim::world::HostId;
use stack::ip::echo::EchoOptions;
use stack::udp::{DatagramRings, UdpOptions};

use super::owner::{MOST, Owner, PORTS, text};

impl Owner {
    /// One command, to a socket of `host` or anybody's.
    pub(super) fn datagrams(&mut self, world: &mut World, host: HostId) {
        let now = world.now();
        let remote = self.target(world, host);
        let len = (1 << self.chance.below(12)) + self.chance.below(200) as usize;
        let Self { chance, sockets, echoes, .. } = self;
        let stack = &mut world.host_mut(host).stack;
        match chance.below(9) {
            0 if sockets.len() < MOST => {
                let ((into, receive), (write, send)) = (ring::heap(4_096), ring::heap(1 << chance.between(8, 14)));
                let mut options = UdpOptions::default();
                options.reuse_port = chance.below(2) > 0;
                let local = SocketAddr::from((Ipv4Addr::UNSPECIFIED, chance.below(PORTS + 1) as u16));
                if let Ok(id) = stack.udp_bind(local, options, DatagramRings { receive: into, send }) {
                    sockets.push((host, id, write, receive));
                }
            }
            1 if echoes.len() < MOST => {
                let (into, receive) = ring::heap(4_096);
                if let Ok(id) = stack.echo_open(None, into) {
                    echoes.push((host, id, receive));
                }
            }
            2 if !sockets.is_empty() => {
                let (host, id, ..) = sockets.swap_remove(chance.below(sockets.len() as u64) as usize);
                world.host_mut(host).stack.udp_close(now, id);
            }
            3 if !echoes.is_empty() => {
                let (host, id, _) = echoes.swap_remove(chance.below(echoes.len() as u64) as usize);
                world.host_mut(host).stack.echo_close(id);
            }
            4 if !echoes.is_empty() => {
                let at = chance.below(echoes.len() as u64) as usize;
                let (host, id, receive) = &mut echoes[at];
                while datagram::skip(receive) {}
                let stack = &mut world.host_mut(*host).stack;
                let _ = stack.echo_send(now, *id, remote.ip(), 1, &vec![1; len], EchoOptions::default());
                stack.echo_take_error(*id);
            }
            _ if !sockets.is_empty() => {
                let at = chance.below(sockets.len() as u64) as usize;
                let (host, id, send, receive) = &mut sockets[at];
                while let Some((_, len)) = datagram::peek(receive) {
                    let mut payload = vec![0; len];
                    datagram::pop(receive, &mut payload);
                    let whole = payload.iter().zip(0..).all(|(&byte, at)| byte == text(len as u64, at));
                    assert!(whole, "a datagram of {len} bytes");
                }
                let stack = &mut world.host_mut(*host).stack;
                let payload: Vec<u8> = (0..len as u64).map(|at| text(len as u64, at)).collect();
                let record = Record { remote, local: None, interface: 0, tos: 0, ttl: 0 };
                match chance.below(4) {
                    0 => drop(stack.udp_connect(*id, remote)),
                    1 => stack.udp_disconnect(*id),
                    2 => drop(stack.udp_send(now, *id, &record, &payload)),
                    _ => {
                        while datagram::push(send, &record, &payload).is_ok() {}
                        stack.udp_flush(now, *id);
                    }
                }
                stack.udp_take_error(*id);
            }
            _ => {}
        }
    }
}
