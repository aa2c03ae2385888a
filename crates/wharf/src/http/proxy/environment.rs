//! Which requests go by which proxy: set by hand, or read from the environment where that is asked for.

use std::net::IpAddr;
use std::sync::Arc;

use super::Proxy;
use crate::Cidr;
use crate::http::error::Error;

/// Which requests go by a proxy, and by which. The default is none: the environment is read only by
/// [`Proxies::from_environment`].
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    direct: Vec<Direct>,
}

/// A rule of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    Everything,
    /// This name and all below it, at this port or any.
    Name {
        name: String,
        port: Option<u16>,
    },
    Address(IpAddr),
    Network(Cidr),
}

impl Proxies {
    /// Every request goes by `proxy`.
    pub fn all(proxy: Proxy) -> Self {
        let proxy = Arc::new(proxy);
        Self { http: Some(Arc::clone(&proxy)), https: Some(proxy), direct: Vec::new() }
    }

    /// What the environment says: `http_proxy`, `https_proxy` or `HTTPS_PROXY`, `all_proxy` or `ALL_PROXY` for what
    /// they leave open, and `no_proxy` or `NO_PROXY` as [`except`](Self::except) reads it. `HTTP_PROXY` in capitals
    /// is not read: inside a CGI program it holds what a visitor sent.
    ///
    /// # Errors
    /// [`Error::ProxyUrl`] when one of them cannot be read.
    pub fn from_environment() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    pub(super) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let find = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let proxy = |names: &[&str]| find(names).map(|text| Proxy::new(&text).map(Arc::new)).transpose();
        let all = proxy(&["all_proxy", "ALL_PROXY"])?;
        let http = proxy(&["http_proxy"])?.or_else(|| all.clone());
        let https = proxy(&["https_proxy", "HTTPS_PROXY"])?.or(all);
        let proxies = Self { http, https, direct: Vec::new() };
        Ok(proxies.except(&find(&["no_proxy", "NO_PROXY"]).unwrap_or_default()))
    }

    /// Leaves out the hosts that `list` names, separated by commas or blanks: a name stands for itself and all names
    /// below it (a leading dot or `*.` changes nothing), perhaps with `:PORT`; an address for itself, or with `/BITS`
    /// for its network; `*` for everything. What cannot be read as one of these leaves nothing out.
    #[must_use]
    pub fn except(mut self, list: &str) -> Self {
        let words = list.split([',', ' ', '\t']).map(str::trim).filter(|word| !word.is_empty());
        self.direct.extend(words.filter_map(rule));
        self
    }

    /// The proxy for a request to `host` (an address without brackets) and `port`.
    pub(in crate::http) fn for_host(&self, secure: bool, host: &str, port: u16) -> Option<&Arc<Proxy>> {
        let proxy = if secure { self.https.as_ref() } else { self.http.as_ref() }?;
        (!self.direct.iter().any(|rule| rule.holds(host, port))).then_some(proxy)
    }
}

fn rule(word: &str) -> Option<Direct> {
    if word == "*" {
        return Some(Direct::Everything);
    }
    if let Some((address, bits)) = word.split_once('/') {
        let address = address.trim_matches(['[', ']']).parse().ok()?;
        return Cidr::new(address, bits.parse().ok()?).map(Direct::Network);
    }
    if let Ok(address) = word.trim_matches(['[', ']']).parse() {
        return Some(Direct::Address(address));
    }
    let (name, port) = match word.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (word, None),
    };
    let name = name.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
    (!name.is_empty()).then_some(Direct::Name { name, port })
}

impl Direct {
    fn holds(&self, host: &str, port: u16) -> bool {
        match self {
            Self::Everything => true,
            Self::Name { name, port: only } => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                below && only.is_none_or(|only| only == port)
            }
            Self::Address(address) => host.parse() == Ok(*address),
            Self::Network(network) => host.parse().is_ok_and(|address: IpAddr| network.contains(address)),
        }
    }
}
