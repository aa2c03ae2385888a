//! The keys that a user proves himself with: files, plain and encrypted, and the agent's; and the certificates by which an
//! authority vouches for them (OpenSSH's PROTOCOL.certkeys).
//!
//! `authenticate` offers their public halves first. An encrypted file is opened, and its passphrase asked for, only when
//! the server would take its key.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PublicKey, decode_secret_key};
use russh::{SendError, Signer};

use super::{Error, Questions};

/// The largest key file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Wrong passphrases until a file is given up.
const TRIES: usize = 3;

/// The agent's socket, spoken to over a Unix socket.
pub(super) type Agent = AgentClient<tokio::net::UnixStream>;

/// A key that can be offered.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) public: PublicKey,
    /// What an authority says of the key, if that is what is to be offered.
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) source: Source,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The agent signs.
    Agent,
    /// A file that is open already.
    Plain(Arc<PrivateKey>),
    /// A file that needs its passphrase.
    Encrypted { file: PathBuf, text: String },
}

/// What `file` holds. `None` if there is no such file.
pub(super) fn read_file(file: &Path) -> Result<Option<Identity>, Error> {
    let refused = |reason: String| Error::Identity(format!("the key {} is of no use: {reason}", file.display()));
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error.to_string())),
    };
    check_mode(&opened).map_err(refused)?;
    let mut text = String::new();
    opened.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| refused(error.to_string()))?;
    match PrivateKey::from_openssh(&text) {
        Ok(key) if !key.is_encrypted() => Ok(Some(plain(key))),
        // Its public half is in the clear.
        Ok(key) => Ok(Some(Identity {
            public: key.public_key().clone(),
            certificate: None,
            source: Source::Encrypted { file: file.to_owned(), text },
        })),
        // PEM in one of its other forms: if that is encrypted, the public half stands in the file beside it.
        Err(_) => match decode_secret_key(&text, None) {
            Ok(key) => Ok(Some(plain(key))),
            Err(russh::keys::Error::KeyIsEncrypted) => {
                let mut beside = file.as_os_str().to_owned();
                beside.push(".pub");
                let public = russh::keys::load_public_key(&beside)
                    .map_err(|_| refused("it is encrypted, and no .pub file tells whose it is".to_owned()))?;
                let source = Source::Encrypted { file: file.to_owned(), text };
                Ok(Some(Identity { public, certificate: None, source }))
            }
            Err(error) => Err(refused(error.to_string())),
        },
    }
}

fn plain(key: PrivateKey) -> Identity {
    Identity { public: key.public_key().clone(), certificate: None, source: Source::Plain(Arc::new(key)) }
}

/// The certificate in `file`, which OpenSSH's ssh-keygen made. `None` if there is no such file.
pub(super) fn read_certificate(file: &Path) -> Result<Option<Certificate>, Error> {
    let refused =
        |reason: String| Error::Identity(format!("the certificate {} is of no use: {reason}", file.display()));
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error.to_string())),
    };
    let mut text = String::new();
    opened.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| refused(error.to_string()))?;
    let certificate = Certificate::from_openssh(text.trim()).map_err(|error| refused(error.to_string()))?;
    is_good(&certificate, SystemTime::now()).map_err(refused)?;
    Ok(Some(certificate))
}

/// Whether a server could take the certificate now. Whom it is for is the server's to judge.
fn is_good(certificate: &Certificate, now: SystemTime) -> Result<(), String> {
    if certificate.cert_type() != CertType::User {
        return Err("it is a host's, not a user's".to_owned());
    }
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if now < certificate.valid_after() {
        return Err("it is not valid yet".to_owned());
    }
    if now >= certificate.valid_before() {
        return Err("it has expired".to_owned());
    }
    Ok(())
}

/// The file in which ssh-keygen puts the certificate of the key in `file`.
pub(super) fn certificate_beside(file: &Path) -> PathBuf {
    let mut beside = file.as_os_str().to_owned();
    beside.push("-cert.pub");
    beside.into()
}

