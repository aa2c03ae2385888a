//! The lines of a zone file (RFC 1035 section 5.1): root hints and trust anchors are kept like this. `roots` and
//! `dnssec` read from a record what they need.

/// Most of a file that is read: the root's own hints are 3 KiB.
const LIMIT: usize = 1 << 20;

/// The records of `text`, each on one line: comments go, what stands in parentheses is joined, directives are left out.
pub(super) fn lines(text: &str) -> Result<Vec<String>, String> {
    if text.len() > LIMIT {
        return Err(format!("it is longer than {LIMIT} bytes"));
    }
    let (mut lines, mut line, mut depth) = (Vec::new(), String::new(), 0_usize);
    for part in text.lines() {
        let part = part.split(';').next().unwrap_or_default();
        depth = (depth + part.matches('(').count()).saturating_sub(part.matches(')').count());
        line += &part.replace(['(', ')'], " ");
        line.push(' ');
        if depth == 0 {
            let whole = line.trim();
            if !whole.is_empty() && !whole.starts_with('$') {
                lines.push(whole.to_owned());
            }
            line.clear();
        }
    }
    match lines.is_empty() {
        true => Err("it holds no record".to_owned()),
        false => Ok(lines),
    }
}
