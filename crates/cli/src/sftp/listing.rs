//! How files are shown.

use wharf::Date;
use wharf::ssh::sftp::{Attributes, Entry, Kind, Room, shown};

use crate::output::bytes;

/// The lines of `ls`.
pub(super) fn lines(mut entries: Vec<Entry>, long: bool) -> Vec<String> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.iter().map(|entry| if long { long_line(entry) } else { shown(&entry.name) }).collect()
}

/// In our own words: the server's could say anything.
fn long_line(entry: &Entry) -> String {
    let Attributes { size, owner, times, .. } = entry.attributes;
    let (user, group) = owner.unwrap_or_default();
    format!(
        "{} {user:>6} {group:>6} {:>12} {} {}",
        mode(&entry.attributes),
        size.unwrap_or_default(),
        times.map_or("-".to_owned(), |(_, changed)| Date::and_time(changed.into())),
        shown(&entry.name)
    )
}

fn mode(attributes: &Attributes) -> String {
    let mut text = String::from(match attributes.kind() {
        Kind::File => "-",
        Kind::Folder => "d",
        Kind::Link => "l",
        Kind::Other => "?",
    });
    let mode = attributes.mode().unwrap_or_default();
    for (shift, special, set, bare) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => bare,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// The lines of `stat`.
pub(super) fn described(path: &[u8], attributes: &Attributes) -> Vec<String> {
    let kind = match attributes.kind() {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Link => "symbolic link",
        Kind::Other => "neither file nor folder",
    };
    let mut lines = vec![format!("{}: {kind}", shown(path))];
    if let Some(size) = attributes.size {
        lines.push(format!("size        {size} bytes"));
    }
    if let Some(bits) = attributes.mode() {
        lines.push(format!("permissions {bits:04o} {}", mode(attributes)));
    }
    if let Some((user, group)) = attributes.owner {
        lines.push(format!("owner       {user}, group {group}"));
    }
    if let Some((read, changed)) = attributes.times {
        lines.push(format!("changed     {} UTC", Date::and_time(changed.into())));
        lines.push(format!("read        {} UTC", Date::and_time(read.into())));
    }
    lines
}

/// The line of `df`.
pub(super) fn room(room: &Room) -> String {
    let used = room.total.saturating_sub(room.free);
    let percent = if room.total == 0 { 0 } else { u128::from(used) * 100 / u128::from(room.total) };
    format!(
        "{} in all, {} used ({percent}%), {} available; {} of {} files free",
        bytes(room.total),
        bytes(used),
        bytes(room.available),
        room.files_free,
        room.files
    )
}
