//! Whether a host certificate is good for a host (OpenSSH's PROTOCOL.certkeys).

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg};

use crate::ssh::pattern;

/// Checks everything but who the authority is.
pub(super) fn is_good_for(certificate: &Certificate, host: &str, now: SystemTime) -> Result<(), String> {
    if certificate.cert_type() != CertType::Host {
        return Err("it is a user's certificate, not a host's".to_owned());
    }
    if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None }) {
        return Err("it is signed with SHA-1".to_owned());
    }
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    if now < certificate.valid_after() {
        return Err("it is not valid yet".to_owned());
    }
    if now >= certificate.valid_before() {
        return Err("it has expired".to_owned());
    }
    if certificate.validate_at(now, [&authority]).is_err() {
        return Err("its signature is wrong".to_owned());
    }
    // PROTOCOL.certkeys: a critical option that is not understood refuses the certificate; none is defined for hosts.
    if let Some((name, _)) = certificate.critical_options().iter().next() {
        return Err(format!("its critical option {name:?} is unknown"));
    }
    let principals = certificate.valid_principals();
    // A certificate without names would be good for every host: newer OpenSSH refuses it too.
    if principals.is_empty() {
        return Err("it names no host".to_owned());
    }
    if !principals.iter().any(|principal| pattern::matches(principal, host)) {
        return Err(format!("it is for {}", principals.join(", ")));
    }
    Ok(())
}
