//! `wharf bring-up`: from the link to a page over HTTPS, a line for each step as it happens.

mod origin;
mod suite;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharf::aio::TcpStream;
use wharf::http::{self, Request, Timeouts, Url};
use wharf::tls::{Agreed, Connector, TlsStream, Trust};

use self::origin::Origin;
use self::suite::{Ground, Verdict};
use crate::args::BringUp;
use crate::exit::{Failure, Status};
use crate::network::{self, Extra, Network};
use crate::output::{self, Output};

/// The name that leads to the origin inside this process, and the address that stands for it in Wharf's world.
const NAME: &str = "example.com";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 34);

/// How long a step may take unless --timeout says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is fetched, and whom it is believed from.
struct Goal {
    url: Url,
    trust: Trust,
    /// The port of the line "TCP connect".
    plain_port: u16,
    /// Said where the name is resolved, so that nobody takes the page for the real one.
    remark: &'static str,
}

/// Prints the steps.
#[derive(Clone, Copy)]
struct Steps {
    output: Output,
}

impl Steps {
    fn done(self, step: &str, line: String, facts: Value) {
        self.output.line(line);
        let mut object = json!({ "step": step, "ok": true });
        merge(&mut object, facts);
        self.output.object(&object);
    }

    fn failed(self, step: &str, line: String, reason: String) -> Failure {
        self.output.line(format!("{line}: FAILED"));
        self.output.object(&json!({ "step": step, "ok": false, "error": reason }));
        if !self.output.is_json() {
            output::note(format!("wharf bring-up: {reason}"));
        }
        Failure::told(Status::Other)
    }
}

fn merge(object: &mut Value, facts: Value) {
    if let (Value::Object(object), Value::Object(facts)) = (object, facts) {
        object.extend(facts);
    }
}

/// Runs the command.
pub(crate) async fn run(args: BringUp, output: Output) -> Result<(), Failure> {
    let steps = Steps { output };
    let is_user_link = args.network.is_user_link();
    let patience = args.network.timeout.unwrap_or(PATIENCE);

    let (goal, origin) = match &args.url {
        Some(url) => (real_goal(url, args.ca.clone().map_or(Trust::Mozilla, Trust::File).loaded()?)?, None),
        None if is_user_link => {
            check_loopback().map_err(|text| Failure::new(Status::Network, text))?;
            let origin = Origin::start(NAME)
                .map_err(|error| Failure::new(Status::Other, format!("host: the origin cannot start: {error}")))?;
            (inner_goal(&origin)?, Some(origin))
        }
        None => (real_goal(&format!("https://{NAME}/"), Trust::Mozilla)?, None),
    };
    let extra = origin.as_ref().map(extra_of).unwrap_or_default();

    let opened = network::open(&args.network, extra)?;
    steps.done("link", opened.description(), json!({ "link": args.network.link.to_string(), "mtu": opened.mtu() }));
    let mac = opened.mac();
    steps.done("mac", format!("MAC: {mac}"), json!({ "mac": mac }));

    let network = match opened.configure().await {
        Ok(network) => network,
        Err(failure) => return Err(steps.failed("dhcp", "DHCP".to_owned(), failure.to_string())),
    };
    steps.done("dhcp", network.acquired(), network.as_json());

    ping_gateway(steps, &network, patience).await?;
    let host = goal.url.host_str().unwrap_or_default().to_owned();
    let address = resolve(steps, &network, &host, goal.remark).await?;
    connect(steps, &network, SocketAddr::new(address, goal.plain_port), patience).await?;
    let stream = handshake(steps, &network, &goal, address, &host, patience).await?;
    fetch(steps, &goal, stream, patience).await?;
    socket_tests(steps, &network, is_user_link).await
}

/// The origin's page, believed by its own authority.
fn inner_goal(origin: &Origin) -> Result<Goal, Failure> {
    Ok(Goal {
        url: Request::get(&format!("https://{NAME}/"))?.url().clone(),
        trust: Trust::Certificates(vec![origin.authority.clone()]),
        plain_port: 80,
        remark: " (leads to an HTTPS origin inside this process; --url fetches a real page)",
    })
}

