//! The options of `wharf tls`, and those of a session that other commands share.

use std::path::PathBuf;

use clap::Args;

use super::Network;

/// Whom to believe, who to be, and which versions to speak
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "TLS options")]
pub(crate) struct Session {
    /// Believe only the certificate authorities of this PEM file, not the Mozilla roots
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Believe the certificate authorities of this system, not the Mozilla roots
    #[arg(long, conflicts_with = "ca")]
    pub(crate) system_roots: bool,
    /// Believe any certificate: whoever is on the way can read and change everything
    #[arg(long, conflicts_with_all = ["ca", "system_roots"])]
    pub(crate) insecure: bool,
    /// Show this certificate (PEM, with its intermediates) to a server that asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert (PEM); it may be the same file
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Speak TLS 1.2 alone
    #[arg(long, conflicts_with = "tls13")]
    pub(crate) tls12: bool,
    /// Speak TLS 1.3 alone
    #[arg(long)]
    pub(crate) tls13: bool,
    /// Append the session's secrets to this file, for Wireshark; without it, to the file that $SSLKEYLOGFILE names
    #[arg(long, value_name = "FILE")]
    pub(crate) key_log: Option<PathBuf>,
}

/// Shows what a server's TLS agrees on, its certificates, and what is wrong with them
#[derive(Debug, Args)]
pub(crate) struct Tls {
    /// A name or an address, with a port if it is not 443
    #[arg(value_name = "HOST[:PORT]", value_parser = place)]
    pub(crate) place: Place,
    /// Ask for this name (SNI) and expect it in the certificate, instead of HOST
    #[arg(long, value_name = "NAME")]
    pub(crate) servername: Option<String>,
    /// Offer these application protocols, the preferred one first
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "h2,http/1.1")]
    pub(crate) alpn: Vec<String>,
    /// Connect a second time: does it resume the session, and does the server take early data (0-RTT)?
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) session: Session,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

fn place(text: &str) -> Result<Place, String> {
    let bare = text.strip_prefix("https://").unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let (host, port) = match bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or("after ] comes :PORT or nothing")?)),
        None => match bare.split_once(':') {
            // More than one colon, and no brackets: an IPv6 address.
            Some((_, rest)) if rest.contains(':') => (bare, None),
            Some((host, port)) => (host, Some(port)),
            None => (bare, None),
        },
    };
    if host.is_empty() || host.contains('/') {
        return Err("write it like example.com or example.com:8443".to_owned());
    }
    let port = port.map_or(Ok(443), str::parse).map_err(|_| "the port is a number up to 65535".to_owned())?;
    Ok(Place { host: host.to_owned(), port })
}

pub(super) const HELP: &str = "\
Examples:
  wharf tls example.com
  wharf tls --resume --tls12 example.com:8443
      Does a second connection resume the session, with TLS 1.2?
  wharf tls --link tap:tap0 --ca test-ca.pem --servername files.test 192.168.7.1
      Believing one certificate authority, by address, for a name.
  wharf tls --insecure --json self-signed.example

A certificate that is refused is shown all the same, with the reason.

Exit status:
  0  the session stands and the certificate is believed
  2  the command line makes no sense
  3  a file of --ca, --cert, --key or --key-log could not be used
  4  the network: no link, no address, no such name, refused, unreachable, no answer in time
  5  TLS: the certificate or the handshake was refused";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let read = |text| place(text).map(|place| (place.host, place.port));
        let is = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(read("example.com"), is("example.com", 443));
        assert_eq!(read("example.com:8443"), is("example.com", 8443));
        assert_eq!(read("https://example.com/"), is("example.com", 443));
        assert_eq!(read("[2001:db8::1]:8443"), is("2001:db8::1", 8443));
        assert_eq!(read("[2001:db8::1]"), is("2001:db8::1", 443));
        assert_eq!(read("2001:db8::1"), is("2001:db8::1", 443));
        for refused in ["", ":443", "h:", "h:65536", "h:x", "[::1]x", "h/path"] {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
