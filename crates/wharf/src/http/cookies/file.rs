//! The lines of a cookies.txt, as Netscape wrote them and curl and wget read them: seven fields between tabs. Pure text
//! both ways, and the standard library alone, so that it can be fuzzed by itself. Called by `cookies`.

/// The first line, by which other programs know the file.
const TITLE: &str = "# Netscape HTTP Cookie File";
/// What marks a cookie that scripts may not see; to whoever does not know it, the line is a comment.
const HTTP_ONLY: &str = "#HttpOnly_";

/// One cookie as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The host, in lower case and without a dot before it.
    pub(super) domain: String,
    /// Whether hosts below it get the cookie too.
    pub(super) subdomains: bool,
    pub(super) path: String,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    /// Seconds since 1970; 0 for one that ends with the session.
    pub(super) expires: u64,
    pub(super) name: String,
    pub(super) value: String,
}

/// Why a line cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) reason: &'static str,
}

/// The cookies of a file, in its order.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Line>, Damage> {
    let mut lines = Vec::new();
    for (number, bytes) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let refuse = |reason| Damage { line: number + 1, reason };
        let text = std::str::from_utf8(bytes).map_err(|_| refuse("it is not text"))?;
        let text = text.strip_suffix('\r').unwrap_or(text);
        let (text, http_only) = match text.strip_prefix(HTTP_ONLY) {
            Some(text) => (text, true),
            None => (text, false),
        };
        if !http_only && (text.starts_with('#') || text.trim().is_empty()) {
            continue;
        }
        lines.push(parse_line(text, http_only).map_err(refuse)?);
    }
    Ok(lines)
}

fn parse_line(text: &str, http_only: bool) -> Result<Line, &'static str> {
    let fields: Vec<&str> = text.split('\t').collect();
    // curl leaves the last tab away where the value is empty.
    let (&[domain, subdomains, path, secure, expires, name], value) = (match fields.split_at_checked(6) {
        Some((six, [])) => (six, ""),
        Some((six, &[value])) => (six, value),
        _ => return Err("it has not seven fields between tabs"),
    }) else {
        return Err("it has not seven fields between tabs");
    };
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    if domain.is_empty()
        || domain.starts_with('.')
        || domain.bytes().any(|byte| !byte.is_ascii_graphic() || b"/\\;,@?#".contains(&byte))
    {
        return Err("its first field is not the name of a host");
    }
    if !path.starts_with('/') {
        return Err("its path does not begin with /");
    }
    if name.is_empty() || name.contains(['=', ';']) {
        return Err("its name is none");
    }
    if value.contains(';') {
        return Err("its value holds a semicolon");
    }
    if [path, name, value].iter().any(|field| field.contains(|character: char| character.is_control())) {
        return Err("it holds a control character");
    }
    Ok(Line {
        domain: domain.to_ascii_lowercase(),
        subdomains: flag(subdomains)?,
        path: path.to_owned(),
        secure: flag(secure)?,
        http_only,
        expires: expires.parse().map_err(|_| "its time is not a number of seconds since 1970")?,
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

fn flag(text: &str) -> Result<bool, &'static str> {
    match text {
        "TRUE" | "true" => Ok(true),
        "FALSE" | "false" => Ok(false),
        _ => Err("a flag is neither TRUE nor FALSE"),
    }
}

/// The text of a file with these cookies.
pub(super) fn print<'a>(lines: impl IntoIterator<Item = &'a Line>) -> String {
    let mut text = format!("{TITLE}\n# Written by wharf. Whoever has this file is logged in where its owner is.\n\n");
    for line in lines {
        let Line { domain, subdomains, path, secure, http_only, expires, name, value } = line;
        let mark = if *http_only { HTTP_ONLY } else { "" };
        let dot = if *subdomains { "." } else { "" };
        let flag = |flag: &bool| if *flag { "TRUE" } else { "FALSE" };
        text += &format!(
            "{mark}{dot}{domain}\t{}\t{path}\t{}\t{expires}\t{name}\t{value}\n",
            flag(subdomains),
            flag(secure)
        );
    }
    text
}
