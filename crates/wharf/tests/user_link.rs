//! A `Net` behind the user-mode gateway: an address by DHCP and the host's sockets at the other end.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::thread;
use std::time::Duration;

use links::user::{UserConfig, UserLink};
use wharf::net::{TcpStream, UdpSocket};
use wharf::{Net, Pinger};

const LONG: Duration = Duration::from_secs(10);
const GATEWAY: [u8; 4] = [10, 0, 2, 2];

fn inside() -> Net {
    let config = UserConfig { host_loopback: true, resolvers: Some(Vec::new()), ..UserConfig::default() };
    let net = Net::from_link(UserLink::open(&config).unwrap()).unwrap();
    net.wait_configured(LONG).unwrap();
    net
}

#[test]
fn dhcp_configures_the_net() {
    let net = inside();
    let configuration = net.configuration().unwrap();
    assert_eq!(configuration.address.to_string(), "10.0.2.15/24");
    assert_eq!(configuration.gateway, Some(IpAddr::from(GATEWAY)));
    assert_eq!(net.dns_servers(), [IpAddr::from([10, 0, 2, 3])]);
    assert_eq!(configuration.interface, "user");
    assert_eq!(configuration.lease.unwrap().server, IpAddr::from(GATEWAY));
    assert!(configuration.took < LONG);
    let reply = Pinger::new(&net, GATEWAY.into()).unwrap().ping(&[0; 56], LONG).unwrap();
    assert_eq!(reply.source, IpAddr::from(GATEWAY));
}

#[test]
fn a_stream_reaches_a_socket_of_the_host() {
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (stream, _) = host.accept().unwrap();
        std::io::copy(&mut &stream, &mut &stream).unwrap();
    });
    let net = inside();
    let mut stream = TcpStream::connect(&net, (GATEWAY, port)).unwrap();
    let sent: Vec<u8> = (0..3_000_000u32).map(|number| (number >> 7) as u8).collect();
    let writer = stream.try_clone().unwrap();
    let writing = thread::spawn({
        let sent = sent.clone();
        move || {
            (&writer).write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        }
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == sent);
    writing.join().unwrap();
    server.join().unwrap();
}

#[test]
fn what_the_host_refuses_is_refused() {
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    drop(host);
    let error = TcpStream::connect(&inside(), (GATEWAY, port)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn datagrams_reach_a_socket_of_the_host() {
    let host = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut buffer = [0; 16_000];
        for _ in 0..3 {
            let (len, peer) = host.recv_from(&mut buffer).unwrap();
            host.send_to(&buffer[..len], peer).unwrap();
        }
    });
    let net = inside();
    let socket = UdpSocket::bind(&net, ([0, 0, 0, 0], 0)).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket.connect((GATEWAY, port)).unwrap();
    let mut buffer = [0; 16_000];
    for len in [1, 1_400, 9_000] {
        let sent = vec![len as u8; len];
        socket.send(&sent).unwrap();
        let n = socket.recv(&mut buffer).unwrap();
        assert!(buffer[..n] == sent, "{len}");
    }
    server.join().unwrap();
}
