//! One line of a batch or of what is typed, as words.

/// Splits `line` at spaces; `'…'`, `"…"` and `\` keep them. A `#` at the start of a word begins a comment.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        match letters.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(letter) = letters.next_if(|letter| quote.is_some() || !letter.is_whitespace()) {
            match (letter, quote) {
                ('\\', None | Some('"')) => word.push(letters.next().ok_or("the line ends after \\")?),
                (letter, Some(open)) if letter == open => quote = None,
                ('\'' | '"', None) => quote = Some(letter),
                (letter, _) => word.push(letter),
            }
        }
        if let Some(open) = quote {
            return Err(format!("a {open} is not closed"));
        }
        words.push(word);
    }
}

/// `word` written so that [`split`] gives it back.
pub(super) fn quoted(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for letter in word.chars() {
        if letter.is_whitespace() || matches!(letter, '\'' | '"' | '\\' | '#') {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}
