//! What a resolver was told to do, and what that comes to at one moment.

use std::time::Duration;

use rustls::ClientConfig;

use super::dnssec::Anchors;
use super::exchange::Observer;
use super::{Error, Hosts, RootHints, Upstream};
use crate::tls::{Connector, Trust};

/// What a resolver was told to do.
#[derive(Clone, Default)]
pub(super) struct Settings {
    /// Servers given by hand, in place of the configuration's.
    pub(super) servers: Option<Vec<Upstream>>,
    /// Where to begin instead of asking such servers.
    pub(super) roots: Option<RootHints>,
    /// Where trust begins, if answers are to be validated.
    pub(super) anchors: Option<Anchors>,
    /// Whom to believe who a server of DNS over TLS or HTTPS is.
    pub(super) trust: Trust,
    /// Domains given by hand, in place of the configuration's.
    pub(super) search: Option<Vec<String>>,
    pub(super) hosts: Option<Hosts>,
    pub(super) patience: Option<Duration>,
    pub(super) observer: Option<Observer>,
}

/// What the settings come to with the network's present configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) servers: Vec<Upstream>,
    pub(super) search: Vec<String>,
    pub(super) patience: Duration,
}

impl Settings {
    /// The configuration of TLS sessions; the certificates are read now.
    pub(super) fn tls(&self) -> Result<Option<ClientConfig>, Error> {
        let secure = |server: &Upstream| server.transport != super::Transport::Plain;
        let Some(first) = self.servers.iter().flatten().find(|server| secure(server)) else { return Ok(None) };
        let connector = Connector::new(self.trust.clone(), &[])
            .map_err(|error| Error::Tls { server: first.to_string(), reason: error.to_string() })?;
        Ok(Some(ClientConfig::clone(&connector.config())))
    }
}
