//! An HTTPS site on the host's loopback, over the host's own sockets, with a certificate made as it starts.
//! It stands in for the Internet where there is none.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// The page that it serves.
const PAGE: &str = include_str!("page.html");

/// A running site. Dropping it ends it.
pub(super) struct Origin {
    /// Where https is served, on the host's loopback.
    pub(super) https: SocketAddr,
    /// Where http is served, which redirects to https.
    pub(super) http: SocketAddr,
    /// The authority that signed its certificate, in DER.
    pub(super) authority: Vec<u8>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Starts a site of the name `name`.
    pub(super) fn start(name: &'static str) -> io::Result<Self> {
        let (config, authority) = identity(name).map_err(io::Error::other)?;
        let listen = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>((listener.local_addr()?, listener))
        };
        let (https, https_listener) = listen()?;
        let (http, http_listener) = listen()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let (Ok(https), Ok(http)) =
                    (TcpListener::from_std(https_listener), TcpListener::from_std(http_listener))
                else {
                    return;
                };
                tokio::select! {
                    () = serve_https(https, TlsAcceptor::from(config)) => {}
                    () = serve_http(http, name) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { https, http, authority, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A key and certificate for `name`, and the authority that signed it.
fn identity(name: &str) -> Result<(Arc<ServerConfig>, Vec<u8>), Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Wharf's authority for this run");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &authority)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der())?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), authority.der().to_vec()))
}

async fn serve_https(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        // An answer is written whole, so that Nagle's algorithm could only delay it.
        let _ = stream.set_nodelay(true);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, |request| match (request.method(), request.uri().path()) {
                    (&Method::GET | &Method::HEAD, "/") => page(),
                    _ => status(StatusCode::NOT_FOUND),
                })
                .await;
            }
        });
    }
}

async fn serve_http(listener: TcpListener, name: &'static str) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, move |request| {
            let mut response = status(StatusCode::MOVED_PERMANENTLY);
            if let Ok(location) = format!("https://{name}{}", request.uri().path()).parse() {
                response.headers_mut().insert(LOCATION, location);
            }
            response
        }));
    }
}

async fn serve<S>(stream: S, answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let response = answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    // A client that goes away in the middle is its own affair.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn page() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(PAGE.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
