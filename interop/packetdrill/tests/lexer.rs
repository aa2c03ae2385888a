//! Words of a script.

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// `--name`, with what follows up to the end of the line.
    Option(String),
    /// A name: letters, digits and underscores, not digits alone.
    Word(String),
    Integer(i64),
    /// A number with a point; the text too, since `.5` can be flags.
    Decimal(f64, String),
    /// Between double quotes.
    Text(String),
    /// Between back quotes: a command for the shell.
    Command(String),
    /// Between `%{` and `}%`.
    Code(String),
    /// `...`
    Ellipsis,
    /// Anything else.
    Mark(char),
}

/// A word and the line it is on.
pub(crate) type Placed = (usize, Token);

/// Takes a script apart.
pub(crate) fn tokens(text: &str) -> Result<Vec<Placed>, String> {
    let mut lexer = Lexer { rest: text, line: 1, out: Vec::new() };
    while lexer.step()? {}
    Ok(lexer.out)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    out: Vec<Placed>,
}

impl Lexer<'_> {
    fn skip(&mut self, len: usize) {
        self.line += self.rest[..len].matches('\n').count();
        self.rest = &self.rest[len..];
    }

    fn push(&mut self, token: Token, len: usize) {
        self.out.push((self.line, token));
        self.skip(len);
    }

    /// The text up to `close`, which must come.
    fn until(&self, open: usize, close: &str) -> Result<(String, usize), String> {
        let end = self.rest[open..].find(close).ok_or(format!("{}: no {close} follows", self.line))?;
        Ok((self.rest[open..open + end].to_string(), open + end + close.len()))
    }

    fn step(&mut self) -> Result<bool, String> {
        let Some(first) = self.rest.chars().next() else { return Ok(false) };
        let line_end = self.rest.find('\n').unwrap_or(self.rest.len());
        let digits = |from: &str| from.bytes().take_while(u8::is_ascii_digit).count();
        if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else if self.rest.starts_with("//") {
            self.skip(line_end);
        } else if self.rest.starts_with("/*") {
            let (_, len) = self.until(2, "*/")?;
            self.skip(len);
        } else if self.rest.starts_with("%{") {
            let (code, len) = self.until(2, "}%")?;
            self.push(Token::Code(code.trim().to_string()), len);
        } else if self.rest.starts_with("--") {
            self.push(Token::Option(self.rest[2..line_end].trim().to_string()), line_end);
        } else if self.rest.starts_with("...") {
            self.push(Token::Ellipsis, 3);
        } else if first == '"' {
            let (text, len) = self.until(1, "\"")?;
            self.push(Token::Text(text), len);
        } else if first == '`' {
            let (text, len) = self.until(1, "`")?;
            self.push(Token::Command(text), len);
        } else if first.is_ascii_alphanumeric() || first == '_' || first == '-' || first == '.' {
            let sign = usize::from(first == '-');
            let whole = sign + digits(&self.rest[sign..]);
            let word = self.rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            let after = &self.rest[whole..];
            let fraction = after.strip_prefix('.').map_or(0, digits);
            if word > whole {
                self.word(word)?;
            } else if fraction > 0 {
                let len = whole + 1 + fraction;
                let text = self.rest[..len].to_string();
                let number = text.parse().map_err(|_| format!("{}: {text} is no number", self.line))?;
                self.push(Token::Decimal(number, text), len);
            } else if whole > sign {
                let text = &self.rest[..whole];
                let number = text.parse().map_err(|_| format!("{}: {text} is too large", self.line))?;
                self.push(Token::Integer(number), whole);
            } else {
                self.push(Token::Mark(first), 1);
            }
        } else {
            self.push(Token::Mark(first), first.len_utf8());
        }
        Ok(true)
    }

    fn word(&mut self, len: usize) -> Result<(), String> {
        let text = &self.rest[..len];
        let token = match text.strip_prefix("0x").map(|hex| i64::from_str_radix(hex, 16)) {
            Some(number) => Token::Integer(number.map_err(|_| format!("{}: {text} is no number", self.line))?),
            None => Token::Word(text.to_string()),
        };
        self.push(token, len);
        Ok(())
    }
}
