//! DNSSEC enforced (RFC 4033, RFC 4034, RFC 4035, NSEC3 by RFC 5155): no answer is given that is not proven, or proven
//! to need no proof. `lookups` asks through this where it was switched on.
//!
//! hickory's validator gives the verdict. `chain` then follows the same chain once more, mostly from the cache, to say
//! which of its links is broken or where the unsigned part begins. An answer without signatures is believed only when
//! both agree that it may have none.

mod absence;
mod anchors;
mod chain;
mod fault;
mod signature;
mod wildcard;

use std::sync::Arc;

pub use anchors::Anchors;
pub use chain::Link;
pub use fault::{Bogus, Fault, Voucher};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::{DNSKEY, DNSSECRData};
use hickory_resolver::proto::op::{DnsRequestOptions, Message, Query};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::sync::OnceCell;

use self::chain::{Chain, End};
use super::Error;
use super::record::plain;
use super::source::{Source, Sourced};

/// How far an answer may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Nobody checked.
    Unchecked,
    /// A chain of signatures leads from a trust anchor to each record.
    Secure,
    /// A zone on the way is proven to be unsigned: the answer is no better than any other.
    Insecure {
        /// That zone.
        zone: String,
    },
}

/// Checks what a source says.
pub(super) struct Validator<P: RuntimeProvider> {
    source: Source<P>,
    anchors: Anchors,
    /// Made at the first question: anchors that are digests need the keys themselves.
    handle: OnceCell<DnssecDnsHandle<Source<P>>>,
}

/// An answer that may be believed as far as it says.
pub(super) struct Checked {
    pub(super) sourced: Arc<Sourced>,
    pub(super) security: Security,
    pub(super) links: Vec<Link>,
}

/// What hickory says of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Secure,
    Insecure,
    Bogus,
}

impl<P: RuntimeProvider> Validator<P> {
    pub(super) fn new(source: Source<P>, anchors: Anchors) -> Self {
        Self { source, anchors, handle: OnceCell::new() }
    }

    /// The answer to `query`: of the records in it only those of its name, and aliases of it, are vouched for.
    pub(super) async fn ask(&self, query: &Query) -> Result<Checked, Error> {
        let sourced = self.source.ask(query).await?;
        let verdict = self.verdict(query, &sourced.message).await?;
        let chain = chain::follow(&self.source, &self.anchors, query, &sourced.message).await;
        self.conclude(query, sourced, verdict, chain)
    }

    fn conclude(&self, query: &Query, sourced: Arc<Sourced>, verdict: Verdict, chain: Chain) -> Result<Checked, Error> {
        let Chain { links, end, queries } = chain;
        let bogus = match (verdict, end) {
            (_, End::Unreachable(error)) => return Err(error),
            (Verdict::Secure, End::Signed) => {
                return Ok(Checked { sourced, security: Security::Secure, links });
            }
            (Verdict::Insecure, End::Insecure { zone }) => {
                return Ok(Checked { sourced, security: Security::Insecure { zone: plain(&zone) }, links });
            }
            (_, End::Broken(bogus)) => bogus,
            (_, End::Signed | End::Insecure { .. }) => Box::new(Bogus {
                name: plain(query.name()),
                zone: links.last().map_or_else(|| ".".to_owned(), |link| link.zone.clone()),
                record: format!("the {} record of {}", query.query_type(), plain(query.name())),
                fault: Fault::Contradicted,
            }),
        };
        // A rejected answer changes nothing: the next look-up asks anew.
        self.source.forget(&queries);
        Err(Error::Bogus(bogus))
    }

    async fn verdict(&self, query: &Query, answer: &Message) -> Result<Verdict, Error> {
        let handle = self.handle.get_or_try_init(|| self.make_handle()).await?;
        let checked = handle.lookup(query.clone(), options()).first_answer().await;
        let message = match checked {
            Ok(message) => message.into_message(),
            Err(NetError::Dns(DnsError::Nsec { proof, response, .. })) => {
                return Ok(match proof {
                    Proof::Insecure => Verdict::Insecure,
                    _ if wildcard::is_proven(query, &response) => Verdict::Secure,
                    _ => Verdict::Bogus,
                });
            }
            Err(NetError::Io(error)) => {
                return match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                    Some(error) => Err(error.clone()),
                    None => Ok(Verdict::Bogus),
                };
            }
            Err(_) => return Ok(Verdict::Bogus),
        };
        let asked = |record: &&Record| {
            record.name == *query.name() && [query.query_type(), RecordType::CNAME].contains(&record.record_type())
        };
        let wanted = answer.answers.iter().filter(asked).count();
        let proofs: Vec<Proof> = message.answers.iter().filter(asked).map(|record| record.proof).collect();
        Ok(match wanted {
            0 => of_denial(&message),
            count if proofs.len() < count => Verdict::Bogus,
            _ if proofs.iter().all(|proof| *proof == Proof::Secure) => Verdict::Secure,
            _ if proofs.iter().all(|proof| matches!(proof, Proof::Secure | Proof::Insecure)) => Verdict::Insecure,
            _ => Verdict::Bogus,
        })
    }

    async fn make_handle(&self) -> Result<DnssecDnsHandle<Source<P>>, Error> {
        let mut fetched: Vec<(Name, DNSKEY)> = Vec::new();
        for zone in self.anchors.digested() {
            let answer = self.source.ask(&Query::query(zone.clone(), RecordType::DNSKEY)).await?;
            for record in &answer.message.answers {
                if let RData::DNSSEC(DNSSECRData::DNSKEY(key)) = &record.data
                    && record.name == zone
                {
                    fetched.push((zone.clone(), key.clone()));
                }
            }
        }
        let anchors = self.anchors.for_validator(&fetched);
        Ok(DnssecDnsHandle::with_trust_anchor(self.source.clone(), Arc::new(anchors)))
    }
}

/// A denial passes hickory's check as it is where it needs no proof; where it needs one, the proof is there.
fn of_denial(message: &Message) -> Verdict {
    let proven = message.authorities.iter().any(|record| {
        matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3) && record.proof == Proof::Secure
    });
    if proven { Verdict::Secure } else { Verdict::Insecure }
}

fn options() -> DnsRequestOptions {
    let mut options = DnsRequestOptions::default();
    options.edns_set_dnssec_ok = true;
    options
}
