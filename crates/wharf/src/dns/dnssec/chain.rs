//! The chain of trust to an answer, link by link (RFC 4035 section 5): which zone vouches for which key, where the chain
//! ends in an unsigned zone, and which link is broken. hickory's validator says whether an answer may be believed; this
//! says why, and confirms that an unsigned answer may indeed be unsigned.

use std::fmt;

use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::absence::{self, Absence};
use super::anchors::Anchors;
use super::fault::{Bogus, Fault, Voucher};
use super::signature::{check, set, tags};
use crate::dns::Error;
use crate::dns::record::plain;
use crate::dns::source::Source;

/// A zone in the chain, and how it was come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The zone; `.` is the root.
    pub zone: String,
    /// The key that signs the zone's keys; `None` for a zone that is not signed.
    pub key_tag: Option<u16>,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key_tag {
            Some(tag) => write!(f, "{} (key {tag})", self.zone),
            None => write!(f, "{} (unsigned)", self.zone),
        }
    }
}

/// How a chain ends.
pub(super) enum End {
    /// With a signature on the answer, or on a proof that there is none.
    Signed,
    /// In a zone that is proven to be unsigned.
    Insecure { zone: Name },
    /// At a record that is not to be believed.
    Broken(Box<Bogus>),
    /// Where a server could not be asked.
    Unreachable(Error),
}

/// A chain, and the questions it took.
pub(super) struct Chain {
    pub(super) links: Vec<Link>,
    pub(super) end: End,
    pub(super) queries: Vec<Query>,
}

/// Follows the chain from the anchor to the records of `query` in `answer`.
pub(super) async fn follow<P: RuntimeProvider>(
    source: &Source<P>,
    anchors: &Anchors,
    query: &Query,
    answer: &Message,
) -> Chain {
    let mut walk =
        Walk { asked: plain(query.name()), source, anchors, links: Vec::new(), queries: vec![query.clone()] };
    let end = match walk.to(query, answer).await {
        Ok(()) => End::Signed,
        Err(end) => end,
    };
    Chain { links: walk.links, end, queries: walk.queries }
}

/// A zone and its keys, once they are known to be its own.
struct Zone {
    name: Name,
    keys: Vec<DNSKEY>,
}

struct Walk<'a, P: RuntimeProvider> {
    /// The name asked for.
    asked: String,
    source: &'a Source<P>,
    anchors: &'a Anchors,
    links: Vec<Link>,
    queries: Vec<Query>,
}

