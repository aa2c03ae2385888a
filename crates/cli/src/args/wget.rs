//! The options of `wharf wget`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wharf::http::{Method, Versions};

use super::{Network, Session, seconds};

/// Fetches pages or files over http or https
#[derive(Debug, Args)]
pub(crate) struct Wget {
    /// What to fetch, several at once; http:// is added where no scheme is given
    #[arg(value_name = "URL", required_unless_present = "input_file")]
    pub(crate) urls: Vec<String>,
    /// Fetch the URLs of this file too, one a line; - is standard input. Lines that begin with # are left out
    #[arg(short = 'i', long, value_name = "FILE")]
    pub(crate) input_file: Option<PathBuf>,
    /// So many at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) parallel: u16,
    /// Where to save it: - is standard output. Without it, the last part of the URL, numbered if taken
    #[arg(short = 'O', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Keep what has come in FILE.part if it fails, and go on from there next time; FILE is replaced when it is whole
    #[arg(short = 'c', long = "continue", conflicts_with_all = ["method", "body_file", "compressed"])]
    pub(crate) resume: bool,
    /// Try so many times, 0 without end, if the network or the server fails for the moment
    #[arg(short = 't', long, value_name = "N", default_value_t = 1)]
    pub(crate) tries: u32,
    /// Send this header field, written 'Name: value'; may be given several times
    #[arg(long, value_name = "FIELD")]
    pub(crate) header: Vec<String>,
    /// Ask with this method, not with GET (with --body-file: POST)
    #[arg(long, value_name = "METHOD", value_parser = method)]
    pub(crate) method: Option<Method>,
    /// Send this file as the body of the request; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) body_file: Option<PathBuf>,
    /// Speak HTTP/1.1 alone; without this and the next two, what the server prefers over TLS, and HTTP/1.1 without
    #[arg(long, conflicts_with_all = ["http2", "http3"])]
    pub(crate) http1: bool,
    /// Speak HTTP/2 alone, without TLS too
    #[arg(long, conflicts_with = "http3")]
    pub(crate) http2: bool,
    /// Speak HTTP/3 alone
    #[arg(long)]
    pub(crate) http3: bool,
    /// Go by this proxy (http://, socks5:// or socks5h://), not by those of http_proxy, https_proxy and all_proxy; but
    /// for the hosts of no_proxy
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Go by no proxy, whatever the environment says
    #[arg(long, conflicts_with = "proxy")]
    pub(crate) no_proxy: bool,
    /// Ask for the body in a content coding (gzip, deflate, br, zstd), and undo it
    #[arg(long)]
    pub(crate) compressed: bool,
    /// Keep responses in this directory, and use those that are still good; at most 1 GiB
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Send the cookies of this file, and write those that come into it (in the format of curl and wget)
    #[arg(long, value_name = "FILE")]
    pub(crate) cookies: Option<PathBuf>,
    /// Receive at most so many bytes a second in all; k, m and g stand for thousands of 1024
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(crate) limit_rate: Option<u64>,
    /// Show the status and the header fields of the last response
    #[arg(short = 'S', long)]
    pub(crate) server_response: bool,
    /// Show how long each phase took
    #[arg(long)]
    pub(crate) timing: bool,
    /// Patience for a connection and for the TLS handshake on it, in place of --timeout's
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) connect_timeout: Option<Duration>,
    /// Patience for the answer, and then for each further piece of the body, in place of --timeout's
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) read_timeout: Option<Duration>,
    /// Give up when the whole takes longer, all tries of a download together
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) max_time: Option<Duration>,
    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) session: Session,
    #[command(flatten)]
    pub(crate) network: Network,
}

impl Wget {
    /// The versions of HTTP to speak.
    pub(crate) fn versions(&self) -> Versions {
        match (self.http1, self.http2, self.http3) {
            (true, _, _) => Versions::Http1,
            (_, true, _) => Versions::Http2,
            (_, _, true) => Versions::Http3,
            _ => Versions::Auto,
        }
    }
}

pub(super) const HELP: &str = "\
Examples:
  wharf wget https://example.com/
      Saves index.html.
  wharf wget -O - http://10.0.2.2:8000/list.json --host-loopback | jq .
      From a server on this machine's loopback to standard output.
  wharf wget --link tap:tap0 --ca test-ca.pem https://192.168.7.1/big.iso
      Over a TAP device, believing one certificate authority.
  wharf wget -c https://example.com/big.iso
      Goes on where it stopped, if the server still has the same.
  wharf wget -c --tries 10 https://example.com/big.iso
      The same, and by itself, when the connection breaks.
  wharf wget -i urls.txt --cache pages --cookies cookies.txt --limit-rate 500k
      Several files, kept for the next time.
  wharf wget --body-file form.json --method PUT https://example.com/x -O -
      Sends a file and shows the answer.
  wharf wget --proxy socks5h://10.0.2.2:1080 --host-loopback https://example.com/
      By way of a proxy that resolves the name.

A file appears under its name only when it is whole. What came before an error is thrown away, or with -c kept in
FILE.part, beside it in FILE.part.json what the server called it. A file FILE that is there already is with -c asked
about: if the server has no more of it, it is whole; if it has, the file is fetched anew.

With --tries a download is begun again, with -c gone on with, when no answer or only a part of one came, or when the
server says that it is overloaded (408, 429, 500, 502, 503, 504): after 1 s, 2 s and so on up to 10 s, or when its
Retry-After says. A refused connection, a name that does not exist, a certificate, a full disk and any other status are
told at once: they would be the same again. So is what a POST came to, which could be done twice.

Exit status; with several URLs, that of the first of them that failed:
  0  the whole body of a 2xx response
  2  the command line makes no sense
  3  a file could not be read or written
  4  the network: no link, no address, no such name, refused, unreachable, no answer in time
  5  TLS: the certificate or the handshake was refused
  6  the server wants a user name and password (401, 407)
  7  the protocol: no HTTP, a body cut short, too many redirects, a decompression bomb
  8  the server answered with another error (4xx, 5xx)";

fn method(text: &str) -> Result<Method, String> {
    match text.parse() {
        Ok(Method::CONNECT) => Err("CONNECT asks for a tunnel, not for a page".to_owned()),
        Ok(method) => Ok(method),
        Err(_) => Err("not the name of a method, such as GET or POST".to_owned()),
    }
}

/// Bytes a second, as GNU wget and curl take them: `20k`, `1.5m`.
fn rate(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (number, scale) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 1024.0),
        Some(b'm') => (&lower[..lower.len() - 1], 1024.0 * 1024.0),
        Some(b'g') => (&lower[..lower.len() - 1], 1024.0 * 1024.0 * 1024.0),
        _ => (&*lower, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| "not a number of bytes, such as 200k or 1.5m".to_owned())?;
    let rate = number * scale;
    if !(1.0..=1e15).contains(&rate) {
        return Err("it must be at least one byte a second".to_owned());
    }
    Ok(rate as u64)
}
