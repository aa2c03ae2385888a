//! Which algorithms are offered, in which order. SHA-1 and CBC only where legacy was asked for.
//!
//! Called by `session` before the handshake.

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};

use super::known_hosts::KnownHosts;

/// What is offered to `host`: the kinds of host keys that are known come first, so that the server shows one of those.
pub(super) fn offered(known: &KnownHosts, host: &str, port: u16, legacy: bool, compress: bool) -> Preferred {
    let (kinds, authority) = known.kinds(host, port);
    let mut keys = host_keys(legacy);
    keys.sort_by_key(|algorithm| !kinds.iter().any(|kind| is_same_kind(kind, algorithm)));
    let certificates = if authority { keys.iter().filter(|key| !is_sha1(key)).cloned().collect() } else { Vec::new() };
    Preferred {
        kex: Cow::Owned(key_exchanges(legacy)),
        key: Cow::Owned(keys),
        host_key_certificates: Cow::Owned(certificates),
        cipher: Cow::Owned(ciphers(legacy)),
        mac: Cow::Owned(macs(legacy)),
        compression: if compress {
            Cow::Borrowed(&[compression::ZLIB_LEGACY, compression::ZLIB, compression::NONE])
        } else {
            Cow::Borrowed(&[compression::NONE])
        },
    }
}

fn is_sha1(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Rsa { hash: None })
}

/// Whether keys of kind `kind` are used under `algorithm`: an RSA key signs with either hash.
fn is_same_kind(kind: &Algorithm, algorithm: &Algorithm) -> bool {
    match (kind, algorithm) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (kind, algorithm) => kind == algorithm,
    }
}

fn host_keys(legacy: bool) -> Vec<Algorithm> {
    let mut keys = vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ];
    if legacy {
        keys.push(Algorithm::Rsa { hash: None });
    }
    keys
}

fn key_exchanges(legacy: bool) -> Vec<kex::Name> {
    let mut names = vec![
        kex::MLKEM768X25519_SHA256,
        kex::CURVE25519,
        kex::CURVE25519_PRE_RFC_8731,
        kex::ECDH_SHA2_NISTP256,
        kex::ECDH_SHA2_NISTP384,
        kex::ECDH_SHA2_NISTP521,
        kex::DH_GEX_SHA256,
        kex::DH_G16_SHA512,
        kex::DH_G18_SHA512,
        kex::DH_G14_SHA256,
    ];
    if legacy {
        names.extend([kex::DH_GEX_SHA1, kex::DH_G14_SHA1, kex::DH_G1_SHA1]);
    }
    // The last is the remedy for prefix truncation (CVE-2023-48795).
    names.extend([kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT]);
    names
}

fn ciphers(legacy: bool) -> Vec<cipher::Name> {
    let gcm = [cipher::AES_256_GCM, cipher::AES_128_GCM];
    let mut names = Vec::new();
    // AES in software is slow, and its tables leak through the cache.
    if has_aes() {
        names.extend(gcm);
        names.push(cipher::CHACHA20_POLY1305);
    } else {
        names.push(cipher::CHACHA20_POLY1305);
        names.extend(gcm);
    }
    names.extend([cipher::AES_256_CTR, cipher::AES_192_CTR, cipher::AES_128_CTR]);
    if legacy {
        names.extend([cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC]);
    }
    names
}

fn macs(legacy: bool) -> Vec<mac::Name> {
    let mut names = vec![mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];
    if legacy {
        names.extend([mac::HMAC_SHA1_ETM, mac::HMAC_SHA1]);
    }
    names
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// Whether `name` is what only legacy mode offers.
pub(super) fn is_legacy(name: &str) -> bool {
    name == "ssh-rsa" || name.ends_with("-sha1") || name.ends_with("-cbc") || name.starts_with("hmac-sha1")
}
