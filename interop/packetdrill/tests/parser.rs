//! The part of packetdrill's language that our scripts use. What is not understood is an error with its line.

use crate::lexer::{Placed, Token, tokens};
use crate::packet::{self, Body, Error, Expected, Segment, Tos};
use crate::script::{Action, Call, Event, Script, Value, When};
use crate::symbols::constant;
use crate::tcp_options::{self as kinds, Options};

/// Reads a script.
pub(crate) fn parse(text: &str) -> Result<Script, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0 };
    let mut script = Script::default();
    while let Some(Token::Option(option)) = parser.peek() {
        let option = option.clone();
        parser.at += 1;
        match option.split_once('=') {
            Some(("so_flags", value)) => script.flags = value.trim_matches('"').to_string(),
            // What only concerns how packetdrill looks at things.
            Some(("tolerance_usecs", _)) => {}
            _ => return Err(format!("{}: --{option} is not understood", parser.line())),
        }
    }
    while parser.peek().is_some() {
        let event = parser.event().map_err(|error| format!("{}: {error}", parser.line()))?;
        script.events.push(event);
    }
    Ok(script)
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
}

impl Parser {
    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |(line, _)| *line)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("the script ends in the middle")?;
        self.at += 1;
        Ok(token)
    }

    /// Takes the mark if it comes next.
    fn mark(&mut self, mark: char) -> bool {
        let there = self.peek() == Some(&Token::Mark(mark));
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, mark: char) -> Result<(), String> {
        if self.mark(mark) { Ok(()) } else { Err(format!("'{mark}' was expected before {:?}", self.peek())) }
    }

    /// Takes the word if it comes next.
    fn word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Word(next)) if next == word);
        self.at += usize::from(there);
        there
    }

    fn integer<T: TryFrom<i64>>(&mut self) -> Result<T, String> {
        match self.next()? {
            Token::Integer(number) => T::try_from(number).map_err(|_| format!("{number} is out of range")),
            other => Err(format!("a number was expected, not {other:?}")),
        }
    }

    /// A time in microseconds.
    fn time(&mut self) -> Result<i64, String> {
        match self.next()? {
            Token::Integer(seconds) => Ok(seconds * 1_000_000),
            Token::Decimal(seconds, _) => Ok((seconds * 1e6).round() as i64),
            other => Err(format!("a time was expected, not {other:?}")),
        }
    }

    fn event(&mut self) -> Result<Event, String> {
        let line = self.line();
        let when = if self.mark('*') {
            When::Any
        } else {
            let relative = self.mark('+');
            let from = self.time()?;
            let to = if self.mark('~') {
                if relative {
                    self.expect('+')?;
                }
                self.time()?
            } else {
                from
            };
            if relative { When::Relative(from, to) } else { When::Absolute(from, to) }
        };
        let returns = if self.peek() == Some(&Token::Ellipsis) {
            self.at += 1;
            Some(self.time()?)
        } else {
            None
        };
        let action = match self.next()? {
            Token::Mark('<') => Action::Inject(self.packet()?),
            Token::Mark('>') => Action::Expect(self.packet()?),
            Token::Code(code) => Action::Check(code),
            Token::Word(name) => Action::Call(self.call(name, returns)?),
            other => return Err(format!("{other:?} is not understood")),
        };
        Ok(Event { line, when, action })
    }

    // --- packets ---

    fn packet(&mut self) -> Result<Expected, String> {
        let (mut tos, mut ttl) = (None, None);
        if self.mark('[') || self.mark('(') {
            match self.next()? {
                Token::Word(word) if word == "noecn" => tos = Some(Tos::Ecn(0)),
                Token::Word(word) if word == "ect1" => tos = Some(Tos::Ecn(1)),
                Token::Word(word) if word == "ect0" => tos = Some(Tos::Ecn(2)),
                Token::Word(word) if word == "ce" => tos = Some(Tos::Ecn(3)),
                Token::Word(word) if word == "tos" => tos = Some(Tos::Whole(self.integer()?)),
                Token::Word(word) if word == "ttl" => ttl = Some(self.integer()?),
                other => return Err(format!("{other:?} is no property of an IP header")),
            }
            if !self.mark(']') {
                self.expect(')')?;
            }
        }
        let body = if self.word("icmp") { Body::Icmp(self.icmp()?) } else { Body::Tcp(self.segment()?) };
        Ok(Expected { tos, ttl, body })
    }

    fn segment(&mut self) -> Result<Segment, String> {
        let ports = match (self.peek(), self.tokens.get(self.at + 1).map(|(_, token)| token)) {
            (Some(Token::Integer(_)), Some(Token::Mark('>'))) => {
                let from = self.integer()?;
                self.at += 1;
                Some((from, self.integer()?))
            }
            _ => None,
        };
        let flags = self.flags()?;
        let (seq, len) = self.sequence()?;
        let ack = if self.word("ack") { self.integer()? } else { 0 };
        let window = if self.word("win") { Some(self.integer()?) } else { None };
        let urgent = if self.word("urg") { self.integer()? } else { 0 };
        let options = if self.mark('<') { self.options()? } else { Some(Options::default()) };
        Ok(Segment { ports, flags, seq, len, ack, window, urgent, options })
    }

    fn flags(&mut self) -> Result<u16, String> {
        let mut flags = 0;
        if let Some(Token::Word(letters)) = self.peek() {
            flags = packet::flags(letters).ok_or(format!("{letters} are no flags"))?;
            self.at += 1;
        }
        match self.peek() {
            Some(Token::Mark('.')) => flags |= packet::ACK,
            Some(Token::Mark('-')) => {}
            // RFC 9768: ".5" is ACK, and the three bits of the ACE counter.
            Some(Token::Decimal(_, text)) => {
                let ace: u16 =
                    text.trim_start_matches('.').parse().ok().filter(|ace| *ace < 8).ok_or("no ACE counter")?;
                flags |= packet::ACK | ace << 6;
            }
            _ => return Ok(flags),
        }
        self.at += 1;
        Ok(flags)
    }

    /// `1:1001(1000)`
    fn sequence(&mut self) -> Result<(u32, u16), String> {
        let start: u32 = self.integer()?;
        self.expect(':')?;
        let end: u32 = self.integer()?;
        self.expect('(')?;
        let len: u16 = self.integer()?;
        self.expect(')')?;
        if end.wrapping_sub(start) != u32::from(len) {
            return Err(format!("{start}:{end} is not {len} bytes long"));
        }
        Ok((start, len))
    }

    fn options(&mut self) -> Result<Option<Options>, String> {
        if self.peek() == Some(&Token::Ellipsis) {
            self.at += 1;
            self.expect('>')?;
            return Ok(None);
        }
        let mut options = Options::default();
        loop {
            match self.next()? {
                Token::Word(name) => self.option(&name, &mut options)?,
                other => return Err(format!("{other:?} is no TCP option")),
            }
            if self.mark('>') {
                break;
            }
            self.expect(',')?;
        }
        if options.bytes.len() % 4 != 0 {
            return Err("the options are not padded to a multiple of four bytes".into());
        }
        Ok(Some(options))
    }

    fn option(&mut self, name: &str, options: &mut Options) -> Result<(), String> {
        match name {
            "nop" => options.bytes.push(kinds::NOP),
            "eol" => options.bytes.push(kinds::END),
            "mss" => options.push(kinds::MSS, &self.integer::<u16>()?.to_be_bytes()),
            "wscale" => options.push(kinds::WINDOW_SCALE, &[self.integer()?]),
            "sackOK" => options.push(kinds::SACK_PERMITTED, &[]),
            "TS" => {
                if !self.word("val") {
                    return Err("TS has no val".into());
                }
                let value: u32 = self.integer()?;
                if !self.word("ecr") {
                    return Err("TS has no ecr".into());
                }
                let echo: u32 = self.integer()?;
                options.push(kinds::TIMESTAMPS, &[value.to_be_bytes(), echo.to_be_bytes()].concat());
            }
            "sack" => {
                let mut blocks = Vec::new();
                while let Some(Token::Integer(_)) = self.peek() {
                    blocks.extend_from_slice(&self.integer::<u32>()?.to_be_bytes());
                    self.expect(':')?;
                    blocks.extend_from_slice(&self.integer::<u32>()?.to_be_bytes());
                }
                options.push(kinds::SACK, &blocks);
            }
            "FO" => {
                let cookie = match self.peek() {
                    Some(Token::Word(hex)) => hex.clone(),
                    Some(Token::Integer(digits)) => digits.to_string(),
                    _ => String::new(),
                };
                self.at += usize::from(!cookie.is_empty());
                let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                let bytes: Option<Vec<u8>> = cookie.as_bytes().chunks(2).map(byte).collect();
                options.push(kinds::FAST_OPEN, &bytes.ok_or("no cookie in hexadecimal")?);
            }
            other => return Err(format!("the TCP option {other} is not understood")),
        }
        Ok(())
    }

    fn icmp(&mut self) -> Result<Error, String> {
        let Token::Word(kind) = self.next()? else { return Err("an ICMP type was expected".into()) };
        let mut code = String::new();
        if let Some(Token::Word(word)) = self.peek()
            && word != "mtu"
        {
            code.clone_from(word);
            self.at += 1;
        }
        let codes = ["net_unreachable", "host_unreachable", "protocol_unreachable", "port_unreachable", "frag_needed"];
        let (kind, code) = match (kind.as_str(), code.as_str()) {
            ("unreachable", "admin_prohibited") => (3, 13),
            ("unreachable", code) => match codes.iter().position(|other| *other == code) {
                Some(at) => (3, at as u8),
                None => return Err(format!("the ICMP code {code} is not understood")),
            },
            ("source_quench", "") => (4, 0),
            ("time_exceeded", "") => (11, 0),
            ("parameter_problem", "") => (12, 0),
            (kind, _) => return Err(format!("the ICMP type {kind} is not understood")),
        };
        let mtu = if self.word("mtu") { self.integer()? } else { 0 };
        let (mut seq, mut len) = (0, 0);
        if self.mark('[') {
            (seq, len) = self.sequence()?;
            self.expect(']')?;
        }
        Ok(Error { kind, code, mtu, seq, len })
    }

    // --- calls ---

    fn call(&mut self, name: String, returns: Option<i64>) -> Result<Call, String> {
        self.expect('(')?;
        let arguments = self.values(')')?;
        self.expect('=')?;
        let result = self.value()?.number()?;
        let error = match self.peek() {
            Some(Token::Word(word)) if word.starts_with('E') => {
                let number = constant(word)?;
                self.at += 1;
                Some(i32::try_from(number).map_err(|error| error.to_string())?)
            }
            _ => None,
        };
        if self.mark('(') {
            while !self.mark(')') {
                self.next()?;
            }
        }
        Ok(Call { name, arguments, result, error, returns })
    }

    /// Values between commas, up to and with `close`.
    fn values(&mut self, close: char) -> Result<Vec<Value>, String> {
        let mut values = Vec::new();
        while !self.mark(close) {
            values.push(self.value()?);
            if !self.mark(',') {
                self.expect(close)?;
                break;
            }
        }
        Ok(values)
    }

    fn value(&mut self) -> Result<Value, String> {
        let mut value = match self.next()? {
            Token::Ellipsis => Value::Ellipsis,
            Token::Integer(number) => Value::Number(number),
            Token::Word(name) => Value::Number(constant(&name)?),
            Token::Text(text) => {
                // "abc"...: the beginning of what is longer.
                self.at += usize::from(self.peek() == Some(&Token::Ellipsis));
                Value::Text(text)
            }
            Token::Mark('[') => Value::List(self.values(']')?),
            Token::Mark('{') => self.record()?,
            other => return Err(format!("{other:?} is no value")),
        };
        while self.mark('|') {
            value = Value::Number(value.number()? | self.value()?.number()?);
        }
        Ok(value)
    }

    fn record(&mut self) -> Result<Value, String> {
        let mut parts = Vec::new();
        while !self.mark('}') {
            let name = match (self.peek(), self.tokens.get(self.at + 1).map(|(_, token)| token)) {
                (Some(Token::Word(name)), Some(Token::Mark('=' | '('))) => {
                    let name = name.clone();
                    self.at += 1;
                    if self.mark('(') {
                        self.values(')')?;
                    }
                    self.expect('=')?;
                    name
                }
                _ => String::new(),
            };
            parts.push((name, self.value()?));
            if !self.mark(',') {
                self.expect('}')?;
                break;
            }
        }
        Ok(Value::Record(parts))
    }
}
