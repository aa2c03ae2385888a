//! SSH (RFC 4250 to 4254) and SFTP over our own sockets.
//!
//! [`dial`] makes the TCP connection, [`Session::over`] the session up to a host key that is trusted,
//! [`Session::authenticate`] lets the user in; then programs run, ports are forwarded, and [`sftp`] moves files.
//!
//! The protocol is russh's. What decides about trust is here: [`known_hosts`] reads OpenSSH's files in full, and
//! what a server may open towards us is refused unless it was asked for. [`config`] reads ssh_config.
//!
//! A session's task runs on the tokio runtime it was made on.
//!
//! ```no_run
//! # async fn example(net: wharf::Net, resolver: wharf::dns::Resolver) -> Result<(), wharf::ssh::Error> {
//! use std::sync::Arc;
//! use wharf::ssh::{self, Credentials, Event, Nobody, Options, Session};
//!
//! let options = Options { known_hosts: vec!["/home/me/.ssh/known_hosts".into()], ..Options::default() };
//! let stream = ssh::dial(&net, &resolver, "host.example", ssh::PORT, options.patience).await?;
//! let mut session = Session::over(stream, "host.example", ssh::PORT, &options, Arc::new(Nobody)).await?;
//! let mut me = Credentials::new("me");
//! me.identity_files.push("/home/me/.ssh/id_ed25519".into());
//! session.authenticate(&me).await?;
//! let (mut program, input) = session.exec(b"uname -a", None, &[]).await?;
//! input.end().await?;
//! while let Some(event) = program.next().await {
//!     if let Event::Output(bytes) = event {
//!         print!("{}", String::from_utf8_lossy(&bytes));
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod algorithms;
mod authenticate;
mod channel;
pub mod config;
mod error;
mod forwarded_agent;
mod handler;
mod identity;
pub mod known_hosts;
mod pattern;
mod session;
pub mod sftp;

pub use self::authenticate::Credentials;
pub use self::channel::{Event, Exit, Input, Program, Stream, Terminal};
pub use self::error::{Error, printable};
pub use self::handler::Forwarded;
pub use self::session::{HostKeyPolicy, Nobody, Options, Questions, Session, dial};

/// The port of SSH (RFC 4253 section 4.1).
pub const PORT: u16 = 22;
