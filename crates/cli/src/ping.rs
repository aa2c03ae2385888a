//! `wharf ping`: echo requests and their replies, shown as iputils shows them.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};
use wharf::{Error, PingFailure, PingReply, Pinger, SocketError};

use crate::args::Ping;
use crate::exit::{Failure, Status};
use crate::network;
use crate::output::Output;

/// How long a reply is waited for unless --timeout says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// The IPv4 and ICMP headers, which the first line counts in.
const HEADERS: usize = 28;

/// ICMP's own header, which the reply lines count in.
const ICMP_HEADER: usize = 8;

/// Runs the command.
pub(crate) async fn run(args: Ping, output: Output) -> Result<(), Failure> {
    let network = network::bring_up(&args.network).await?;
    let address =
        match network.resolver.addresses(&args.target).await.map_err(|error| network.explain_name(error))?.first() {
            Some(&address) => address,
            None => return Err(Failure::new(Status::Network, format!("DNS: {} has no address", args.target))),
        };
    let pinger =
        Pinger::new(&network.net, address).map_err(|error| Failure::new(Status::Network, error.to_string()))?;
    let size = usize::from(args.size);
    output.line(format!("PING {} ({address}) {size}({}) bytes of data.", args.target, size + HEADERS));

    let payload: Vec<u8> = (0..size).map(|index| index as u8).collect();
    let patience = args.network.timeout.unwrap_or(PATIENCE);
    let mut tally = Tally::new(args.target.clone());
    let asking = ask(&pinger, &payload, &args, patience, address, output, &mut tally);
    let interrupted = tokio::select! {
        () = asking => false,
        Ok(()) = tokio::signal::ctrl_c() => true,
    };
    if interrupted {
        output.line("");
    }
    tally.report(output);
    if tally.received == 0 { Err(Failure::told(Status::Other)) } else { Ok(()) }
}

/// Sends the requests one after the other, and shows what comes back.
async fn ask(
    pinger: &Pinger,
    payload: &[u8],
    args: &Ping,
    patience: Duration,
    address: IpAddr,
    output: Output,
    tally: &mut Tally,
) {
    let mut due = Instant::now();
    while args.count.is_none_or(|count| tally.sent < count) {
        sleep_until(due).await;
        due += args.interval;
        tally.sent += 1;
        let number = tally.sent;
        match timeout(patience, pinger.ping_async(payload)).await {
            Ok(Ok(reply)) => {
                show(&reply, number, output);
                tally.count(as_milliseconds(reply.round_trip));
            }
            Ok(Err(error)) => {
                let (from, reason) = told(&error, address);
                output.line(format!("From {from} icmp_seq={number} {reason}"));
                output.object(&json!({ "sequence": number, "from": from.to_string(), "error": reason }));
            }
            Err(_) => {
                output.line(format!("no answer yet for icmp_seq={number}"));
                output.object(&json!({ "sequence": number, "error": "no answer in time" }));
            }
        }
        // A late one does not make the next ones a burst.
        due = due.max(Instant::now());
    }
}

fn show(reply: &PingReply, number: u64, output: Output) {
    let milliseconds = as_milliseconds(reply.round_trip);
    output.line(format!(
        "{} bytes from {}: icmp_seq={number} ttl={} time={} ms",
        reply.len + ICMP_HEADER,
        reply.source,
        reply.hop_limit,
        three_digits(milliseconds),
    ));
    output.object(&json!({
        "sequence": number,
        "source": reply.source.to_string(),
        "bytes": reply.len,
        "ttl": reply.hop_limit,
        "milliseconds": to_microseconds(milliseconds),
    }));
}

/// Who says that the request did not arrive, and in which words.
fn told(error: &Error, address: IpAddr) -> (IpAddr, String) {
    let (from, reason) = match error {
        Error::Ping { reason: PingFailure::Reported { from, reason }, .. } => (*from, *reason),
        Error::Ping { reason: PingFailure::Failed(reason), .. } => (address, *reason),
        other => return (address, other.to_string()),
    };
    let words = match reason {
        SocketError::HostUnreachable => "Destination Host Unreachable".to_owned(),
        SocketError::NetworkUnreachable => "Destination Net Unreachable".to_owned(),
        SocketError::Prohibited => "Packet filtered".to_owned(),
        SocketError::TimeExceeded => "Time to live exceeded".to_owned(),
        other => other.to_string(),
    };
    (from, words)
}

/// What the last lines tell, in sums: a ping may run for months.
struct Tally {
    host: String,
    begun: Instant,
    sent: u64,
    received: u64,
    min: f64,
    max: f64,
    sum: f64,
    sum_of_squares: f64,
}

impl Tally {
    fn new(host: String) -> Self {
        let begun = Instant::now();
        Self { host, begun, sent: 0, received: 0, min: f64::INFINITY, max: 0.0, sum: 0.0, sum_of_squares: 0.0 }
    }

    /// A reply that took `trip`, in milliseconds.
    fn count(&mut self, trip: f64) {
        self.received += 1;
        self.min = self.min.min(trip);
        self.max = self.max.max(trip);
        self.sum += trip;
        self.sum_of_squares += trip * trip;
    }

    fn report(&self, output: Output) {
        let lost = self.sent.saturating_sub(self.received);
        let loss = if self.sent == 0 { 0.0 } else { lost as f64 * 100.0 / self.sent as f64 };
        output.line(format!("\n--- {} ping statistics ---", self.host));
        output.line(format!(
            "{} packets transmitted, {} received, {}% packet loss, time {}ms",
            self.sent,
            self.received,
            (loss * 10.0).round() / 10.0,
            self.begun.elapsed().as_millis(),
        ));
        let statistics = self.statistics();
        if let Some([min, average, max, deviation]) = statistics {
            output.line(format!("rtt min/avg/max/mdev = {min:.3}/{average:.3}/{max:.3}/{deviation:.3} ms"));
        }
        output.object(&json!({
            "sent": self.sent,
            "received": self.received,
            "loss_percent": loss,
            "rtt_milliseconds": statistics.map(|[min, average, max, deviation]| json!({
                "min": to_microseconds(min), "avg": to_microseconds(average), "max": to_microseconds(max),
                "mdev": to_microseconds(deviation),
            })),
        }));
    }

    /// Least, mean, most and standard deviation of the round trips, in milliseconds.
    fn statistics(&self) -> Option<[f64; 4]> {
        if self.received == 0 {
            return None;
        }
        let average = self.sum / self.received as f64;
        let variance = (self.sum_of_squares / self.received as f64 - average * average).max(0.0);
        Some([self.min, average, self.max, variance.sqrt()])
    }
}

fn as_milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Without the digits that are the arithmetic's and not the clock's.
fn to_microseconds(milliseconds: f64) -> f64 {
    (milliseconds * 1000.0).round() / 1000.0
}

/// As iputils writes times: three digits that count.
fn three_digits(milliseconds: f64) -> String {
    match milliseconds {
        large if large >= 100.0 => format!("{large:.0}"),
        medium if medium >= 10.0 => format!("{medium:.1}"),
        small if small >= 1.0 => format!("{small:.2}"),
        tiny => format!("{tiny:.3}"),
    }
}
