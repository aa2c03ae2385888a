//! Paths on the server, which are bytes between slashes, and the wildcards in them.

use wharf::ssh::sftp::{Error, Sftp, local_name, name_matches};

/// Paths that a wildcard stands for.
const MOST_MATCHES: usize = 100_000;

/// `path` seen from the folder `from`.
pub(super) fn joined(from: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        return path.to_vec();
    }
    let mut whole = from.to_vec();
    if !whole.is_empty() && !whole.ends_with(b"/") {
        whole.push(b'/');
    }
    whole.extend_from_slice(path);
    whole
}

/// The last part of a path, without slashes behind it.
pub(super) fn last_part(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
    let path = &path[..end];
    path.iter().rposition(|&byte| byte == b'/').map_or(path, |at| &path[at + 1..])
}

/// The folder that a path is in, and its last part.
pub(super) fn parted(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// What `path` stands for: itself, or what its last part matches in its folder.
pub(super) async fn expanded(sftp: &Sftp, path: Vec<u8>) -> Result<Vec<Vec<u8>>, Error> {
    let (folder, name) = parted(&path);
    if !name.iter().any(|byte| matches!(byte, b'*' | b'?')) || sftp.stat(&path, false).await.is_ok() {
        return Ok(vec![path]);
    }
    let in_folder = if folder.is_empty() { b".".as_slice() } else { folder };
    let mut found: Vec<Vec<u8>> = sftp
        .list(in_folder)
        .await?
        .into_iter()
        .filter(|entry| local_name(&entry.name).is_some())
        .filter(|entry| name_matches(name, &entry.name) && (name.starts_with(b".") || !entry.name.starts_with(b".")))
        .map(|entry| joined(folder, &entry.name))
        .take(MOST_MATCHES)
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(Error::NotFound { path: wharf::ssh::sftp::shown(&path) });
    }
    Ok(found)
}