impl<P: RuntimeProvider> Walk<'_, P> {
    async fn to(&mut self, query: &Query, answer: &Message) -> Result<(), End> {
        let name = query.name();
        let Some(anchor) = self.anchors.above(name) else {
            return Err(broken(&self.asked, &Name::root(), format!("the name {}", plain(name)), Fault::NoAnchor));
        };
        let mut zone = self.keys(anchor, None).await?;
        // A DS record is the parent's.
        let deepest = match query.query_type() {
            RecordType::DS => name.num_labels().saturating_sub(1),
            _ => name.num_labels(),
        };
        for labels in zone.name.num_labels() + 1..=deepest {
            let child = name.trim_to(labels.into());
            match self.step(&zone, &child).await? {
                Step::Into(below) => zone = below,
                Step::Stay => {}
                Step::NoName => break,
            }
        }
        judge(&self.asked, &zone, query, answer)
    }

    async fn ask(&mut self, name: &Name, kind: RecordType) -> Result<Message, End> {
        let query = Query::query(name.clone(), kind);
        self.queries.push(query.clone());
        self.source.ask(&query).await.map(|sourced| sourced.message.clone()).map_err(End::Unreachable)
    }

    /// What begins at `child`, a label below what is known of `zone`.
    async fn step(&mut self, zone: &Zone, child: &Name) -> Result<Step, End> {
        let answer = self.ask(child, RecordType::DS).await?;
        let asked = self.asked.clone();
        let broken = |record: String, fault: Fault| broken(&asked, &zone.name, record, fault);
        let records = set(&answer.answers, child, RecordType::DS);
        if !records.is_empty() {
            check(&answer.answers, child, RecordType::DS, &zone.name, &zone.keys)
                .map_err(|fault| broken(format!("the DS record of {}", plain(child)), fault))?;
            let digests: Vec<DS> = records.into_iter().filter_map(as_ds).collect();
            // RFC 4035 section 5.2: a zone signed only in ways that we do not know is as good as unsigned.
            let known = |ds: &&DS| ds.algorithm().is_supported() && ds.digest_type().is_supported();
            if !digests.iter().any(|ds| known(&ds)) {
                return Err(self.insecure(child));
            }
            return self.keys(child.clone(), Some(&digests)).await.map(Step::Into);
        }
        if !set(&answer.answers, child, RecordType::CNAME).is_empty() {
            return Ok(Step::Stay);
        }
        match absence::read(&answer, child, &zone.name, &zone.keys) {
            Absence::NoCut => Ok(Step::Stay),
            Absence::NoName => Ok(Step::NoName),
            Absence::Unsigned => Err(self.insecure(child)),
            Absence::Broken { owner, kind, fault } => {
                Err(broken(format!("the {kind} record of {}", plain(&owner)), fault))
            }
            Absence::Unproven => {
                // It matters only where a zone begins, and only by word of servers whose word is not proven.
                let servers = self.ask(child, RecordType::NS).await?;
                let is_cut = servers
                    .all_sections()
                    .any(|record| record.record_type() == RecordType::NS && record.name == *child);
                match is_cut {
                    true => Err(broken(format!("the DS record of {}", plain(child)), Fault::Unproven)),
                    false => Ok(Step::Stay),
                }
            }
        }
    }

    fn insecure(&mut self, zone: &Name) -> End {
        self.links.push(Link { zone: plain(zone), key_tag: None });
        End::Insecure { zone: zone.clone() }
    }

    /// The keys of `zone`, for which `digests` of its parent vouch, or an anchor.
    async fn keys(&mut self, zone: Name, digests: Option<&[DS]>) -> Result<Zone, End> {
        let answer = self.ask(&zone, RecordType::DNSKEY).await?;
        let asked = self.asked.clone();
        let broken = |fault: Fault| broken(&asked, &zone, format!("the DNSKEY record of {}", plain(&zone)), fault);
        let keys: Vec<DNSKEY> =
            set(&answer.answers, &zone, RecordType::DNSKEY).into_iter().filter_map(as_key).collect();
        if keys.is_empty() {
            let voucher = if digests.is_none() { Voucher::Anchor } else { Voucher::Parent };
            return Err(broken(Fault::NoKey { voucher }));
        }
        let vouched = |key: &&DNSKEY| match digests {
            None => self.anchors.trust(&zone, key),
            Some(digests) => digests.iter().any(|ds| ds.covers(&zone, key).unwrap_or(false)),
        };
        let entries: Vec<DNSKEY> = keys.iter().filter(vouched).cloned().collect();
        if entries.is_empty() {
            let (voucher, expected) = match digests {
                None => (Voucher::Anchor, self.anchors.tags(&zone)),
                Some(digests) => (Voucher::Parent, digests.iter().map(DS::key_tag).collect()),
            };
            return Err(broken(Fault::WrongKey { voucher, expected, found: tags(&keys) }));
        }
        let tag = check(&answer.answers, &zone, RecordType::DNSKEY, &zone, &entries).map_err(broken)?;
        self.links.push(Link { zone: plain(&zone), key_tag: Some(tag) });
        Ok(Zone { name: zone, keys })
    }
}

enum Step {
    /// A signed zone begins.
    Into(Zone),
    /// No zone begins.
    Stay,
    /// No such name, nor any below it.
    NoName,
}

/// Whether the records of `query` in `answer`, or the proof that there are none, are signed by `zone`.
fn judge(asked: &str, zone: &Zone, query: &Query, answer: &Message) -> Result<(), End> {
    let broken = |record: String, fault| broken(asked, &zone.name, record, fault);
    for kind in [query.query_type(), RecordType::CNAME] {
        if !set(&answer.answers, query.name(), kind).is_empty() {
            return check(&answer.answers, query.name(), kind, &zone.name, &zone.keys)
                .map(|_| ())
                .map_err(|fault| broken(format!("the {kind} record of {}", plain(query.name())), fault));
        }
    }
    let absent = match answer.metadata.response_code {
        ResponseCode::NXDomain => format!("the name {}", plain(query.name())),
        _ => format!("the {} record of {}", query.query_type(), plain(query.name())),
    };
    let mut proofs = answer
        .authorities
        .iter()
        .filter(|record| matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3))
        .peekable();
    if proofs.peek().is_none() {
        return Err(broken(absent, Fault::Unproven));
    }
    for proof in proofs {
        let kind = proof.record_type();
        check(&answer.authorities, &proof.name, kind, &zone.name, &zone.keys)
            .map_err(|fault| broken(format!("the {kind} record of {}", plain(&proof.name)), fault))?;
    }
    Ok(())
}

fn broken(asked: &str, zone: &Name, record: String, fault: Fault) -> End {
    End::Broken(Box::new(Bogus { name: asked.to_owned(), zone: plain(zone), record, fault }))
}

fn as_key(record: &Record) -> Option<DNSKEY> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key.clone()),
        _ => None,
    }
}

fn as_ds(record: &Record) -> Option<DS> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::DS(ds)) => Some(ds.clone()),
        _ => None,
    }
}
