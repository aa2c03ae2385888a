//! A certificate authority for one test, made in memory.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A certificate authority that nobody trusts unless told to.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A server's certificate and its key, both in PEM.
pub(crate) struct Identity {
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "Wharf interop test CA");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("the system has entropy");
        Self { issuer: CertifiedIssuer::self_signed(parameters, key).expect("a self-signed certificate can be made") }
    }

    /// Its own certificate, for those who shall trust it.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a server with these names or addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let parameters = CertificateParams::new(names).expect("the test's names are valid");
        let key = KeyPair::generate().expect("the system has entropy");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate can be signed");
        Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}
