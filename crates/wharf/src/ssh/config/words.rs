//! One line of ssh_config as a word and its values.

/// Splits `line`: the word in small letters, then its values, with `"` around those that have spaces. `None` for a line
/// that says nothing.
pub(super) fn split(line: &str) -> Result<Option<(String, Vec<String>)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|letter: char| letter.is_ascii_whitespace() || letter == '=').unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let values = values(rest)?;
    if values.is_empty() {
        return Err("it has no value");
    }
    Ok(Some((word.to_ascii_lowercase(), values)))
}

fn values(text: &str) -> Result<Vec<String>, &'static str> {
    let mut values = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_ascii_whitespace()).is_some() {}
        let Some(&first) = letters.peek() else { return Ok(values) };
        if first == '#' {
            // A comment behind the values.
            return Ok(values);
        }
        let mut value = String::new();
        let mut quoted = false;
        while let Some(letter) = letters.next_if(|letter| quoted || !letter.is_ascii_whitespace()) {
            match letter {
                '"' => quoted = !quoted,
                '\\' if letters.peek().is_some_and(|next| matches!(next, '"' | '\\')) => value.extend(letters.next()),
                _ => value.push(letter),
            }
        }
        if quoted {
            return Err("a quote is not closed");
        }
        values.push(value);
    }
}
