//! `wharf nslookup`: a name's records, or an address's name.

use std::net::IpAddr;

use serde_json::{Value, json};
use wharf::dns::{Answer, Data, Error, Kind, Record, Resolver};

use crate::args::Nslookup;
use crate::exit::{Failure, Status};
use crate::network;
use crate::output::Output;

/// Runs the command.
pub(crate) async fn run(args: Nslookup, output: Output) -> Result<(), Failure> {
    let network = network::bring_up(&args.network).await?;
    let answers = ask(&network.resolver, &args.name, args.kind).await.map_err(|error| {
        let status = if error.is_negative_answer() { Status::Other } else { Failure::from(error.clone()).status };
        Failure::new(status, error.to_string())
    })?;
    if let Some(first) = answers.first() {
        output.line(format!("Server:  {}", server(first)));
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
        "name": answers.first().map_or(args.name.as_str(), |answer| answer.name.as_str()),
        "server": answers.first().map(server),
        "records": records.into_iter().map(as_json).collect::<Vec<_>>(),
    }));
    Ok(())
}

/// The answers to what was asked: one, or those for A and AAAA.
async fn ask(resolver: &Resolver, name: &str, kind: Option<Kind>) -> Result<Vec<Answer>, Error> {
    if let Ok(address) = name.parse::<IpAddr>()
        && matches!(kind, None | Some(Kind::Ptr))
    {
        return Ok(vec![resolver.reverse(address).await?]);
    }
    if let Some(kind) = kind {
        return Ok(vec![resolver.lookup(name, kind).await?]);
    }
    match tokio::join!(resolver.lookup(name, Kind::A), resolver.lookup(name, Kind::Aaaa)) {
        (Ok(four), Ok(six)) => Ok(vec![four, six]),
        (Ok(four), Err(_)) => Ok(vec![four]),
        (Err(_), Ok(six)) => Ok(vec![six]),
        (Err(error), Err(_)) => Err(error),
    }
}

fn server(answer: &Answer) -> String {
    match answer.server.port() {
        53 => answer.server.ip().to_string(),
        _ => answer.server.to_string(),
    }
}

fn as_json(record: &Record) -> Value {
    let data = match &record.data {
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
