//! One download, from the request to the file.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use wharf::http::{self, Client, HeaderName, HeaderValue, Request, Response, StatusCode, Timeouts};

use super::destination::Destination;
use super::names::default_name;
use super::pace::Pace;
use super::part::{About, Part, content_range};
use super::progress::Bars;
use super::report;
use crate::args::Wget;
use crate::exit::{Failure, Status};
use crate::network::Network;
use crate::output::{self, Output};

/// What all downloads of a command share.
pub(super) struct Shared {
    pub(super) args: Wget,
    pub(super) output: Output,
    pub(super) network: Network,
    pub(super) client: Client,
    pub(super) timeouts: Timeouts,
    pub(super) bars: Bars,
    pub(super) pace: Pace,
}

impl Shared {
    /// A line for people on standard error, unless they want to hear nothing.
    pub(super) fn remark(&self, text: impl AsRef<str>) {
        if !self.args.quiet && !self.output.is_json() {
            self.bars.between(|| output::note(text));
        }
    }

    fn to_stdout(&self) -> bool {
        self.args.output.as_deref().is_some_and(|path| path.as_os_str() == "-")
    }

    fn target(&self, request: &Request) -> PathBuf {
        self.args.output.clone().unwrap_or_else(|| default_name(request.url()))
    }

    async fn send(&self, client: &Client, request: Request) -> Result<Response, Failure> {
        match client.send(request).await {
            Ok(response) => Ok(response),
            Err(error) => Err(self.network.explain(error).await),
        }
    }
}

/// Fetches one page by `client` and saves it.
pub(super) async fn fetch(shared: &Shared, client: &Client, request: Request) -> Result<(), Failure> {
    let begun = Instant::now();
    let target = shared.target(&request);
    let (response, mut destination) = if shared.args.resume {
        match resumed(shared, client, request, &target).await? {
            Begun::Whole { response, file } => {
                already_whole(shared, &response, &file);
                return Ok(());
            }
            Begun::Comes { response, part } => (response, Destination::Part(part)),
        }
    } else {
        let response = shared.send(client, request).await?;
        show(shared, &response);
        report::refuse_unless_success(&response)?;
        let destination = match &shared.args.output {
            _ if shared.to_stdout() => Destination::stdout(),
            Some(path) => Destination::replacing(path)?,
            None => Destination::numbered(&target)?,
        };
        (response, destination)
    };

    let mut told = report::of_head(&response, shared.args.server_response);
    let timing = response.timing;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let received = save(shared, response, &mut destination, &name).await?;
    let saved = destination.finish()?;

    let took = begun.elapsed();
    if let Some(path) = &saved
        && !shared.args.quiet
    {
        let rate = output::bytes((received as f64 / took.as_secs_f64().max(1e-6)) as u64);
        let line =
            format!("saved {}: {} in {:.1} s ({rate}/s)", path.display(), output::bytes(received), took.as_secs_f64());
        shared.bars.between(|| shared.output.line(line));
    }
    if shared.args.timing {
        shared.remark(report::timing_line(&name, &timing, took));
        told["timing"] = report::timing(&timing, took);
    }
    told["file"] = json!(saved);
    told["bytes"] = json!(received);
    told["seconds"] = json!(took.as_secs_f64());
    shared.output.object(&told);
    Ok(())
}

fn show(shared: &Shared, response: &Response) {
    if shared.args.server_response {
        shared.remark(report::server_response(response));
    }
}

/// Writes the body as it comes, and gives its length.
async fn save(
    shared: &Shared,
    mut response: Response,
    destination: &mut Destination,
    name: &str,
) -> Result<u64, Failure> {
    let there = destination.length();
    let progress = shared.bars.begin(name, response.body.expected().map(|rest| there + rest), there);
    let mut received = 0;
    let ended = loop {
        match response.body.chunk().await {
            Ok(Some(bytes)) => {
                if let Err(failure) = destination.write(&bytes) {
                    break Err(failure);
                }
                received += bytes.len() as u64;
                progress.advance(bytes.len() as u64);
                shared.pace.pay(bytes.len()).await;
            }
            Ok(None) => break Ok(received),
            Err(error) => {
                // Which of it is the page, nobody knows; that there is more is no reason to fetch the rest.
                if matches!(error, http::Error::TooMuch { .. }) {
                    destination.give_up();
                }
                break Err(Failure::from(error));
            }
        }
    };
    match ended {
        Ok(received) => {
            progress.finish();
            Ok(received)
        }
        Err(failure) => Err(match destination.kept() {
            Some(kept) => Failure::new(
                failure.status,
                format!("{failure}; {} are kept in {}, -c goes on from there", output::bytes(kept.1), kept.0.display()),
            )
            .passing(failure.passing),
            // What went out cannot be taken back.
            None if received > 0 && destination.is_stream() => failure.passing(None),
            None => failure,
        }),
    }
}

