//! A site in memory: whatever a test has it do on each connection, with TLS where wanted, and what was counted there.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::http::{Client, Dial, Dialed, Dialing};
use crate::tls::Trust;

/// Bytes that a connection holds on their way.
const ROOM: usize = 1 << 16;

type Act = Arc<dyn Fn(usize, DuplexStream) + Send + Sync>;

/// A site that is reached whatever the host is called.
#[derive(Clone)]
pub(super) struct Site {
    act: Act,
    /// Where connections were made to, in order.
    pub dialed: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// A site that does `act` with each connection: its number from 0, and the stream.
    pub(super) fn new<F>(act: impl Fn(usize, DuplexStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let act = move |number, stream| drop(tokio::spawn(act(number, stream)));
        Self { act: Arc::new(act), dialed: Arc::default() }
    }

    pub(super) fn client(&self) -> Client<Site> {
        self.client_trusting(Trust::Mozilla)
    }

    pub(super) fn client_trusting(&self, trust: Trust) -> Client<Site> {
        Client::over(self.clone(), trust).unwrap()
    }

    /// Connections made so far.
    pub(super) fn connections(&self) -> usize {
        self.dialed.lock().unwrap().len()
    }
}

impl Dial for Site {
    type Stream = DuplexStream;

    fn dial<'a>(&'a self, host: &'a str, port: u16, _timeout: Duration) -> Dialing<'a, DuplexStream> {
        Box::pin(async move {
            let number = {
                let mut dialed = self.dialed.lock().unwrap();
                dialed.push(format!("{host}:{port}"));
                dialed.len() - 1
            };
            let (stream, far) = tokio::io::duplex(ROOM);
            // A connection takes a moment, in which others may be asked for.
            tokio::time::sleep(Duration::from_millis(1)).await;
            (self.act)(number, far);
            Ok(Dialed { stream, remote: ([192, 0, 2, 1], port).into(), name: Duration::ZERO })
        })
    }
}

/// A server of hyper's that says which connection answers, and counts.
#[derive(Clone, Default)]
pub(super) struct Counts {
    pub requests: Arc<AtomicUsize>,
    /// Requests at the same time, now and at most.
    now: Arc<AtomicUsize>,
    pub most: Arc<AtomicUsize>,
}

impl Counts {
    /// Answers one request in `takes`.
    pub(super) async fn answer(
        &self,
        connection: usize,
        takes: Duration,
    ) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(takes).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(hyper::Response::new(Full::new(Bytes::from(format!("{connection}")))))
    }

    /// Serves HTTP/1.1 on `stream` until it ends.
    pub(super) async fn serve_one<S>(self, number: usize, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answer = service_fn(move |_: hyper::Request<Incoming>| {
            let counts = self.clone();
            async move { counts.answer(number, Duration::from_millis(20)).await }
        });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    }

    /// Serves HTTP/2 on `stream` until it ends, `streams` at a time; after `requests` it says goodbye.
    pub(super) async fn serve_two<S>(self, number: usize, stream: S, streams: u32, requests: usize)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let served = Arc::new(AtomicUsize::new(0));
        let enough = Arc::new(tokio::sync::Notify::new());
        let (counted, told) = (Arc::clone(&served), Arc::clone(&enough));
        let answer = service_fn(move |_: hyper::Request<Incoming>| {
            let (counts, counted, told) = (self.clone(), Arc::clone(&counted), Arc::clone(&told));
            async move {
                let answered = counts.answer(number, Duration::from_millis(20)).await;
                if counted.fetch_add(1, Ordering::SeqCst) + 1 == requests {
                    told.notify_one();
                }
                answered
            }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(streams)
            .serve_connection(TokioIo::new(stream), answer);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = enough.notified() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

/// A certificate for `h` from an authority of the test's own, and the trust in it.
pub(super) struct Secure {
    config: Arc<ServerConfig>,
    pub trust: Trust,
}

impl Secure {
    /// A server that speaks `alpn`.
    pub(super) fn new(alpn: &[&str]) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["h".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config), trust: Trust::Certificates(vec![issuer.der().to_vec()]) }
    }

    pub(super) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        tokio_rustls::TlsAcceptor::from(Arc::clone(&self.config))
    }
}
