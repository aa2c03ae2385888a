//! What `wharf nslookup` prints.

use serde_json::{Value, json};
use wharf::dns::{Answer, Data, Link, Origin, Record, Security};

use crate::output::Output;

/// Shows the answers to the question for `name`.
pub(super) fn show(name: &str, answers: &[Answer], output: Output) {
    if let Some(first) = answers.first() {
        output.line(format!("Server:  {}", origin(first)));
        if let Some(security) = security(answers) {
            output.line(format!("DNSSEC:  {security}"));
        }
        output.line("");
    }
    let mut records: Vec<&Record> = Vec::new();
    for record in answers.iter().flat_map(|answer| &answer.records) {
        // The aliases on the way to the addresses are the same for A and AAAA.
        if !records.iter().any(|known| known.name == record.name && known.data == record.data) {
            records.push(record);
        }
    }
    let width = records.iter().map(|record| record.name.chars().count()).max().unwrap_or(0);
    for record in &records {
        output.line(format!("{:width$}  {:<5}  {}  (for {} s)", record.name, record.kind(), record.data, record.ttl));
    }
    output.object(&json!({
        "name": answers.first().map_or(name, |answer| answer.name.as_str()),
        "server": answers.first().map(origin),
        "dnssec": weakest(answers).and_then(|answer| match &answer.security {
            Security::Unchecked => None,
            Security::Secure => Some("secure"),
            Security::Insecure { .. } => Some("insecure"),
        }),
        "chain": answers.first().map(|answer| answer.chain.iter().map(Link::to_string).collect::<Vec<_>>()),
        "records": records.into_iter().map(as_json).collect::<Vec<_>>(),
    }));
}

fn origin(answer: &Answer) -> String {
    match answer.origin {
        Origin::Server(server) if matches!(server.port(), 53 | 853 | 443) => server.ip().to_string(),
        Origin::Server(server) => server.to_string(),
        Origin::Recursion => "those of the zones, from the root down".to_owned(),
        Origin::Hosts => "the table of hosts".to_owned(),
    }
}

/// The answer that may be believed least.
fn weakest(answers: &[Answer]) -> Option<&Answer> {
    answers.iter().find(|answer| matches!(answer.security, Security::Insecure { .. })).or(answers.first())
}

/// How far the answers may be believed, if that was checked.
fn security(answers: &[Answer]) -> Option<String> {
    let answer = weakest(answers)?;
    let chain = answer.chain.iter().map(Link::to_string).collect::<Vec<_>>().join(" > ");
    match &answer.security {
        Security::Unchecked => None,
        Security::Secure => Some(format!("secure: {chain}")),
        Security::Insecure { zone } => Some(format!(
            "insecure: the zone {zone} is proven to be unsigned, so nothing vouches for this answer: {chain}"
        )),
    }
}

fn as_json(record: &Record) -> Value {
    let data = match &record.data {
        Data::Caa { critical, tag, value } => json!({ "critical": critical, "tag": tag, "value": value }),
        Data::Https { priority, target, parameters } => {
            let parameters: serde_json::Map<String, Value> =
                parameters.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            json!({ "priority": priority, "target": target, "parameters": parameters })
        }
        Data::Mx { preference, exchange } => json!({ "preference": preference, "exchange": exchange }),
        Data::Soa { primary, mailbox, serial, refresh, retry, expire, minimum } => json!({
            "primary": primary, "mailbox": mailbox, "serial": serial, "refresh": refresh, "retry": retry,
            "expire": expire, "minimum": minimum,
        }),
        Data::Srv { priority, weight, port, target } => {
            json!({ "priority": priority, "weight": weight, "port": port, "target": target })
        }
        Data::Txt(text) => json!(text),
        other => json!(other.to_string()),
    };
    json!({ "name": record.name, "type": record.kind(), "ttl": record.ttl, "data": data })
}