/// A key that others can read is no secret.
fn check_mode(file: &File) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("others can read it (mode {:04o}); chmod 600 it", mode & 0o7777));
    }
    Ok(())
}

/// The agent at `socket`, and the keys it holds, each with its certificate if it holds one.
pub(super) async fn agent(socket: &Path) -> Result<(Agent, Vec<Identity>), Error> {
    let failed = |error: russh::keys::Error| Error::Identity(format!("the agent at {}: {error}", socket.display()));
    let mut agent = AgentClient::connect_uds(socket).await.map_err(failed)?;
    let identities = agent.request_identities().await.map_err(failed)?;
    let keys = identities.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, .. } => {
            Some(Identity { public: key, certificate: None, source: Source::Agent })
        }
        // One that no server would take now is passed over.
        AgentIdentity::Certificate { certificate, comment } => {
            is_good(&certificate, SystemTime::now()).ok()?;
            let public = PublicKey::new(certificate.public_key().clone(), comment);
            Some(Identity { public, certificate: Some(Arc::new(certificate)), source: Source::Agent })
        }
    });
    Ok((agent, keys.collect()))
}

/// Signs with a key file, which it opens when the server has said that it would take the key.
pub(super) struct FileSigner {
    pub(super) source: Source,
    pub(super) questions: Arc<dyn Questions>,
}

impl FileSigner {
    async fn key(&self) -> Result<Arc<PrivateKey>, Error> {
        match &self.source {
            Source::Plain(key) => Ok(Arc::clone(key)),
            Source::Agent => Err(Error::Identity("the agent has this key".to_owned())),
            Source::Encrypted { file, text } => {
                let (file, text, questions) = (file.clone(), text.clone(), Arc::clone(&self.questions));
                // Both the question and the key's derivation take their time.
                tokio::task::spawn_blocking(move || open(&file, &text, &*questions))
                    .await
                    .map_err(|_| Error::Identity("the key's passphrase could not be asked for".to_owned()))?
            }
        }
    }
}

fn open(file: &Path, text: &str, questions: &dyn Questions) -> Result<Arc<PrivateKey>, Error> {
    let prompt = format!("Passphrase of {}: ", file.display());
    for _ in 0..TRIES {
        let Some(passphrase) = questions.secret(&prompt, false) else {
            return Err(Error::Identity(format!(
                "the key {} is encrypted, and nobody can be asked for its passphrase; load it into an agent",
                file.display()
            )));
        };
        match decode_secret_key(text, Some(&passphrase)) {
            Ok(key) if !key.is_encrypted() => return Ok(Arc::new(key)),
            _ => questions.tell("That is not its passphrase."),
        }
    }
    Err(Error::Identity(format!("the key {} was not opened", file.display())))
}

impl From<SendError> for Error {
    fn from(_: SendError) -> Self {
        Self::Closed("the server closed it".to_owned())
    }
}

impl Signer for FileSigner {
    type Error = Error;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let key = self.key().await?;
        let failed = |error: &dyn std::fmt::Display| Error::Identity(format!("the key does not sign: {error}"));
        let signature = match key.key_data() {
            KeypairData::Rsa(rsa) => (rsa, hash).try_sign(&to_sign),
            _ => key.try_sign(&to_sign),
        }
        .map_err(|error| failed(&error))?;
        // RFC 4252 section 7: the signature follows what was signed, as a string.
        let mut encoded = Vec::new();
        signature.encode(&mut encoded).map_err(|error| failed(&error))?;
        encoded.as_slice().encode(&mut to_sign).map_err(|error| failed(&error))?;
        Ok(to_sign)
    }
}

/// Whether a key signs with one of several hashes.
pub(super) fn is_rsa(key: &PublicKey) -> bool {
    matches!(key.algorithm(), Algorithm::Rsa { .. })
}
