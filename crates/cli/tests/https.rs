//! `wharf wget` of https URLs over the user link: whom it believes, and what it says when it does not.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Run, answer, read_head, tcp_server, wharf_in};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A certificate authority of the test's own, and the file that holds it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "the test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    /// A site for `names` that serves one page, with a certificate that `adjust` shapes. Gives the port.
    fn site(&self, names: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> u16 {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        adjust(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let config = Arc::new(config);
        tcp_server(move |stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            if read_head(&mut stream).is_some() {
                let _ = stream.write_all(&answer("200 OK", b"a private page"));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        })
    }
}

/// `wharf wget` of `https://site.test:PORT/page` into a folder of its own, and what is in that folder afterwards.
fn fetch(port: u16, more: &[&str]) -> (Run, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("https://site.test:{port}/page");
    let mut args = vec!["wget", "--host-loopback", "--host", "site.test=10.0.2.2", &url];
    args.extend(more);
    let ran = wharf_in(folder.path(), &args);
    let names =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    (ran, names)
}

#[test]
fn a_site_of_a_private_authority_is_believed_with_its_certificate() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let ca = authority.file(folder.path());
    let port = authority.site(&["site.test"], |_| {});
    let (ran, names) = fetch(port, &["--ca", ca.to_str().unwrap(), "--json"]);
    ran.expect_success();
    assert_eq!(names, ["page"]);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["tls"]["version"], "TLS 1.3");
    assert_eq!(told["tls"]["key_exchange"], "X25519MLKEM768");
}

#[test]
fn without_its_certificate_it_is_refused_by_name_and_leaves_no_file() {
    let port = Authority::new().site(&["site.test"], |_| {});
    let (ran, names) = fetch(port, &[]);
    ran.expect_failure(5, &["TLS: the certificate of site.test", "unknown issuer", "--ca FILE"]);
    assert!(names.is_empty());
}

#[test]
fn a_certificate_for_other_names_is_refused_with_those_names() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let ca = authority.file(folder.path());
    let port = authority.site(&["other.test", "www.other.test"], |_| {});
    let (ran, names) = fetch(port, &["--ca", ca.to_str().unwrap()]);
    ran.expect_failure(5, &["not valid for the name site.test: it is for other.test, www.other.test"]);
    assert!(names.is_empty());
}

#[test]
fn an_expired_certificate_is_refused_with_its_day() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let ca = authority.file(folder.path());
    let port = authority.site(&["site.test"], |params| params.not_after = rcgen::date_time_ymd(2021, 5, 6));
    let (ran, names) = fetch(port, &["--ca", ca.to_str().unwrap()]);
    ran.expect_failure(5, &["expired on 2021-05-06", "clock"]);
    assert!(names.is_empty());
}
