//! The check of a server's certificate: webpki's, and beside it what was shown, so that a refusal can be explained.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::{Error, Trust, provider};

thread_local! {
    /// The chain refused last on this thread. rustls drops what it refuses, and its verifiers belong to many
    /// connections at once; but a handshake calls its verifier within one poll, on one thread.
    static REFUSED: RefCell<Vec<CertificateDer<'static>>> = const { RefCell::new(Vec::new()) };
}

/// Checks certificates by what is trusted.
#[derive(Debug)]
pub(super) struct Verifier {
    /// `None` believes any certificate.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(trust: &Trust) -> Result<Self, Error> {
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let webpki = match trust.roots()? {
            None => None,
            Some(roots) => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| Error::Unavailable(error.to_string()))?,
            ),
        };
        Ok(Self { webpki, algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(webpki) = &self.webpki else {
            return Ok(ServerCertVerified::assertion());
        };
        webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).inspect_err(|_| {
            let shown = std::iter::once(end_entity).chain(intermediates);
            REFUSED.set(shown.map(|certificate| certificate.clone().into_owned()).collect());
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Whoever is believed, the handshake is signed by the key that was shown.
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Drives `handshake` to its end, and gives with its outcome the chain that a [`Verifier`] refused in it.
pub(super) async fn watched<F: Future>(handshake: F) -> (F::Output, Vec<CertificateDer<'static>>) {
    let mut handshake = pin!(handshake);
    let mut refused = Vec::new();
    let outcome = poll_fn(|context| {
        REFUSED.take();
        let poll = handshake.as_mut().poll(context);
        let shown = REFUSED.take();
        if !shown.is_empty() {
            refused = shown;
        }
        poll
    })
    .await;
    (outcome, refused)
}
