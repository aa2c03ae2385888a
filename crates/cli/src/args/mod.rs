//! The command line: what can be asked, and the help that says so. A file for each command.

mod bring_up;
mod configured;
mod documents;
mod network;
mod nslookup;
mod ping;
mod sftp;
mod ssh;
mod tls;
mod wget;
mod ws;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

pub(crate) use self::bring_up::BringUp;
pub(crate) use self::configured::read;
pub(crate) use self::documents::{Completions, Man};
pub(crate) use self::network::Network;
pub(crate) use self::nslookup::{Nslookup, Server, Word};
pub(crate) use self::ping::Ping;
pub(crate) use self::sftp::Sftp;
pub(crate) use self::ssh::{Login, Ssh};
pub(crate) use self::tls::{Session, Tls};
pub(crate) use self::wget::Wget;
pub(crate) use self::ws::Ws;
use crate::exit;

/// A network stack in your process: an address, a name and a page, without the kernel's.
///
/// Every command brings up a network of its own: Ethernet, ARP, IPv4, DHCP, DNS, TCP and TLS are Wharf's, from
/// the link to the page. The default link needs no privilege and no set-up.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, after_help = format!("{TOP_HELP}\n\n{}", exit::HELP), propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// Take options that are not given from this file, not from ~/.config/wharf/config.toml; none: no file
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(after_help = bring_up::HELP)]
    BringUp(BringUp),
    #[command(after_help = wget::HELP)]
    Wget(Box<Wget>),
    #[command(after_help = ping::HELP)]
    Ping(Ping),
    #[command(after_help = nslookup::HELP)]
    Nslookup(Nslookup),
    #[command(after_help = ssh::HELP)]
    Ssh(Box<Ssh>),
    #[command(after_help = sftp::HELP)]
    Sftp(Box<Sftp>),
    #[command(after_help = tls::HELP)]
    Tls(Tls),
    #[command(after_help = ws::HELP)]
    Ws(Ws),
    #[command(after_help = documents::MAN_HELP)]
    Man(Man),
    #[command(after_help = documents::COMPLETIONS_HELP)]
    Completions(Completions),
}

impl Command {
    /// The command's name, as errors say it, and whether they are told in JSON.
    pub(crate) fn name_and_json(&self) -> (&'static str, bool) {
        match self {
            Self::BringUp(args) => ("bring-up", args.network.json),
            Self::Wget(args) => ("wget", args.network.json),
            Self::Ping(args) => ("ping", args.network.json),
            Self::Nslookup(args) => ("nslookup", args.network.json),
            Self::Ssh(args) => ("ssh", args.network.json),
            Self::Sftp(args) => ("sftp", args.network.json),
            Self::Tls(args) => ("tls", args.network.json),
            Self::Ws(args) => ("ws", args.network.json),
            Self::Man(_) => ("man", false),
            Self::Completions(_) => ("completions", false),
        }
    }
}

const TOP_HELP: &str = "\
Examples:
  wharf bring-up
  wharf wget https://example.com/
  wharf ping -c 3 example.com
  wharf nslookup example.com MX
  wharf help wget

Options can stand in a file, once for all: $XDG_CONFIG_HOME/wharf/config.toml (~/.config/wharf/config.toml),
else /etc/wharf/config.toml. Its keys are the long options, at the top for every command and in a table
such as [wget] for one:
  link = \"tap:tap0\"
  [wget]
  ca = \"private-ca.pem\"";

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(seconds > 0.0 && seconds <= 1e9) {
        return Err("it must be more than 0 and at most 1000000000 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests;
