//! `[USER@]HOST[:PATH]` and `sftp://[USER@]HOST[:PORT][/PATH]`.

use wharf::ssh::config::JumpHost;

/// The host, and a path on it.
pub(super) fn parse(text: &str) -> Result<(JumpHost, Option<String>), String> {
    if let Some(rest) = text.strip_prefix("sftp://") {
        let (place, path) = match rest.split_once('/') {
            Some((place, path)) => (place, Some(path.to_owned()).filter(|path| !path.is_empty())),
            None => (rest, None),
        };
        return Ok((JumpHost::parse(place)?, path));
    }
    // A colon within brackets belongs to the address.
    let from = text.find(']').unwrap_or(0);
    match text[from..].find(':') {
        Some(at) => {
            let (place, path) = text.split_at(from + at);
            let path = path[1..].to_owned();
            Ok((JumpHost::parse(place)?, Some(path).filter(|path| !path.is_empty())))
        }
        None => Ok((JumpHost::parse(text)?, None)),
    }
}
