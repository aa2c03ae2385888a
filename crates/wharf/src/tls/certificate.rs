//! A certificate (RFC 5280) in words, for people. What is believed is webpki's business; nothing here decides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::key_log::hexadecimal;
use crate::date::Date;

/// What a certificate says, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for, such as `CN=example.com, O=Example`. May be empty where `names` say it.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The serial number, in hexadecimal digits.
    pub serial: String,
    /// The first day on which it is valid.
    pub not_before: Date,
    /// The last day on which it is valid.
    pub not_after: Date,
    /// The kind of its key, such as `ECDSA P-256` or `RSA 2048`.
    pub key: String,
    /// How its issuer signed it, such as `ECDSA SHA-256`.
    pub signature: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// The SHA-256 of the whole, in hexadecimal digits.
    pub fingerprint: String,
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().map(name_as_words).collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            subject: distinguished(certificate.subject()),
            issuer: distinguished(certificate.issuer()),
            serial: hexadecimal(certificate.raw_serial()),
            not_before: day(certificate.validity().not_before),
            not_after: day(certificate.validity().not_after),
            key: key_as_words(certificate.public_key()),
            signature: signature_as_words(&certificate.signature_algorithm.algorithm.to_id_string()),
            names,
            is_authority: certificate.is_ca(),
            fingerprint: hexadecimal(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref()),
        })
    }

    /// Whether its issuer has the name that it has itself, as that of a self-signed certificate does.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

/// A text from a certificate, which may hold anything, as one for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

fn distinguished(name: &X509Name<'_>) -> String {
    printable(&name.to_string())
}

fn day(moment: ASN1Time) -> Date {
    // Before 1970 nobody signed anything.
    let seconds = u64::try_from(moment.timestamp()).unwrap_or(0);
    Date::of_unix_time(seconds)
}

fn name_as_words(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => printable(name),
        GeneralName::RFC822Name(name) | GeneralName::URI(name) => printable(name),
        GeneralName::DirectoryName(name) => distinguished(name),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(four), _) => IpAddr::from(Ipv4Addr::from(four)).to_string(),
            (_, Ok(sixteen)) => IpAddr::from(Ipv6Addr::from(sixteen)).to_string(),
            _ => format!("an address of {} bytes", bytes.len()),
        },
        _ => "a name of another kind".to_owned(),
    }
}

fn key_as_words(key: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = key.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        "1.2.840.113549.1.1.1" => match key.parsed() {
            // The size without the zero that keeps the number positive.
            Ok(PublicKey::RSA(rsa)) => {
                let zeros = rsa.modulus.iter().take_while(|&&byte| byte == 0).count();
                format!("RSA {}", (rsa.modulus.len() - zeros) * 8)
            }
            _ => "RSA".to_owned(),
        },
        "1.2.840.10045.2.1" => {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            match curve.map(|curve| curve.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => "ECDSA P-256".to_owned(),
                Some("1.3.132.0.34") => "ECDSA P-384".to_owned(),
                Some("1.3.132.0.35") => "ECDSA P-521".to_owned(),
                Some(other) => format!("ECDSA on the curve {other}"),
                None => "ECDSA".to_owned(),
            }
        }
        "1.3.101.112" => "Ed25519".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        other => format!("algorithm {other}"),
    }
}

fn signature_as_words(algorithm: &str) -> String {
    let name = match algorithm {
        "1.2.840.113549.1.1.4" => "RSA MD5",
        "1.2.840.113549.1.1.5" => "RSA SHA-1",
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA SHA-256",
        "1.2.840.113549.1.1.12" => "RSA SHA-384",
        "1.2.840.113549.1.1.13" => "RSA SHA-512",
        "1.2.840.10045.4.3.2" => "ECDSA SHA-256",
        "1.2.840.10045.4.3.3" => "ECDSA SHA-384",
        "1.2.840.10045.4.3.4" => "ECDSA SHA-512",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        other => return format!("algorithm {other}"),
    };
    name.to_owned()
}