/// How a download with `-c` begins.
enum Begun {
    /// There is nothing to fetch.
    Whole { response: Response, file: PathBuf },
    /// The rest comes, or all of it.
    Comes { response: Response, part: Part },
}

/// Asks for what is missing of `target`.
async fn resumed(shared: &Shared, client: &Client, request: Request, target: &Path) -> Result<Begun, Failure> {
    let asked = request.url().to_string();
    let mut part = Part::open(target)?;
    let of_the_part = part.resumable(&asked).map(|(from, validator)| (from, validator.to_owned()));
    let of_the_file = std::fs::metadata(target).map(|metadata| metadata.len()).ok().filter(|&length| length > 0);
    // RFC 9110 section 13.1.5: the rest, if it is still the same, and all of it otherwise. Of a file that is there
    // already nobody knows which version it is: only that it is as long as the server's can be found out.
    let ranged = match (&of_the_part, of_the_file) {
        (Some((from, validator)), _) => {
            let validator =
                HeaderValue::from_str(validator).map_err(|_| Failure::new(Status::File, "the part is damaged"))?;
            Some((*from, request.clone().range(*from, None)?.header(HeaderName::from_static("if-range"), validator)))
        }
        (None, Some(length)) => Some((length, request.clone().range(length, None)?)),
        (None, None) => None,
    };
    if let Some((from, ranged)) = ranged {
        let response = shared.send(client, ranged).await?;
        let range = content_range(&response.headers);
        match (response.status, range) {
            // RFC 9110 section 15.5.17: there is nothing from there on, and the length shows whether that is the end.
            (StatusCode::RANGE_NOT_SATISFIABLE, Some((_, Some(whole)))) if whole == from => {
                show(shared, &response);
                let file = if of_the_part.is_some() { part.finish()? } else { part.named().to_owned() };
                return Ok(Begun::Whole { response, file });
            }
            (StatusCode::PARTIAL_CONTENT, Some((Some(first), _))) if of_the_part.is_some() && first == from => {
                show(shared, &response);
                part.go_on().map_err(|error| super::destination::cannot_write(target, &error))?;
                return Ok(Begun::Comes { response, part });
            }
            // All of it: the server has no ranges, or another version.
            (status, _) if status.is_success() && status != StatusCode::PARTIAL_CONTENT => {
                return from_the_beginning(shared, response, part, &asked);
            }
            // A range that leads nowhere: what is there is not the beginning of what the server has.
            (StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT, _) => {}
            _ => {
                show(shared, &response);
                report::refuse_unless_success(&response)?;
            }
        }
    }
    let response = shared.send(client, request).await?;
    from_the_beginning(shared, response, part, &asked)
}

fn from_the_beginning(shared: &Shared, response: Response, mut part: Part, asked: &str) -> Result<Begun, Failure> {
    show(shared, &response);
    report::refuse_unless_success(&response)?;
    if part.length() > 0 {
        shared.remark(format!(
            "{}: what was kept is not the beginning of what the server has now; fetched anew",
            part.named().display()
        ));
    }
    part.start_anew(About::of(asked, &response.headers))?;
    Ok(Begun::Comes { response, part })
}

fn already_whole(shared: &Shared, response: &Response, file: &Path) {
    if !shared.args.quiet {
        shared.bars.between(|| shared.output.line(format!("{} is whole already", file.display())));
    }
    let mut told = report::of_head(response, shared.args.server_response);
    told["file"] = json!(file);
    told["bytes"] = json!(0);
    told["seconds"] = json!(response.timing.elapsed().as_secs_f64());
    shared.output.object(&told);
}
