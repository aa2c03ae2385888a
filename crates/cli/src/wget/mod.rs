//! `wharf wget`: URLs, each whole, into files or to standard output.

mod destination;
mod fetch;
mod names;
mod pace;
mod part;
mod progress;
mod report;
mod tries;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;
use wharf::http::{Cache, Client, Cookies, DecodingBounds, Method, OverNet, Proxies, Proxy, Request, Timeouts};

use self::fetch::Shared;
use self::pace::Pace;
use self::progress::Bars;
use self::tries::fetched;
use crate::args::Wget;
use crate::exit::{Failure, Status};
use crate::network;
use crate::output::{self, Output};

/// The most bytes that `--cache` keeps.
const CACHE_SIZE: u64 = 1 << 30;

/// Runs the command.
pub(crate) async fn run(args: Wget, output: Output) -> Result<(), Failure> {
    // Everything that can be refused is refused before a packet is sent.
    let requests = requests(&args)?;
    refuse_nonsense(&args, requests.len(), output)?;
    let tls = args.session.connector()?.build()?;
    let cookies = args.cookies.as_deref().map(Cookies::load).transpose()?;
    let proxies = proxies(&args)?;
    let cache = args.cache.as_deref().map(|directory| Cache::on_disk(directory, CACHE_SIZE)).transpose()?;

    let network = network::bring_up(&args.network).await?;
    let dial = OverNet::new(network.net.clone(), network.resolver.clone());
    let mut timeouts = args.network.timeout.map_or_else(Timeouts::default, Timeouts::each);
    timeouts.whole = args.max_time;
    if let Some(patience) = args.connect_timeout {
        timeouts.connect = patience;
    }
    if let Some(patience) = args.read_timeout {
        (timeouts.first_byte, timeouts.idle) = (patience, patience);
    }
    let mut client = Client::with_tls(dial, tls).with_timeouts(timeouts).with_versions(args.versions());
    client = client.with_proxies(proxies);
    if let Some(cookies) = &cookies {
        client = client.with_cookies(cookies.clone());
    }
    if let Some(cache) = &cache {
        client = client.with_cache(cache.clone());
    }
    if args.compressed {
        client = client.with_decoding(DecodingBounds::default());
    }

    let count = requests.len();
    let jar = cookies.zip(args.cookies.clone()).map(|(cookies, path)| Jar { cookies, path, saved: false });
    let bars = Bars::new(count, args.quiet || output.is_json());
    let pace = Pace::new(args.limit_rate);
    let shared = Arc::new(Shared { args, output, network, client, timeouts, bars, pace });
    let outcome = all(&shared, requests).await;

    if let Some(cache) = &cache {
        // What was given stale is validated for the next time; it was given already.
        cache.settled().await;
        if let Some(trouble) = cache.trouble() {
            output::note(format!("wharf wget: {trouble}"));
        }
    }
    // Cookies that came before a failure came all the same.
    jar.map_or(Ok(()), Jar::save)?;
    outcome
}

/// The cookies and their file, written at the end, and at Ctrl-C too.
struct Jar {
    cookies: Cookies,
    path: PathBuf,
    saved: bool,
}

impl Jar {
    fn save(mut self) -> Result<(), Failure> {
        self.saved = true;
        Ok(self.cookies.save(&self.path)?)
    }
}

impl Drop for Jar {
    fn drop(&mut self) {
        if !self.saved
            && let Err(error) = self.cookies.save(&self.path)
        {
            output::note(format!("wharf wget: {error}"));
        }
    }
}