/// A page of the network's.
fn real_goal(url: &str, trust: Trust) -> Result<Goal, Failure> {
    let url = Request::get(url)?.url().clone();
    if url.scheme() != "https" {
        return Err(Failure::usage(format!("URL: {url} is not https, and bring-up shows TLS too; give an https URL")));
    }
    let plain_port = url.port_or_known_default().unwrap_or(443);
    Ok(Goal { url, trust, plain_port, remark: "" })
}

/// What the gateway must know so that the name leads to the origin.
fn extra_of(origin: &Origin) -> Extra {
    Extra {
        hosts: vec![(NAME.to_owned(), ADDRESS.into())],
        redirects: vec![
            (SocketAddr::from((ADDRESS, 80)), origin.http),
            (SocketAddr::from((ADDRESS, 443)), origin.https),
        ],
        host_loopback: true,
    }
}

/// The host's servers stand on its loopback, which a fresh network namespace has switched off.
fn check_loopback() -> Result<(), String> {
    let attempt = || -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        std::net::TcpStream::connect(listener.local_addr()?)?;
        Ok(())
    };
    attempt().map_err(|error| {
        format!("host: the loopback interface does not work ({error}); switch it on: ip link set lo up")
    })
}

async fn ping_gateway(steps: Steps, network: &Network, patience: Duration) -> Result<(), Failure> {
    let Some(gateway) = network.configuration.gateway else {
        let reason = "the network has no gateway; with --address, name it with --gateway".to_owned();
        return Err(steps.failed("ping", "PING".to_owned(), reason));
    };
    match network.ping_once(gateway, patience).await {
        Ok(took) => {
            let milliseconds = took.as_secs_f64() * 1000.0;
            steps.done(
                "ping",
                format!("PING {gateway}: 1 reply, {milliseconds:.1} ms"),
                json!({ "address": gateway.to_string(), "milliseconds": milliseconds }),
            );
            Ok(())
        }
        Err(reason) => Err(steps.failed("ping", format!("PING {gateway}"), reason)),
    }
}

async fn resolve(steps: Steps, network: &Network, host: &str, remark: &str) -> Result<IpAddr, Failure> {
    let begun = Instant::now();
    match network.resolver.addresses(host).await.map(|addresses| addresses.first().copied()) {
        Ok(Some(address)) => {
            steps.done(
                "dns",
                format!("DNS: resolved {host} -> {address}{remark}"),
                json!({ "name": host, "address": address.to_string(), "milliseconds": milliseconds(begun),
                    "inside_this_process": !remark.is_empty() }),
            );
            Ok(address)
        }
        Ok(None) => Err(steps.failed("dns", "DNS".to_owned(), format!("DNS: {host} has no address"))),
        Err(error) => Err(steps.failed("dns", "DNS".to_owned(), error.to_string())),
    }
}

/// A connection to `place`, or why there is none.
async fn dial(network: &Network, place: SocketAddr, patience: Duration) -> Result<TcpStream, String> {
    let host = place.ip().to_string();
    match tokio::time::timeout(patience, TcpStream::connect(&network.net, place)).await {
        Ok(Ok(stream)) => {
            stream.set_nodelay(true).map_err(|error| format!("TCP: {error}"))?;
            Ok(stream)
        }
        Ok(Err(source)) => {
            Err(network.explain(http::Error::Connect { host, address: place, source }).await.to_string())
        }
        Err(_) => {
            let error = http::Error::ConnectTimedOut { host, address: place, after: patience };
            Err(network.explain(error).await.to_string())
        }
    }
}

async fn connect(steps: Steps, network: &Network, place: SocketAddr, patience: Duration) -> Result<(), Failure> {
    let line = format!("TCP connect to {place}");
    let begun = Instant::now();
    match dial(network, place, patience).await {
        Ok(_) => {
            let facts = json!({ "address": place.to_string(), "milliseconds": milliseconds(begun) });
            steps.done("tcp", format!("{line}: OK"), facts);
            Ok(())
        }
        Err(reason) => Err(steps.failed("tcp", line, reason)),
    }
}

