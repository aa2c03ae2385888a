//! Handshakes over in-memory streams with certificates made for each test.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Agreed, Connector, Error, Trust};

mod sessions;

const PATIENCE: Duration = Duration::from_secs(10);

/// An authority of the test's own.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The handshake of a client that trusts `trust` and wants `name` with a server whose certificate `adjust` shapes.
async fn handshake(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    names: &[&str],
    adjust: impl FnOnce(&mut CertificateParams),
    trust: Trust,
    name: &str,
) -> Result<Agreed, Error> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    adjust(&mut params);
    let certificate = params.signed_by(&key, issuer).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];

    let (near, far) = tokio::io::duplex(1 << 16);
    let server = tokio::spawn(async move {
        let accepted = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(far).await;
        if let Ok(mut stream) = accepted {
            let mut byte = [0];
            let _ = stream.read(&mut byte).await;
        }
    });
    let result = Connector::new(trust, &["http/1.1"]).unwrap().connect(name, near, PATIENCE).await;
    let agreed = result.map(|stream| Agreed::of(&stream));
    server.await.unwrap();
    agreed
}

fn trusting(issuer: &CertifiedIssuer<'static, KeyPair>) -> Trust {
    Trust::Certificates(vec![issuer.der().to_vec()])
}

#[tokio::test]
async fn a_trusted_certificate_gives_tls_1_3_with_the_post_quantum_exchange() {
    let issuer = authority("one");
    let agreed = handshake(&issuer, &["example.com"], |_| {}, trusting(&issuer), "example.com").await.unwrap();
    assert_eq!(agreed.version, "TLS 1.3");
    assert_eq!(agreed.key_exchange.as_deref(), Some("X25519MLKEM768"));
    assert_eq!(agreed.application.as_deref(), Some("http/1.1"));
}

#[tokio::test]
async fn an_address_can_be_the_name() {
    let issuer = authority("one");
    handshake(&issuer, &["192.0.2.7"], |_| {}, trusting(&issuer), "192.0.2.7").await.unwrap();
    let error = handshake(&issuer, &["192.0.2.7"], |_| {}, trusting(&issuer), "192.0.2.8").await.unwrap_err();
    assert!(matches!(error, Error::WrongName { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_name_is_told_with_the_names_that_would_be_right() {
    let issuer = authority("one");
    let names = ["example.com", "*.example.org"];
    let error = handshake(&issuer, &names, |_| {}, trusting(&issuer), "example.net").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("not valid for the name example.net: it is for example.com, *.example.org;"), "{text}");
}

#[tokio::test]
async fn a_certificate_with_very_many_names_is_told_in_short() {
    let issuer = authority("one");
    let names: Vec<String> = (0..100).map(|n| format!("n{n}.example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = handshake(&issuer, &names, |_| {}, trusting(&issuer), "example.net").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("n0.example.com") && text.contains("94 more") && text.len() < 400, "{text}");
}

#[tokio::test]
async fn an_expired_certificate_is_told_with_its_day() {
    let issuer = authority("one");
    let expired = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 2, 29);
    let error = handshake(&issuer, &["h"], expired, trusting(&issuer), "h").await.unwrap_err();
    assert!(error.to_string().contains("certificate of h expired on 2020-02-29"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_the_future_is_told_with_its_day() {
    let issuer = authority("one");
    let future = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2190, 1, 2);
        params.not_after = rcgen::date_time_ymd(2191, 1, 2);
    };
    let error = handshake(&issuer, &["h"], future, trusting(&issuer), "h").await.unwrap_err();
    assert!(error.to_string().contains("not valid yet, only from 2190-01-02"), "{error}");
}

#[tokio::test]
async fn an_unknown_issuer_is_told_with_the_option_that_names_one() {
    let issuer = authority("one");
    let error = handshake(&issuer, &["h"], |_| {}, Trust::Mozilla, "h").await.unwrap_err();
    assert!(matches!(error, Error::UnknownIssuer { .. }) && error.to_string().contains("--ca FILE"), "{error}");
    for name in ["other", "one"] {
        let error = handshake(&issuer, &["h"], |_| {}, trusting(&authority(name)), "h").await.unwrap_err();
        assert!(matches!(error, Error::UnknownIssuer { .. }), "{error}");
        assert!(error.is_certificate());
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart() {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut sink = Vec::new();
        let _ = far.read_to_end(&mut sink).await;
    });
    let connector = Connector::new(Trust::Mozilla, &[]).unwrap();
    let error = connector.connect("h", near, PATIENCE).await.unwrap_err();
    assert!(matches!(error, Error::NotTls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_closed_in_the_handshake_is_told_apart() {
    let (near, far) = tokio::io::duplex(1 << 16);
    drop(far);
    let connector = Connector::new(Trust::Mozilla, &[]).unwrap();
    let error = connector.connect("h", near, PATIENCE).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. } | Error::Connection { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_never_answered_is_given_up() {
    let (near, _far) = tokio::io::duplex(1 << 16);
    let connector = Connector::new(Trust::Mozilla, &[]).unwrap();
    let error = connector.connect("h", near, PATIENCE).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
}

#[test]
fn files_of_authorities_that_cannot_be_used_are_refused_with_the_reason() {
    let missing = Connector::new(Trust::File("/nonexistent/ca.pem".into()), &[]).err().unwrap();
    assert!(missing.to_string().contains("No such file"), "{missing}");
    let empty = Connector::new(Trust::File("/dev/null".into()), &[]).err().unwrap();
    assert!(empty.to_string().contains("no certificate"), "{empty}");
}
