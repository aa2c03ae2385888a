//! Whom a session believes: the Mozilla roots, the system's, or the authorities in a PEM file.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use super::Error;

/// The certificate authorities that a server's certificate must lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The Mozilla root programme, compiled into the program.
    #[default]
    Mozilla,
    /// The authorities that this system trusts: the files that OpenSSL reads, or those that `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name.
    System,
    /// The certificates of this PEM file and no others.
    File(PathBuf),
    /// These certificates, each in DER, and no others.
    Certificates(Vec<Vec<u8>>),
    /// Any certificate at all: the session is encrypted, and with whom is anyone's guess. For looking at servers, and
    /// for tests; whoever is on the way can read and change everything.
    DangerouslyAnything,
}

impl Trust {
    /// The same trust, known to be of use: whoever connects later finds no surprise in the file.
    ///
    /// # Errors
    /// [`Error::Authorities`] when the file cannot be read or holds no certificate.
    pub fn loaded(self) -> Result<Self, Error> {
        self.roots()?;
        Ok(self)
    }

    /// The store that rustls checks against; `None` where nothing is checked.
    pub(super) fn roots(&self) -> Result<Option<RootCertStore>, Error> {
        let mut store = RootCertStore::empty();
        match self {
            Self::DangerouslyAnything => return Ok(None),
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                // Authorities that webpki cannot read are of no use to it, and the others are.
                let (usable, _) = store.add_parsable_certificates(found.certs);
                if usable == 0 {
                    let reason = found.errors.first().map_or("none are installed".to_owned(), ToString::to_string);
                    return Err(Error::SystemAuthorities(reason));
                }
            }
            Self::Mozilla => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Self::File(path) => {
                let refuse = |reason: String| Error::Authorities { path: path.clone(), reason };
                let certificates = CertificateDer::pem_file_iter(path).map_err(|error| refuse(reason_of(error)))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| refuse(reason_of(error)))?;
                    store.add(certificate).map_err(|error| refuse(error.to_string()))?;
                }
                if store.is_empty() {
                    return Err(refuse("it holds no certificate in PEM form".to_owned()));
                }
            }
            Self::Certificates(certificates) => {
                for certificate in certificates {
                    store
                        .add(CertificateDer::from(certificate.as_slice()).into_owned())
                        .map_err(|error| Error::Unavailable(error.to_string()))?;
                }
                if store.is_empty() {
                    return Err(Error::Unavailable("no authority was given to trust".to_owned()));
                }
            }
        }
        Ok(Some(store))
    }
}

fn reason_of(error: pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it holds no certificate in PEM form".to_owned(),
        other => other.to_string(),
    }
}
