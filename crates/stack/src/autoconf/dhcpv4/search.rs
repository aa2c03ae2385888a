//! Domains to search as a DHCP server tells them (RFC 3397): domain names in the encoding of DNS (RFC 1035 section 4.1.4),
//! one after the other, the tail of each perhaps a pointer into those before. Called by `message`.

use alloc::string::String;
use alloc::vec::Vec;

/// The most that are taken; resolvers try six.
const MOST: usize = 16;

/// RFC 1035 section 3.1: a name has 255 bytes at most, its lengths among them.
const LONGEST: usize = 255;

/// The domains in `option`, as far as it can be read: what is broken ends the list and spoils nothing before it. Names
/// that a resolver would not ask for are left out.
pub(super) fn domains(option: &[u8]) -> Vec<String> {
    let mut domains = Vec::new();
    let mut at = 0;
    while at < option.len() && domains.len() < MOST {
        let Some((name, next)) = domain(option, at) else { break };
        if let Some(name) = name {
            domains.push(name);
        }
        at = next;
    }
    domains
}

/// The name at `at`, `None` if it is none to be searched, and where the next one begins.
fn domain(option: &[u8], mut at: usize) -> Option<(Option<String>, usize)> {
    let mut name = String::new();
    let mut plain = true;
    let mut next = None;
    // Each pointer leads further back than the one before: so there is an end.
    let mut before = at;
    loop {
        let length = usize::from(*option.get(at)?);
        match length {
            0 => break,
            1..=63 => {
                let label = option.get(at + 1..at + 1 + length)?;
                plain &= label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|&byte| char::from(byte)));
                if name.len() + 2 > LONGEST {
                    return None;
                }
                at += 1 + length;
            }
            // RFC 3397 section 2: an offset from the beginning of the option.
            0xc0.. => {
                let target = (length & 0x3f) << 8 | usize::from(*option.get(at + 1)?);
                if target >= before {
                    return None;
                }
                next.get_or_insert(at + 2);
                (at, before) = (target, target);
            }
            // RFC 1035 section 4.1.4: reserved.
            _ => return None,
        }
    }
    let next = next.unwrap_or(at + 1);
    Some(((plain && !name.is_empty()).then_some(name), next))
}

// A fuzz target takes this file in by itself: it is told where the tests are.
#[cfg(test)]
#[path = "search/tests.rs"]
mod tests;
