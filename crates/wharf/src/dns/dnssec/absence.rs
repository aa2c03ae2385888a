//! What the signed records of an answer without DS say about a name: that no zone begins there, or that one does which
//! is not signed (RFC 4035 section 5.2, RFC 5155 section 8.9, RFC 6840 section 4.4).

use hickory_resolver::proto::dnssec::Nsec3HashAlgorithm;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC3};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType, RecordTypeSet};

use super::fault::Fault;
use super::signature;

/// RFC 9276 section 3.2: more rounds than this are not computed; the zone then counts as unsigned.
const ROUNDS: u16 = 100;

/// What is at a name that has no DS.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// No zone begins there.
    NoCut,
    /// A zone begins there, or may by opt-out, and it is not signed.
    Unsigned,
    /// There is no such name.
    NoName,
    /// Nothing is said about it.
    Unproven,
    /// A record that should say it is not to be believed.
    Broken { owner: Name, kind: RecordType, fault: Fault },
}

/// What `answer`, without DS for `name`, proves by the keys of `zone`.
pub(super) fn read(answer: &Message, name: &Name, zone: &Name, keys: &[DNSKEY]) -> Absence {
    let mut covered = Absence::Unproven;
    for record in &answer.authorities {
        let kind = record.record_type();
        if !matches!(kind, RecordType::NSEC | RecordType::NSEC3) {
            continue;
        }
        // Another zone's records say nothing here.
        if !zone.zone_of(&record.name) {
            continue;
        }
        if let Err(fault) = signature::check(&answer.authorities, &record.name, kind, zone, keys) {
            return Absence::Broken { owner: record.name.clone(), kind, fault };
        }
        match &record.data {
            RData::DNSSEC(DNSSECRData::NSEC(nsec)) => {
                if record.name == *name {
                    return cut(nsec.type_set());
                }
                if covers(&record.name, name, nsec.next_domain_name()) {
                    // Names below the next one make this an empty name, where no zone begins.
                    let empty = name.zone_of(nsec.next_domain_name());
                    covered = if empty { Absence::NoCut } else { Absence::NoName };
                }
            }
            RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) => {
                if nsec3.iterations() > ROUNDS {
                    return Absence::Unsigned;
                }
                if matches_hash(&record.name, nsec3, name) {
                    return cut(nsec3.type_set());
                }
                if covers_hash(&record.name, nsec3, name) {
                    covered = if nsec3.opt_out() { Absence::Unsigned } else { Absence::NoName };
                }
            }
            _ => {}
        }
    }
    match covered {
        // A denial that covers the name in an answer that does not deny it is a parent's, or a wildcard's.
        Absence::NoName if answer.metadata.response_code != ResponseCode::NXDomain => Absence::NoCut,
        other => other,
    }
}

fn cut(types: &RecordTypeSet) -> Absence {
    let is_cut = types.contains(RecordType::NS) && !types.contains(RecordType::SOA);
    if types.contains(RecordType::DS) {
        // The zone's own record contradicts the answer.
        Absence::Unproven
    } else if is_cut {
        Absence::Unsigned
    } else {
        Absence::NoCut
    }
}

/// Whether `name` lies between `owner` and `next` in canonical order (RFC 4034 section 6.1); the last name's next one
/// is the first.
pub(super) fn covers(owner: &Name, name: &Name, next: &Name) -> bool {
    match owner < next {
        true => owner < name && name < next,
        false => owner < name || name < next,
    }
}

/// Whether the hash of `name` is the one that the NSEC3 record of `owner` stands for.
fn matches_hash(owner: &Name, nsec3: &NSEC3, name: &Name) -> bool {
    hashes(owner, nsec3, name).is_some_and(|(owner, hash)| owner == hash)
}

/// Whether the hash of `name` lies between that of `owner` and the next one.
pub(super) fn covers_hash(owner: &Name, nsec3: &NSEC3, name: &Name) -> bool {
    hashes(owner, nsec3, name).is_some_and(|(owner, hash)| between(&owner, &hash, nsec3.next_hashed_owner_name()))
}

/// The hash that `owner` is named after, and that of `name`.
fn hashes(owner: &Name, nsec3: &NSEC3, name: &Name) -> Option<(Vec<u8>, Vec<u8>)> {
    if nsec3.iterations() > ROUNDS {
        return None;
    }
    Some((owner.iter().next().and_then(from_base32)?, hash(nsec3, name)?))
}

fn between(owner: &[u8], hash: &[u8], next: &[u8]) -> bool {
    match owner < next {
        true => owner < hash && hash < next,
        false => owner < hash || hash < next,
    }
}

fn hash(nsec3: &NSEC3, name: &Name) -> Option<Vec<u8>> {
    let digest = Nsec3HashAlgorithm::SHA1.hash(nsec3.salt(), name, nsec3.iterations()).ok()?;
    Some(digest.as_ref().to_vec())
}

/// RFC 4648 section 7: base32 with the extended hex alphabet, as hashed names are written.
fn from_base32(label: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(label.len() * 5 / 8);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in label {
        let value = match letter {
            b'0'..=b'9' => letter - b'0',
            b'a'..=b'v' => letter - b'a' + 10,
            b'A'..=b'V' => letter - b'A' + 10,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(value)) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{between, from_base32};

    #[test]
    fn hashed_names_are_read_back() {
        // RFC 4648 section 10.
        assert_eq!(from_base32(b"CPNMUOJ1E8"), Some(b"foobar".to_vec()));
        assert_eq!(from_base32(b"cpnmuog"), Some(b"foob".to_vec()));
        assert_eq!(from_base32(b"w"), None);
    }

    #[test]
    fn the_last_hash_reaches_round_to_the_first() {
        assert!(between(&[8], &[9], &[2]) && between(&[8], &[1], &[2]) && !between(&[8], &[5], &[2]));
        assert!(between(&[2], &[3], &[8]) && !between(&[2], &[9], &[8]) && !between(&[2], &[2], &[8]));
    }
}
