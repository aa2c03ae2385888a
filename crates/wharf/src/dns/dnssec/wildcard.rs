//! Answers made from a wildcard (RFC 4035 section 5.3.4, RFC 5155 section 8.8): that nothing closer to the name exists
//! than the wildcard is for has to be proven too. hickory does that, except where the proof is the NSEC record of the
//! wildcard itself, which is the ordinary case of one label below it.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::absence::{covers, covers_hash};

/// Whether `answer`, whose records hickory has checked one by one, holds records for `query` made from a wildcard, and
/// proof that the wildcard was to be used.
pub(super) fn is_proven(query: &Query, answer: &Message) -> bool {
    let name = query.name();
    let mut wanted = answer
        .answers
        .iter()
        .filter(|record| {
            record.name == *name && [query.query_type(), RecordType::CNAME].contains(&record.record_type())
        })
        .peekable();
    if wanted.peek().is_none() || !wanted.all(|record| record.proof == Proof::Secure) {
        return false;
    }
    // The signature by which they were checked says how many labels the wildcard stood below.
    let labels = answer.answers.iter().find_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) if record.proof == Proof::Secure && record.name == *name => {
            Some(signature.input().num_labels)
        }
        _ => None,
    });
    match labels {
        Some(labels) if labels < name.num_labels() => {
            answer.authorities.iter().any(|record| record.proof == Proof::Secure && denies(record, name, labels))
        }
        _ => false,
    }
}

/// Whether `record` proves that no name closer to `name` exists than its last `labels` labels.
fn denies(record: &Record, name: &Name, labels: u8) -> bool {
    match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC(nsec)) => {
            // RFC 6840 section 4.1: a delegation's record says nothing of what is below it.
            let is_above = nsec.is_ancestor_delegation() && record.name.zone_of(name);
            let next = nsec.next_domain_name();
            !is_above
                && covers(&record.name, name, next)
                && shared_labels(&record.name, name) <= labels
                && shared_labels(next, name) <= labels
        }
        RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) => {
            covers_hash(&record.name, nsec3, &name.trim_to(usize::from(labels) + 1))
        }
        _ => false,
    }
}

/// How many labels two names have in common, from the root on.
fn shared_labels(one: &Name, other: &Name) -> u8 {
    let same = one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one.eq_ignore_ascii_case(other));
    u8::try_from(same.count()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC};
    use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

    use super::denies;

    fn nsec(owner: &str, next: &str) -> Record {
        let next = Name::from_str(next).unwrap();
        let data = RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(next, [RecordType::A])));
        Record::from_rdata(Name::from_str(owner).unwrap(), 60, data)
    }

    #[test]
    fn only_a_record_around_the_name_with_nothing_closer_denies_it() {
        let name = Name::from_str("a.b.example.").unwrap();
        for (owner, next, expected) in [
            ("*.example.", "c.example.", true),
            // The name itself, or the one above it, exists.
            ("a.b.example.", "c.example.", false),
            ("b.example.", "c.example.", false),
            ("*.example.", "z.b.example.", false),
            // Not around it.
            ("c.example.", "d.example.", false),
        ] {
            assert_eq!(denies(&nsec(owner, next), &name, 1), expected, "{owner} {next}");
        }
    }
}
