//! `wharf nslookup`: a name's records, or an address's name.

mod report;
mod resolver;

use std::net::IpAddr;

use wharf::dns::{Answer, Error, Kind, Resolver};

use crate::args::Nslookup;
use crate::exit::{Failure, Status};
use crate::network;
use crate::output::Output;

/// Runs the command.
pub(crate) async fn run(args: Nslookup, output: Output) -> Result<(), Failure> {
    let asked = resolver::read(&args)?;
    let network = network::bring_up(&args.network).await?;
    let kind = asked.kind;
    let resolver = asked.resolver(network.resolver.clone(), &args).await?;
    let answers = ask(&resolver, &args.name, kind).await.map_err(|error| {
        if error.is_negative_answer() {
            Failure::new(Status::Other, error.to_string())
        } else {
            network.explain_name(error)
        }
    })?;
    report::show(&args.name, &answers, output);
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
        // What is not proven is told even when the other half is good.
        (Ok(_), Err(error)) | (Err(error), Ok(_)) if matches!(error, Error::Bogus(_)) => Err(error),
        (Ok(four), Err(_)) => Ok(vec![four]),
        (Err(_), Ok(six)) => Ok(vec![six]),
        (Err(error), Err(_)) => Err(error),
    }
}
