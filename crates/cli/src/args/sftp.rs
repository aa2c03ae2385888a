//! The options of `wharf sftp`.

use std::path::PathBuf;

use clap::Args;

use super::Network;
use super::ssh::Login;

/// Moves files to and from another host
#[derive(Debug, Args)]
pub(crate) struct Sftp {
    /// The host, and a folder to begin in or a file to get; also sftp://USER@HOST:PORT/PATH
    #[arg(value_name = "[USER@]HOST[:PATH]")]
    pub(crate) target: String,
    /// Take the commands from this file, - is standard input, and stop at the first that fails
    #[arg(short = 'b', value_name = "FILE")]
    pub(crate) batch: Option<PathBuf>,
    /// The server's port
    #[arg(short = 'P', value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// get and put whole folders, as with their -r
    #[arg(short = 'r')]
    pub(crate) recursive: bool,
    /// Keep times and permissions, as with -p
    #[arg(short = 'p')]
    pub(crate) preserve: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Requests under way at once
    #[arg(short = 'R', value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) requests: u16,
    #[command(flatten)]
    pub(crate) login: Login,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(super) const HELP: &str = "\
Examples:
  wharf sftp me@host.example
      Then get, put, ls, cd and so on; help lists them, the tabulator completes.
  wharf sftp me@host.example:results/today.csv
      Gets that file.
  wharf sftp -b upload.txt -i key me@host.example
  wharf sftp --link tap:tap0 -P 2222 -r me@192.168.7.1:photos

A file that is fetched appears under its name only when it is whole. Until then it is NAME.part beside it,
which reget goes on with; reput goes on with what the server has.
A command that begins with - may fail without ending a batch.

Exit status:
  0    done
  1    a command failed
  255  an error before: network, host key, login";