async fn handshake(
    steps: Steps,
    network: &Network,
    goal: &Goal,
    address: IpAddr,
    host: &str,
    patience: Duration,
) -> Result<TlsStream<TcpStream>, Failure> {
    let line = "TLS handshake".to_owned();
    let place = SocketAddr::new(address, goal.url.port_or_known_default().unwrap_or(443));
    let stream = match dial(network, place, patience).await {
        Ok(stream) => stream,
        Err(reason) => return Err(steps.failed("tls", line, reason)),
    };
    let begun = Instant::now();
    let connector = Connector::new(goal.trust.clone(), &["http/1.1"])?;
    match connector.connect(host, stream, patience).await {
        Ok(stream) => {
            let agreed = Agreed::of(&stream);
            let facts = json!({ "version": agreed.version, "cipher_suite": agreed.cipher_suite,
                "key_exchange": agreed.key_exchange, "milliseconds": milliseconds(begun) });
            steps.done("tls", format!("{line}: OK"), facts);
            Ok(stream)
        }
        Err(error) => Err(steps.failed("tls", line, error.to_string())),
    }
}

async fn fetch(steps: Steps, goal: &Goal, stream: TlsStream<TcpStream>, patience: Duration) -> Result<(), Failure> {
    let path = goal.url.path();
    let line = format!("HTTPS GET {path}");
    let begun = Instant::now();
    let attempt = async {
        let request = Request::get(goal.url.as_str())?;
        let mut response = http::send_over(&request, stream, &Timeouts::each(patience)).await?;
        while response.body.chunk().await?.is_some() {}
        Ok::<_, http::Error>((response.status, response.body.received()))
    };
    match attempt.await {
        // A redirect is a whole answer too; an error status says that the page is not there.
        Ok((status, received)) if status.is_success() || status.is_redirection() => {
            steps.done(
                "https",
                format!("{line}: {status} (received {received} bytes)"),
                json!({ "url": goal.url.as_str(), "status": status.as_u16(), "bytes": received,
                    "milliseconds": milliseconds(begun) }),
            );
            Ok(())
        }
        Ok((status, _)) => Err(steps.failed("https", line, format!("HTTP: the server answered {status}"))),
        Err(error) => Err(steps.failed("https", line, error.to_string())),
    }
}

/// The last line, with the behaviours that do not hold below it.
async fn socket_tests(steps: Steps, network: &Network, is_user_link: bool) -> Result<(), Failure> {
    let (ground, where_) = ground(network, is_user_link).await?;
    let verdicts = tokio::task::spawn_blocking(move || suite::run(&ground))
        .await
        .map_err(|error| Failure::new(Status::Other, format!("the socket test suite broke off: {error}")))?;
    let failed: Vec<&Verdict> = verdicts.iter().filter(|verdict| verdict.failure.is_some()).collect();
    let outcome = if failed.is_empty() { "PASS" } else { "FAIL" };
    steps.output.line(format!("Socket test suite: {outcome}{where_}"));
    for verdict in &failed {
        steps.output.line(format!("  {}: {}", verdict.name, verdict.failure.as_deref().unwrap_or_default()));
    }
    steps.output.object(&json!({
        "step": "sockets",
        "ok": failed.is_empty(),
        "cases": verdicts.iter().map(|verdict| json!({
            "name": verdict.name,
            "ok": verdict.failure.is_none(),
            "error": verdict.failure,
            "milliseconds": verdict.took.as_secs_f64() * 1000.0,
        })).collect::<Vec<_>>(),
    }));
    if failed.is_empty() { Ok(()) } else { Err(Failure::told(Status::Other)) }
}

/// Where the suite runs: over this link if the other end is this machine, else over a user-mode link of its own,
/// and what the line says of it.
async fn ground(network: &Network, is_user_link: bool) -> Result<(Ground, &'static str), Failure> {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if is_user_link && network.reaches_host_loopback() {
        let reach = network.configuration.gateway.unwrap_or(localhost);
        return Ok((Ground { net: network.net.clone(), host: localhost, reach }, ""));
    }
    if !is_user_link
        && let Some(gateway) = network.configuration.gateway
        && TcpListener::bind((gateway, 0)).is_ok()
    {
        return Ok((Ground { net: network.net.clone(), host: gateway, reach: gateway }, ""));
    }
    check_loopback().map_err(|text| Failure::new(Status::Network, text))?;
    let own = network::user_link_to_host_loopback().await?;
    let reach = own.configuration.gateway.unwrap_or(localhost);
    Ok((
        Ground { net: own.net, host: localhost, reach },
        " (over a user-mode link: this link does not lead to this machine)",
    ))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
