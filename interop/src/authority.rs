//! A certificate authority for one test, made in memory.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};

/// A certificate authority that nobody trusts unless told to.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, both in PEM.
pub struct Identity {
    /// The certificate, and those between it and its authority where there are any.
    pub certificate_pem: String,
    /// The private key.
    pub key_pem: String,
}

impl Identity {
    /// A self-signed one for a server with these names.
    ///
    /// # Panics
    ///
    /// When the system has no entropy.
    #[must_use]
    pub fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().expect("the system has entropy");
        let certificate = parameters(names).self_signed(&key).expect("a certificate can be signed");
        Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

fn parameters(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).expect("the test's names are valid")
}

impl Authority {
    pub(crate) fn new() -> Self {
        let parameters = authority_named("Wharf interop test CA");
        let key = KeyPair::generate().expect("the system has entropy");
        Self { issuer: CertifiedIssuer::self_signed(parameters, key).expect("a self-signed certificate can be made") }
    }

    /// Its own certificate, for those who shall trust it.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a server with these names or addresses.
    ///
    /// # Panics
    ///
    /// When the names are none.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| {})
    }

    /// The same with a key of another kind, and whatever else `adjust` does to it.
    ///
    /// # Panics
    ///
    /// When the names are none, or no such key can be made.
    #[must_use]
    pub fn issue_with(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut parameters = parameters(names);
        adjust(&mut parameters);
        let key = KeyPair::generate_for(algorithm).expect("a key can be made");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate can be signed");
        Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// A certificate for the key of `key_pem`, as another program made it.
    ///
    /// # Panics
    ///
    /// When the names or the key are none.
    #[must_use]
    pub fn issue_for_key(&self, names: &[&str], key_pem: String) -> Identity {
        let key = KeyPair::from_pem(&key_pem).expect("the key can be read");
        let certificate = parameters(names).signed_by(&key, &self.issuer).expect("a certificate can be signed");
        Identity { certificate_pem: certificate.pem(), key_pem }
    }

    /// A certificate whose days were those of the leap year 2020.
    ///
    /// # Panics
    ///
    /// When the names are none.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        self.issue_with(names, &rcgen::PKCS_ECDSA_P256_SHA256, |parameters| {
            parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2020, 2, 29);
        })
    }

    /// An authority that this one has signed, and that signs for it.
    ///
    /// # Panics
    ///
    /// When the system has no entropy.
    #[must_use]
    pub fn intermediate(&self) -> Self {
        let key = KeyPair::generate().expect("the system has entropy");
        let parameters = authority_named("Wharf interop intermediate CA");
        let issuer = CertifiedIssuer::signed_by(parameters, key, &self.issuer).expect("a certificate can be signed");
        Self { issuer }
    }
}

fn authority_named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}
