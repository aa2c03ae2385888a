//! The options of `wharf ssh`, and those that it shares with `wharf sftp`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use wharf::ssh::config::{Forward, JumpHost, Listen};

use super::Network;

/// How to log in: the same for ssh and sftp.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Login options")]
pub(crate) struct Login {
    /// Try this private key; may be given several times
    #[arg(short = 'i', value_name = "KEY")]
    pub(crate) identity: Vec<PathBuf>,
    /// Read this file in place of ~/.ssh/config and /etc/ssh/ssh_config; none: no file
    #[arg(short = 'F', value_name = "CONFIG")]
    pub(crate) ssh_config: Option<PathBuf>,
    /// Go through these hosts, separated by commas
    #[arg(short = 'J', value_name = "[USER@]HOST[:PORT]", value_delimiter = ',', value_parser = JumpHost::parse)]
    pub(crate) jump: Vec<JumpHost>,
    /// Any word of ssh_config, such as -o Port=2222; may be given several times
    #[arg(short = 'o', value_name = "WORD=VALUE")]
    pub(crate) option: Vec<String>,
    /// Believe and remember a host that is not known yet, without asking (StrictHostKeyChecking=accept-new)
    #[arg(long)]
    pub(crate) accept_new: bool,
    /// Allow SHA-1 and CBC, which are broken, for servers that know nothing better
    #[arg(long)]
    pub(crate) legacy: bool,
    /// Compress
    #[arg(short = 'C')]
    pub(crate) compress: bool,
    /// Say also what in the system's ssh_config is not known here
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Runs a command or a shell on another host
#[derive(Debug, Args)]
pub(crate) struct Ssh {
    /// The host, also as ssh://USER@HOST:PORT; options go before it
    #[arg(value_name = "[USER@]HOST", value_parser = JumpHost::parse)]
    pub(crate) target: JumpHost,
    /// The command; without one, a shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// The server's port
    #[arg(short = 'p', value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// The user's name on the server
    #[arg(short = 'l', value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Ask for a terminal also for a command; twice, even where there is none here
    #[arg(short = 't', action = ArgAction::Count)]
    pub(crate) terminal: u8,
    /// Ask for no terminal
    #[arg(short = 'T', conflicts_with = "terminal")]
    pub(crate) no_terminal: bool,
    /// Run nothing, only forward ports
    #[arg(short = 'N')]
    pub(crate) no_session: bool,
    /// Read nothing from standard input
    #[arg(short = 'n')]
    pub(crate) no_input: bool,
    /// A port of this host leads to one that the server reaches
    #[arg(short = 'L', value_name = "[ADDRESS:]PORT:HOST:HOSTPORT")]
    pub(crate) local: Vec<Forward>,
    /// A port of the server leads to one that is reached from here
    #[arg(short = 'R', value_name = "[ADDRESS:]PORT:HOST:HOSTPORT")]
    pub(crate) remote: Vec<Forward>,
    /// A SOCKS5 proxy on a port of this host leads to wherever the server reaches
    #[arg(short = 'D', value_name = "[ADDRESS:]PORT", value_parser = Listen::parse)]
    pub(crate) dynamic: Vec<Listen>,
    /// Local forwards listen on every address of this host
    #[arg(short = 'g')]
    pub(crate) gateway_ports: bool,
    /// Programs there may ask the agent here; only for servers whose administrators may use your keys
    #[arg(short = 'A')]
    pub(crate) forward_agent: bool,
    /// Ask no agent for them, whatever ssh_config says
    #[arg(short = 'a', conflicts_with = "forward_agent")]
    pub(crate) no_forward_agent: bool,
    /// Run nothing: standard input goes to HOST at PORT as the server reaches it, and what comes from there is the output
    #[arg(short = 'W', value_name = "HOST:PORT", value_parser = place,
          conflicts_with_all = ["command", "local", "remote", "dynamic", "no_session", "terminal", "no_input", "forward_agent"])]
    pub(crate) standard: Option<(String, u16)>,
    #[command(flatten)]
    pub(crate) login: Login,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// `HOST:PORT`, an IPv6 address in brackets.
fn place(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("write it like host.example:22")?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = match bare {
        Some(bare) => bare,
        None if host.contains(':') => return Err("an IPv6 address stands in brackets: [::1]:22".to_owned()),
        None => host,
    };
    match port.parse() {
        Ok(port) if port != 0 && !host.is_empty() => Ok((host.to_owned(), port)),
        _ => Err("write it like host.example:22".to_owned()),
    }
}

pub(super) const HELP: &str = "\
Examples:
  wharf ssh me@host.example
      A shell there. The first time it asks whether the host's key is right.
  wharf ssh --accept-new -i key me@host.example uname -a
  wharf ssh -L 8080:intranet:80 -N me@host.example
      http://localhost:8080/ here is intranet's there.
  wharf ssh -J me@gate.example me@inside
  ssh -o ProxyCommand='wharf ssh -W %h:%p me@gate.example' me@inside
      Another program's way through.
  wharf ssh --link tap:tap0 -p 2222 192.168.7.1

The session runs over Wharf's network. The listeners of -L and -D, and what -R leads to on localhost, are
ordinary sockets of this host, because the programs that use them are; so is the agent ($SSH_AUTH_SOCK).
Keys are looked for in ~/.ssh/id_ed25519, id_ecdsa and id_rsa; a certificate beside its key, as KEY-cert.pub. In a terminal, ~. at the start of a line
ends the session, and ~? says what else there is.

Exit status:
  that of the remote command, or
  255  it died of a signal, or there was an error here: network, host key, login";