/// Fetches `requests`, so many at once, and tells of each that failed. The failure of the first of them is that of
/// the command.
async fn all(shared: &Arc<Shared>, requests: Vec<Request>) -> Result<(), Failure> {
    let alone = requests.len() == 1;
    let parallel = usize::from(shared.args.parallel);
    let mut waiting = requests.into_iter().enumerate();
    let mut running = JoinSet::new();
    let mut failed = BTreeMap::new();
    loop {
        while running.len() < parallel
            && let Some((number, request)) = waiting.next()
        {
            let (shared, url) = (shared.clone(), request.url().to_string());
            running.spawn(async move { (number, url, fetched(&shared, request).await) });
        }
        match running.join_next().await {
            None => break,
            Some(Ok((_, _, Ok(())))) => {}
            Some(Ok((_, _, Err(failure)))) if alone => return Err(failure),
            Some(Ok((number, url, Err(failure)))) => {
                shared.bars.between(|| output::note(format!("wharf wget: {url}: {failure}")));
                let told = json!({ "url": url, "error": failure.to_string(), "status": failure.status as u8 });
                shared.output.object(&told);
                failed.insert(number, failure.status);
            }
            Some(Err(error)) => {
                return Err(Failure::new(Status::Other, format!("a download ended by itself: {error}")));
            }
        }
    }
    match failed.first_key_value() {
        None => Ok(()),
        Some((_, &status)) => Err(Failure::told(status)),
    }
}

/// What is to be asked for.
fn requests(args: &Wget) -> Result<Vec<Request>, Failure> {
    let mut urls = args.urls.clone();
    if let Some(list) = &args.input_file {
        urls.extend(names::listed(list)?);
    }
    let usual = if args.body_file.is_some() { Method::POST } else { Method::GET };
    let method = args.method.clone().unwrap_or(usual);
    let once = urls.len() == 1 && args.tries == 1;
    urls.iter()
        .map(|url| {
            let mut request = Request::new(method.clone(), url)?;
            for field in &args.header {
                request = request.header_line(field)?;
            }
            match &args.body_file {
                Some(path) => with_body(request, path, once),
                None => Ok(request),
            }
        })
        .collect()
}

/// `request` with the file `path` as its body, which is sent `once` or more often.
fn with_body(request: Request, path: &Path, once: bool) -> Result<Request, Failure> {
    if path.as_os_str() == "-" {
        if !once {
            let why = "--body-file - can be sent once, and there are several URLs or --tries; give it a file";
            return Err(Failure::usage(why));
        }
        return Ok(request.body_from(tokio::io::stdin(), None));
    }
    let refuse =
        |error: std::io::Error| Failure::new(Status::File, format!("file: {} cannot be read: {error}", path.display()));
    let metadata = std::fs::File::open(path).and_then(|file| file.metadata()).map_err(refuse)?;
    // A pipe or a device can be read once, and its length shows at its end.
    if !metadata.is_file() {
        let file = std::fs::File::open(path).map_err(refuse)?;
        return Ok(request.body_from(tokio::fs::File::from_std(file), None));
    }
    let path = path.to_owned();
    let open = move || -> std::io::Result<wharf::http::BodyReader> {
        Ok(Box::pin(tokio::fs::File::from_std(std::fs::File::open(&path)?)))
    };
    Ok(request.body_opened(open, Some(metadata.len())))
}

/// By which proxies to go: curl's rules, which GNU wget has too.
fn proxies(args: &Wget) -> Result<Proxies, Failure> {
    match &args.proxy {
        _ if args.no_proxy => Ok(Proxies::default()),
        None => Ok(Proxies::from_environment()?),
        Some(proxy) => {
            let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
            let except = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
            Ok(Proxies::all(Proxy::new(proxy)?).except(&except))
        }
    }
}

/// Options that contradict each other, beyond what clap can tell.
fn refuse_nonsense(args: &Wget, count: usize, output: Output) -> Result<(), Failure> {
    let to_stdout = args.output.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if to_stdout && output.is_json() {
        return Err(Failure::usage("-O - and --json both want standard output; give a file to -O"));
    }
    if to_stdout && args.resume {
        return Err(Failure::usage("-c goes on with a file, and -O - is none; give -O the name of a file"));
    }
    if args.output.is_some() && count > 1 {
        return Err(Failure::usage(format!("-O names one file, and there are {count} URLs; leave it away")));
    }
    let from_stdin = |path: &Option<PathBuf>| path.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if from_stdin(&args.input_file) && from_stdin(&args.body_file) {
        return Err(Failure::usage("-i - and --body-file - both want standard input; give one of them a file"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
