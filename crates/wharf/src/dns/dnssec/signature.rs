//! One set of records, its signatures, and the keys of the zone: which signature holds, or what is wrong with the best
//! of them (RFC 4035 section 5.3).

use std::time::{SystemTime, UNIX_EPOCH};

use hickory_resolver::proto::dnssec::Verifier;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::fault::Fault;

/// Most signatures of one set that are tried, each with the keys of its tag: who sends more wants us to compute
/// (KeyTrap, CVE-2023-50387).
const SIGNATURES: usize = 8;
/// Most keys of one tag that are tried.
const KEYS_OF_A_TAG: usize = 2;

/// The records of one name and type in a section.
pub(super) fn set<'a>(section: &'a [Record], name: &Name, kind: RecordType) -> Vec<&'a Record> {
    section.iter().filter(|record| record.name == *name && record.record_type() == kind).collect()
}

/// The signatures for it.
fn signatures<'a>(section: &'a [Record], name: &Name, kind: RecordType) -> impl Iterator<Item = &'a RRSIG> {
    section.iter().filter_map(move |record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature))
            if record.name == *name && signature.input().type_covered == kind =>
        {
            Some(signature)
        }
        _ => None,
    })
}

/// Whether `zone` signed the set of `name` and `kind` in `section` with one of `keys`: the tag of that key.
pub(super) fn check(
    section: &[Record],
    name: &Name,
    kind: RecordType,
    zone: &Name,
    keys: &[DNSKEY],
) -> Result<u16, Fault> {
    let records = set(section, name, kind);
    let now =
        u32::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() & u64::from(u32::MAX))
            .unwrap_or_default();
    let mut fault = Fault::Unsigned;
    for signature in signatures(section, name, kind).take(SIGNATURES) {
        match check_one(&records, name, signature, zone, keys, now) {
            Ok(tag) => return Ok(tag),
            // The one that came furthest tells most.
            Err(found) if rank(&found) > rank(&fault) => fault = found,
            Err(_) => {}
        }
    }
    Err(fault)
}

fn check_one(
    records: &[&Record],
    name: &Name,
    signature: &RRSIG,
    zone: &Name,
    keys: &[DNSKEY],
    now: u32,
) -> Result<u16, Fault> {
    let input = signature.input();
    let key_tag = input.key_tag;
    if input.signer_name != *zone {
        return Err(Fault::WrongSigner { signer: crate::dns::record::plain(&input.signer_name) });
    }
    let tag_of = |key: &&DNSKEY| key.calculate_key_tag().is_ok_and(|tag| tag == key_tag);
    let mut fitting = keys
        .iter()
        .filter(tag_of)
        .filter(|key| key.algorithm() == input.algorithm && key.zone_key() && !key.revoke())
        .take(KEYS_OF_A_TAG)
        .peekable();
    if fitting.peek().is_none() {
        return Err(Fault::UnknownKey { key_tag, known: tags(keys) });
    }
    // RFC 4034 section 3.1.5: times are compared as serial numbers.
    let (from, until) = (input.sig_inception.get(), input.sig_expiration.get());
    if until.wrapping_sub(now) as i32 <= -1 {
        return Err(Fault::Expired { key_tag, at: until });
    }
    if now.wrapping_sub(from) as i32 <= -1 {
        return Err(Fault::NotYetValid { key_tag, from });
    }
    let verified = fitting.any(|key| key.verify_rrsig(name, DNSClass::IN, signature, records.iter().copied()).is_ok());
    if verified { Ok(key_tag) } else { Err(Fault::BadSignature { key_tag }) }
}

/// How far the check of a signature came.
fn rank(fault: &Fault) -> u8 {
    match fault {
        Fault::Unsigned => 0,
        Fault::WrongSigner { .. } => 1,
        Fault::UnknownKey { .. } => 2,
        Fault::NotYetValid { .. } => 3,
        Fault::Expired { .. } => 4,
        _ => 5,
    }
}

/// The tags of keys.
pub(super) fn tags(keys: &[DNSKEY]) -> Vec<u16> {
    let mut tags: Vec<u16> = keys.iter().filter_map(|key| key.calculate_key_tag().ok()).collect();
    tags.sort_unstable();
    tags
}
