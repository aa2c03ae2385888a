//! `wharf wget`: one URL, whole, into a file or to standard output.

mod destination;
mod progress;

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use wharf::http::{Client, OverNet, Request, Response, StatusCode, Timeouts, Url};
use wharf::tls::Trust;

use self::destination::Destination;
use self::progress::Progress;
use crate::args::Wget;
use crate::exit::{Failure, Status};
use crate::network;
use crate::output::{self, Output};

/// Runs the command.
pub(crate) async fn run(args: Wget, output: Output) -> Result<(), Failure> {
    // Everything that can be refused is refused before a packet is sent.
    let mut request = Request::get(&args.url)?;
    for field in &args.header {
        request = request.header_line(field)?;
    }
    let trust = args.ca.clone().map_or(Trust::Mozilla, Trust::File).loaded()?;
    let to_stdout = args.output.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if to_stdout && output.is_json() {
        return Err(Failure::usage("-O - and --json both want standard output; give a file to -O"));
    }

    let network = network::bring_up(&args.network).await?;
    let dial = OverNet::new(network.net.clone(), network.resolver.clone());
    let mut timeouts = args.network.timeout.map_or_else(Timeouts::default, Timeouts::each);
    timeouts.whole = args.max_time;
    let client = Client::over(dial, trust)?.with_timeouts(timeouts);

    let begun = Instant::now();
    let asked = request.url().clone();
    let response = match client.send(request).await {
        Ok(response) => response,
        Err(error) => return Err(network.explain(error).await),
    };
    refuse_unless_success(&response)?;

    let mut destination = match &args.output {
        _ if to_stdout => Destination::stdout(),
        Some(path) => Destination::replacing(path)?,
        None => Destination::numbered(&default_name(&asked))?,
    };
    let report = json!({
        "url": response.url.as_str(),
        "redirects": response.redirects.iter().map(Url::as_str).collect::<Vec<_>>(),
        "status": response.status.as_u16(),
        "address": response.remote.map(|remote| remote.to_string()),
        "tls": response.tls.as_ref().map(|tls| json!({
            "version": tls.version, "cipher_suite": tls.cipher_suite, "key_exchange": tls.key_exchange,
        })),
    });
    let received = save(response, &mut destination, args.quiet || output.is_json()).await?;
    let saved = destination.finish()?;

    let took = begun.elapsed();
    if let Some(path) = &saved
        && !args.quiet
    {
        let rate = output::bytes((received as f64 / took.as_secs_f64().max(1e-6)) as u64);
        output.line(format!(
            "saved {}: {} in {:.1} s ({rate}/s)",
            path.display(),
            output::bytes(received),
            took.as_secs_f64()
        ));
    }
    let mut report = report;
    report["file"] = json!(saved);
    report["bytes"] = json!(received);
    report["seconds"] = json!(took.as_secs_f64());
    output.object(&report);
    Ok(())
}

/// Writes the body as it comes, and gives its length.
async fn save(mut response: Response, destination: &mut Destination, quiet: bool) -> Result<u64, Failure> {
    let progress = Progress::new(response.body.expected(), quiet);
    while let Some(bytes) = response.body.chunk().await? {
        destination.write(&bytes)?;
        progress.advance(bytes.len() as u64);
    }
    progress.finish();
    Ok(response.body.received())
}

fn refuse_unless_success(response: &Response) -> Result<(), Failure> {
    let status = response.status;
    if status.is_success() {
        return Ok(());
    }
    let what = format!("HTTP: {} answered {status} for {}", host(&response.url), response.url.path());
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Failure::new(
            Status::Authentication,
            format!(
                "{what}; give a user name and password: https://USER:PASSWORD@HOST/, or --header 'Authorization: ...'"
            ),
        ),
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Failure::new(Status::Server, format!("{what}; check the path of the URL"))
        }
        _ if status.is_server_error() => {
            Failure::new(Status::Server, format!("{what}; the fault is the server's, try again later"))
        }
        _ if status.is_redirection() => {
            Failure::new(Status::Server, format!("{what}; it does not say where to go instead"))
        }
        _ => Failure::new(Status::Server, format!("{what}; the server refuses the request")),
    })
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or("the server")
}

/// The last part of the path of `url` as a file's name, `index.html` where it has none.
fn default_name(url: &Url) -> PathBuf {
    let last = url.path_segments().and_then(Iterator::last).unwrap_or("");
    let mut name: String = percent_decoded(last)
        .chars()
        // A name is the server's to choose, so it may not leave the folder or reach the terminal as commands.
        .map(|character| if character == '/' || character.is_control() { '_' } else { character })
        .collect();
    while name.len() > LONGEST_NAME {
        name.pop();
    }
    if matches!(name.as_str(), "" | "." | "..") {
        name = "index.html".to_owned();
    }
    PathBuf::from(name)
}

/// Linux allows 255 bytes in a file's name; this leaves room for a number at its end.
const LONGEST_NAME: usize = 240;

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests;
