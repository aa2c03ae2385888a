//! Ports that lead through a session, as `-L`, `-R`, `-D` and their words write them.

use std::str::FromStr;

/// Where a forward listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address; without one the loopback's. `*` and an empty one are every address.
    pub address: Option<String>,
    /// The port; 0 lets the listener choose.
    pub port: u16,
}

/// A forward: where it listens, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where it listens.
    pub listen: Listen,
    /// The host and port it leads to, as seen from its other end; none where SOCKS tells.
    pub to: Option<(String, u16)>,
}

impl Listen {
    /// Reads `[ADDRESS:]PORT`.
    ///
    /// # Errors
    /// In words, if it is something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        match parts(text)?.as_slice() {
            [port] => Ok(Self { address: None, port: number(port)? }),
            [address, port] => Ok(Self { address: Some(address.clone()), port: number(port)? }),
            _ => Err(format!("{text:?} is not [ADDRESS:]PORT")),
        }
    }
}

impl FromStr for Forward {
    type Err = String;

    /// Reads `[ADDRESS:]PORT:HOST:HOSTPORT`, or `[ADDRESS:]PORT` where SOCKS tells.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = parts(text)?;
        let (listen, to) = match parts.as_slice() {
            [port] => (Listen { address: None, port: number(port)? }, None),
            [address, port] => (Listen { address: Some(address.clone()), port: number(port)? }, None),
            [port, host, to] => (Listen { address: None, port: number(port)? }, Some((host, to))),
            [address, port, host, to] => {
                (Listen { address: Some(address.clone()), port: number(port)? }, Some((host, to)))
            }
            _ => return Err(format!("{text:?} is not [ADDRESS:]PORT:HOST:HOSTPORT")),
        };
        let to = match to {
            None => None,
            Some((host, _)) if host.is_empty() => return Err(format!("{text:?} names no host to lead to")),
            Some((host, port)) => match number(port)? {
                0 => return Err(format!("{text:?} leads to port 0, which is none")),
                port => Some((host.clone(), port)),
            },
        };
        Ok(Self { listen, to })
    }
}

/// The parts between colons, with brackets around those that have colons themselves.
fn parts(text: &str) -> Result<Vec<String>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        if let Some(inner) = rest.strip_prefix('[') {
            let (address, after) = inner.split_once(']').ok_or_else(|| format!("{text:?} has a bracket too few"))?;
            parts.push(address.to_owned());
            match after.strip_prefix(':') {
                Some(after) => rest = after,
                None if after.is_empty() => return Ok(parts),
                None => return Err(format!("{text:?} has no colon after its bracket")),
            }
        } else {
            match rest.split_once(':') {
                Some((part, after)) => {
                    parts.push(part.to_owned());
                    rest = after;
                }
                None => {
                    parts.push(rest.to_owned());
                    return Ok(parts);
                }
            }
        }
        if parts.len() > 4 {
            return Err(format!("{text:?} has too many parts"));
        }
    }
}

fn number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{text:?} is no port"))
}
