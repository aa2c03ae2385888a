//! Patterns with `*` and `?`: of hosts, in lists with a leading `!`, as OpenSSH's files write them, and of file names.
//!
//! Called by the two readers of such files, `known_hosts` and `config`, and by `sftp`.

/// Whether `pattern` matches the whole of `text`; letters count as equal in either case.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    matches_by(pattern.as_bytes(), text.as_bytes(), |a, b| a.eq_ignore_ascii_case(&b))
}

/// Whether `pattern` matches the whole of `text`, byte by byte as `same` says.
///
/// The work is bounded by the product of the lengths, whatever the pattern.
pub(super) fn matches_by(pattern: &[u8], text: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last `*` was, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&byte) if byte == b'?' || same(byte, text[from]) => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    from = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Whether a list of patterns takes `text` in: one matches it, and none of those that begin with `!` does.
pub(super) fn list_matches<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(refused) if matches(refused, text) => return false,
            Some(_) => {}
            None => found |= matches(pattern, text),
        }
    }
    found
}
