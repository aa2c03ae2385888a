//! How files are shown.

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
        times.map_or("-".to_owned(), |(_, changed)| date(changed)),
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

/// Seconds since 1970 as `YYYY-MM-DD HH:MM` in UTC.
pub(super) fn date(seconds: u32) -> String {
    let (days, rest) = (i64::from(seconds) / 86_400, seconds % 86_400);
    // Days from a first of March, so that the leap day ends the year: the Gregorian calendar repeats after 146,097.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", rest / 3600, rest / 60 % 60)
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
        lines.push(format!("changed     {} UTC", date(changed)));
        lines.push(format!("read        {} UTC", date(read)));
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
