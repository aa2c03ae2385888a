//! Who this side is: a chain of certificates and the key of the first, for a server or for a client that is asked.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Error, provider};

/// A chain of certificates and the private key of the first of them. Known to fit together.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// The certificate (with its intermediates, in order) and the key of two PEM files; they may be the same file.
    ///
    /// # Errors
    /// [`Error::Identity`] when a file cannot be read, holds nothing of the kind, or the key is not the
    /// certificate's.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| refused(certificate, pem_reason(error, "certificate")))?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| refused(key, pem_reason(error, "private key")))?;
        Self::build(chain, private, &certificate.display().to_string())
    }

    /// The certificate (with its intermediates, in order) and the key of two texts in PEM.
    ///
    /// # Errors
    /// As [`Identity::from_pem_files`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let given = Path::new("the text given");
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| refused(given, pem_reason(error, "certificate")))?;
        let private = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| refused(given, pem_reason(error, "private key")))?;
        Self::build(chain, private, "the text given")
    }

    /// The certificates, each in DER, and the key in DER: PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// As [`Identity::from_pem_files`].
    pub fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, Error> {
        let given = "the certificate given";
        let key =
            PrivateKeyDer::try_from(key).map_err(|reason| refused(Path::new("the key given"), reason.to_owned()))?;
        Self::build(chain.into_iter().map(CertificateDer::from).collect(), key, given)
    }

    fn build(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>, place: &str) -> Result<Self, Error> {
        if chain.is_empty() {
            return Err(refused(Path::new(place), pem_reason(pem::Error::NoItemsFound, "certificate")));
        }
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
            let reason = match error {
                rustls::Error::InconsistentKeys(_) => "the private key is not the one of the certificate".to_owned(),
                other => other.to_string(),
            };
            refused(Path::new(place), reason)
        })?;
        Ok(Self { certified: Arc::new(certified) })
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

fn refused(path: &Path, reason: String) -> Error {
    Error::Identity { path: path.to_owned(), reason }
}

fn pem_reason(error: pem::Error, wanted: &str) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => {
            format!("it holds no {wanted} in PEM form (an encrypted key has to be decrypted first: openssl pkey)")
        }
        other => other.to_string(),
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("Identity").field("certificates", &self.certified.cert.len()).finish_non_exhaustive()
    }
}
