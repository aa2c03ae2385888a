//! One line of a known_hosts file: marker, hosts, key (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use russh::keys::PublicKey;

use crate::ssh::pattern;

/// What a line says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// It is the host's.
    Host,
    /// It is never to be believed.
    Revoked,
    /// It signs the certificates of these hosts.
    Authority,
}

/// Whom a line is about.
#[derive(Clone, Debug)]
enum Hosts {
    Patterns(Vec<String>),
    /// One name, of which only HMAC-SHA-1 under a salt is told.
    Hashed {
        salt: Vec<u8>,
        digest: Vec<u8>,
    },
}

/// A line that could be read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) marker: Marker,
    hosts: Hosts,
    pub(super) key: PublicKey,
}

/// The bytes of a SHA-1 digest, and of the salts that OpenSSH writes.
const DIGEST: usize = 20;

impl Entry {
    /// Reads a line that is neither empty nor a comment.
    pub(super) fn parse(line: &str) -> Result<Self, &'static str> {
        let mut words = line.split_ascii_whitespace();
        let mut first = words.next().ok_or("it is empty")?;
        let marker = match first {
            "@revoked" => Marker::Revoked,
            "@cert-authority" => Marker::Authority,
            _ if first.starts_with('@') => return Err("its marker is unknown"),
            _ => Marker::Host,
        };
        if marker != Marker::Host {
            first = words.next().ok_or("it has no host")?;
        }
        let hosts = Hosts::parse(first)?;
        let (kind, key) = (words.next().ok_or("it has no key")?, words.next().ok_or("it has no key")?);
        let key = PublicKey::from_openssh(&format!("{kind} {key}")).map_err(|_| "its key cannot be read")?;
        Ok(Self { marker, hosts, key })
    }

    /// Whether the line is about `name`: a host, or `[host]:port` away from port 22.
    pub(super) fn is_about(&self, name: &str) -> bool {
        match &self.hosts {
            Hosts::Patterns(patterns) => pattern::list_matches(patterns.iter().map(String::as_str), name),
            Hosts::Hashed { salt, digest } => constant_time::verify_slices_are_equal(&hash(salt, name), digest).is_ok(),
        }
    }
}

impl Hosts {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(hashed) = text.strip_prefix("|1|") else {
            if text.starts_with('|') {
                return Err("its host is hashed in an unknown way");
            }
            return Ok(Self::Patterns(text.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect()));
        };
        let (salt, digest) = hashed.split_once('|').ok_or("its hashed host is cut short")?;
        let bytes = |text| STANDARD.decode(text).map_err(|_| "its hashed host is not base64");
        let (salt, digest) = (bytes(salt)?, bytes(digest)?);
        if digest.len() != DIGEST {
            return Err("its hashed host has the wrong length");
        }
        Ok(Self::Hashed { salt, digest })
    }
}

fn hash(salt: &[u8], name: &str) -> Vec<u8> {
    // The format is older than SHA-1's fall; it hides names from a reader of the file and proves nothing.
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
    hmac::sign(&key, name.as_bytes()).as_ref().to_vec()
}

/// `name` as a hashed host, under a salt of its own.
pub(super) fn hashed(name: &str, salt: &[u8]) -> String {
    format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash(salt, name)))
}
