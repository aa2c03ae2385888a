//! What is wrong with a link of a chain of trust, in words.

use std::fmt;

use crate::Date;

/// Why a record cannot be believed although it should be signed (RFC 4035 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There is no RRSIG: it was stripped on the way, or never made.
    Unsigned,
    /// The signature's time is over.
    Expired {
        /// The key that signed.
        key_tag: u16,
        /// When, in seconds since 1970.
        at: u32,
    },
    /// The signature's time has not come.
    NotYetValid {
        /// The key that signed.
        key_tag: u16,
        /// From when on, in seconds since 1970.
        from: u32,
    },
    /// The signature does not fit the record: one of them was changed.
    BadSignature {
        /// The key that is said to have signed.
        key_tag: u16,
    },
    /// The signature was made with a key that is not the zone's.
    UnknownKey {
        /// That key.
        key_tag: u16,
        /// The zone's keys.
        known: Vec<u16>,
    },
    /// The signature is another zone's.
    WrongSigner {
        /// That zone.
        signer: String,
    },
    /// The zone publishes no key although somebody vouches for one.
    NoKey {
        /// Who.
        voucher: Voucher,
    },
    /// None of the zone's keys is one that the parent, or the trust anchor, vouches for.
    WrongKey {
        /// Where the expected keys are named: the parent's DS records, or the trust anchor.
        voucher: Voucher,
        /// The expected keys.
        expected: Vec<u16>,
        /// The keys found.
        found: Vec<u16>,
    },
    /// Nothing signed says that there is no such record: the proof (NSEC or NSEC3) was stripped, or never made.
    Unproven,
    /// No trust anchor stands above the name.
    NoAnchor,
    /// Each signature fits, but together they prove something else than the answer.
    Contradicted,
}

/// A broken link in the chain of trust to an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "DNSSEC: the answer for {name} is refused: in the zone {zone}, {record} {fault}; ask another server, or tell the \
     zone's owner"
)]
pub struct Bogus {
    /// The name that was asked for.
    pub name: String,
    /// The zone with the broken link.
    pub zone: String,
    /// The record that is the broken link, in words.
    pub record: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Who says which keys a zone has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// The DS records in the parent zone.
    Parent,
    /// The trust anchor.
    Anchor,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => write!(f, "has no signature (RRSIG): it was stripped on the way, or never made"),
            Self::Expired { key_tag, at } => {
                write!(f, "has a signature by key {key_tag} that expired on {}", date(*at))
            }
            Self::NotYetValid { key_tag, from } => {
                write!(
                    f,
                    "has a signature by key {key_tag} that is valid only from {}; is the clock right?",
                    date(*from)
                )
            }
            Self::BadSignature { key_tag } => {
                write!(f, "does not fit its signature by key {key_tag}: one of them was changed")
            }
            Self::UnknownKey { key_tag, known } => {
                write!(f, "is signed with key {key_tag}, which is not the zone's; its keys are {}", tags(known))
            }
            Self::WrongSigner { signer } => write!(f, "is signed by another zone, {signer}"),
            Self::NoKey { voucher: Voucher::Parent } => {
                write!(f, "is missing, although the parent zone says that this one is signed")
            }
            Self::NoKey { voucher: Voucher::Anchor } => {
                write!(f, "is missing, although there is a trust anchor for it: does the server know of DNSSEC?")
            }
            Self::WrongKey { voucher, expected, found } => {
                let voucher = match voucher {
                    Voucher::Parent => "the parent zone's DS record names",
                    Voucher::Anchor => "the trust anchor is",
                };
                write!(f, "holds {}, but {voucher} {}", keys(found), keys(expected))
            }
            Self::Unproven => {
                write!(f, "is said not to exist without a signed proof (NSEC, NSEC3): it was stripped, or never made")
            }
            Self::NoAnchor => write!(f, "is below no trust anchor"),
            Self::Contradicted => write!(f, "is signed, but the signed records do not prove this answer"),
        }
    }
}

fn keys(tags: &[u16]) -> String {
    match tags {
        [one] => format!("key {one}"),
        several => format!("keys {}", self::tags(several)),
    }
}

fn tags(tags: &[u16]) -> String {
    match tags {
        [] => "none".to_owned(),
        tags => tags.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A signature's time as people read it.
fn date(seconds: u32) -> String {
    format!("{} UTC", Date::and_time(seconds.into()))
}
