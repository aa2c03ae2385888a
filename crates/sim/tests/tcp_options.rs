//! What the owner may set on a connection, as it is seen on the wire.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::Config;
use stack::tcp::{ConnectOptions, ListenOptions, Phase, SocketOption, SocketOptions};
use wire::tcp::TcpFlags;

/// Offsets in a frame: Ethernet's 14 bytes, then IPv4's type of service and time to live.
const TOS: usize = 14 + 1;
const TTL: usize = 14 + 8;

fn options(change: impl FnOnce(&mut SocketOptions)) -> ConnectOptions {
    let mut socket = SocketOptions::default();
    change(&mut socket);
    ConnectOptions { socket, ..ConnectOptions::default() }
}

fn set(puppet: &mut Puppet, option: SocketOption) {
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_set_option(now, id, option);
    puppet.drain();
}

#[test]
fn dscp_and_hop_limit_stand_on_every_segment_from_the_syn_on() {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&options(|socket| {
        socket.tos = 0xb8;
        socket.hop_limit = 7;
    }));
    puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1460));
    puppet.write(&[1; 3_000]);
    puppet.run_for(Duration::from_millis(700));
    let frames = puppet.take_frames();
    assert!(frames.len() >= 5);
    assert!(frames.iter().all(|frame| (frame[TOS], frame[TTL]) == (0xb8, 7)));
    set(&mut puppet, SocketOption::Tos(0x20));
    set(&mut puppet, SocketOption::HopLimit(99));
    puppet.run_for(Duration::from_secs(2));
    assert!(puppet.take_frames().iter().all(|frame| (frame[TOS], frame[TTL]) == (0x20, 99)));
    let id = puppet.id();
    assert_eq!(puppet.stack.tcp_options(id).map(|options| (options.tos, options.hop_limit)), Some((0x20, 99)));
}

#[test]
fn what_a_listener_was_given_passes_to_what_it_accepts() {
    let mut puppet = Puppet::new(Config::default());
    let mut listen = ListenOptions::default();
    listen.socket.tos = 0x28;
    listen.socket.no_delay = true;
    let listener = puppet.listen(listen);
    puppet.send(&seg(0).flags(TcpFlags::SYN).mss(1460));
    assert_eq!(puppet.take_frames()[0][TOS], 0x28);
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    puppet.write(b"a");
    puppet.write(b"b");
    assert_eq!(puppet.take_frames().len(), 2, "without Nagle");
}

#[test]
fn a_bound_on_the_segment_size_is_announced_and_obeyed() {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&options(|socket| socket.max_segment = Some(700)));
    let syn = puppet.take().remove(0);
    assert_eq!(syn.options.mss, Some(700));
    puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1460));
    puppet.take();
    puppet.write(&[1; 1_400]);
    assert_eq!(puppet.take().iter().map(|seen| seen.text.len()).collect::<Vec<_>>(), [700, 700]);
}

#[test]
fn lingering_for_no_time_resets_on_close() {
    let opts = options(|socket| socket.reset_on_close = true);
    let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460), &opts, 1 << 16, 1 << 16);
    puppet.write(b"lost");
    puppet.close();
    assert_eq!(puppet.lines().last().map(String::as_str), Some("0.000 R. 5:5 ack 1"));
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn window_scaling_and_timestamps_can_be_left_out() {
    let mut config = Config::default();
    config.tcp.window_scaling = false;
    config.tcp.timestamps = false;
    let mut puppet = Puppet::new(config);
    puppet.connect_with(&ConnectOptions::default(), 1 << 20, 1 << 20);
    let syn = puppet.take().remove(0);
    assert_eq!((syn.options.window_scale, syn.options.timestamps), (None, None));
    // A peer that answers with them nevertheless is not believed.
    puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1460).scale(7).timestamps(1, 0));
    puppet.send(&seg(1).ack(1).window(1_000));
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.info().send_window, 1_000);
    assert_eq!((puppet.info().window_scale, puppet.info().timestamps), (None, false));
}
