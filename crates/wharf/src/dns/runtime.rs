//! Wharf's sockets in the shape that hickory takes: tokio's timers and tasks, our UDP and TCP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime};
use tokio::io::ReadBuf;

use crate::Net;
use crate::aio::{TcpStream, UdpSocket};

/// How long a TCP connection to a server may take when hickory names no limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sockets of one [`Net`].
#[derive(Clone)]
pub(super) struct NetRuntime {
    net: Net,
    tasks: TokioHandle,
}

impl NetRuntime {
    pub(super) fn new(net: Net) -> Self {
        Self { net, tasks: TokioHandle::default() }
    }
}

impl RuntimeProvider for NetRuntime {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = DnsUdp;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> TokioHandle {
        self.tasks.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _local: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = Result<Self::Tcp, io::Error>>>> {
        let net = self.net.clone();
        Box::pin(async move {
            let connecting = TcpStream::connect(&net, server);
            let stream = tokio::time::timeout(timeout.unwrap_or(CONNECT_TIMEOUT), connecting)
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            stream.set_nodelay(true)?;
            Ok(AsyncIoTokioAsStd(stream))
        })
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        _server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = Result<DnsUdp, io::Error>>>> {
        let net = self.net.clone();
        // hickory chooses the port at random (RFC 5452 section 9.2) and relies on getting it.
        Box::pin(async move { Ok(DnsUdp(UdpSocket::bind(&net, local).await?)) })
    }
}

/// A datagram socket as hickory polls it.
pub(super) struct DnsUdp(UdpSocket);

impl DnsUdpSocket for DnsUdp {
    type Time = TokioTime;

    fn poll_recv_from(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        self.0.poll_recv_from(cx, &mut buffer).map_ok(|source| (buffer.filled().len(), source))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, payload: &[u8], target: SocketAddr) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, payload, target)
    }
}
