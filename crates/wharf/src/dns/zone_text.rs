//! Records written as in a zone file (RFC 1035 section 5): root hints and trust anchors are kept like this.

use hickory_resolver::proto::rr::{Name, Record};
use hickory_resolver::proto::serialize::txt::Parser;

/// Most of a file that is read: the root's own hints are 3 KiB.
const LIMIT: usize = 1 << 20;

/// The records of `text`.
pub(super) fn parse(text: &str) -> Result<Vec<Record>, String> {
    if text.len() > LIMIT {
        return Err(format!("it is longer than {LIMIT} bytes"));
    }
    // Keys and digests are often written without a time; here it means nothing.
    let text = format!("$TTL 3600\n{text}\n");
    let (_, sets) = Parser::new(text, None, Some(Name::root())).parse().map_err(|error| error.to_string())?;
    let records: Vec<Record> =
        sets.values().flat_map(|set| set.records_without_rrsigs().cloned().collect::<Vec<_>>()).collect();
    if records.is_empty() { Err("it holds no record".to_owned()) } else { Ok(records) }
}
