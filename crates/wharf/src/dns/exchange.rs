//! What a resolver says of each question it puts to a server: for `wharf nslookup --trace` and for programs that count.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::RecordType;

use super::record::plain;

/// Is told of every [`Exchange`], from the task that waits for its answer.
pub type Observer = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// One question put to one server, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// The server.
    pub server: SocketAddr,
    /// How it was asked: `UDP`, `TCP`, `TLS` or `HTTPS`.
    pub transport: &'static str,
    /// The name asked for, without its final dot; `.` for the root.
    pub name: String,
    /// The type asked for, such as `DNSKEY`.
    pub kind: String,
    /// From the question to the answer.
    pub took: Duration,
    /// The answer in a few words, or why there was none.
    pub outcome: String,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, transport, name, kind, took, outcome } = self;
        let name = if name.is_empty() { "." } else { name };
        write!(f, "{server} {transport}  {name} {kind}: {outcome} ({:.1} ms)", took.as_secs_f64() * 1000.0)
    }
}

/// An answer in a few words.
pub(super) fn outcome(answer: &Message) -> String {
    if answer.metadata.truncation {
        return "truncated".to_owned();
    }
    let code = code(answer.metadata.response_code);
    if !answer.answers.is_empty() {
        let signatures = answer.answers.iter().filter(|record| record.record_type() == RecordType::RRSIG).count();
        let records = answer.answers.len() - signatures;
        let signed = if signatures == 0 { "" } else { ", signed" };
        return format!("{code}, {records} {}{signed}", if records == 1 { "record" } else { "records" });
    }
    let referral = answer.authorities.iter().find(|record| record.record_type() == RecordType::NS);
    match referral {
        Some(referral) if !answer.metadata.authoritative => format!("{code}, go on at {}", plain(&referral.name)),
        _ => format!("{code}, nothing"),
    }
}

/// A response code by its mnemonic (RFC 6895 section 2.3).
pub(super) fn code(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::NotAuth => "NOTAUTH".to_owned(),
        other => format!("RCODE {}", u16::from(other)),
    }
}
