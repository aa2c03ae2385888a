//! HTTP/3 on the kernel's stack, where curl has none: h3 and quinn, which are Wharf's own libraries for it, on UDP sockets
//! of the kernel's in the peers' namespace. What is left between the two is the way of the datagrams.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::{Buf, Bytes};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, ClientConfig, Endpoint, EndpointConfig, TransportConfig, UdpPoller, VarInt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::Interest;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::kernel::{Kernel, Path};
use super::servers::Servers;
use super::{AT_ONCE, Load, Version, url};

/// The windows of Wharf's client, in bytes.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// The buffers of Wharf's datagram sockets, in bytes; the kernel gives as much of it as it allows.
const BUFFER: usize = 2 << 20;

type Sender = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

/// Fetches, and gives the bytes that came.
///
/// # Errors
/// When the connection or a request fails.
pub(super) fn fetch(kernel: &Kernel<'_>, servers: &Servers, path: Path, load: Load, requests: u64) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let socket = kernel.within(|| Ok(std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    let config = config(servers)?;
    let target = url(path.server(), Version::Three, load).parse::<http::Uri>()?;
    let port = target.port_u16().context("the URL names a port")?;
    runtime.block_on(async {
        let socket = Arc::new(Socket::new(socket)?);
        let mut endpoint =
            Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, Arc::new(OnTokio))?;
        endpoint.set_default_client_config(config);
        let connection = endpoint.connect((path.server(), port).into(), &path.server().to_string())?.await?;
        let (mut driver, sender) =
            h3::client::builder().send_grease(false).build(h3_quinn::Connection::new(connection.clone())).await?;
        let driving = tokio::spawn(async move { std::future::poll_fn(|context| driver.poll_close(context)).await });
        let mut sum = 0;
        match load {
            Load::Bulk => sum = get(sender, target).await?,
            Load::Small => {
                let (mut begun, mut under_way) = (0, JoinSet::new());
                loop {
                    while begun < requests && under_way.len() < AT_ONCE {
                        under_way.spawn(get(sender.clone(), target.clone()));
                        begun += 1;
                    }
                    match under_way.join_next().await {
                        Some(done) => sum += done??,
                        None => break,
                    }
                }
            }
        }
        driving.abort();
        connection.close(VarInt::from_u32(0x100), b"");
        endpoint.wait_idle().await;
        Ok(sum)
    })
}

async fn get(mut sender: Sender, target: http::Uri) -> Result<u64> {
    let request = http::Request::get(target).body(())?;
    let mut stream = sender.send_request(request).await?;
    stream.finish().await?;
    let response = stream.recv_response().await?;
    ensure!(response.status().is_success(), "the server answered {}", response.status());
    let mut sum = 0;
    while let Some(data) = stream.recv_data().await? {
        sum += data.remaining() as u64;
    }
    Ok(sum)
}

fn config(servers: &Servers) -> Result<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(servers.authority()).map_err(|error| anyhow!("the authority: {error}"))?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

struct Socket {
    socket: tokio::net::UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        state.set_send_buffer_size((&socket).into(), BUFFER)?;
        state.set_recv_buffer_size((&socket).into(), BUFFER)?;
        Ok(Self { socket: tokio::net::UdpSocket::from_std(socket)?, state })
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_io(Interest::WRITABLE, || self.state.send((&self.socket).into(), transmit))
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_recv_ready(context))?;
            let received =
                self.socket.try_io(Interest::READABLE, || self.state.recv((&self.socket).into(), buffers, meta));
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

#[derive(Debug)]
struct Poller(Arc<Socket>);

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.socket.poll_send_ready(context)
    }
}

/// quinn on tokio's timers and tasks.
#[derive(Debug)]
struct OnTokio;

impl quinn::Runtime for OnTokio {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(Box::pin(tokio::time::sleep_until(at.into()))))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(future);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }
}

#[derive(Debug)]
struct Timer(Pin<Box<Sleep>>);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.as_mut().reset(at.into());
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}
