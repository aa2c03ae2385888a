//! A script that was read.

use crate::packet::Expected;

/// A whole script.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// What `--so_flags` in its first lines says.
    pub flags: String,
    pub events: Vec<Event>,
}

/// A line of it.
#[derive(Debug)]
pub(crate) struct Event {
    pub line: usize,
    pub when: When,
    pub action: Action,
}

/// When it happens, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// From the beginning of the script: at the earliest, and at the latest.
    Absolute(i64, i64),
    /// From the event before.
    Relative(i64, i64),
    /// Whenever it does.
    Any,
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Action {
    /// The peer sends.
    Inject(Expected),
    /// The stack sends.
    Expect(Expected),
    Call(Call),
    /// Assertions about TCP_INFO.
    Check(String),
}

/// A system call.
#[derive(Debug)]
pub(crate) struct Call {
    pub name: String,
    pub arguments: Vec<Value>,
    pub result: i64,
    pub error: Option<i32>,
    /// For a call that blocks: when it returns, on the same scale as its beginning.
    pub returns: Option<i64>,
}

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Ellipsis,
    Number(i64),
    Text(String),
    List(Vec<Value>),
    /// `{name = value, ...}`; a part without a name has an empty one.
    Record(Vec<(String, Value)>),
}

impl Value {
    /// The number that it is.
    pub(crate) fn number(&self) -> Result<i64, String> {
        match self {
            Self::Number(number) => Ok(*number),
            // [1]: a pointer to it.
            Self::List(values) if values.len() == 1 => values[0].number(),
            other => Err(format!("a number was expected, not {other:?}")),
        }
    }

    /// A part of a record.
    pub(crate) fn part(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Record(parts) => parts.iter().find(|(other, _)| other == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The elements of a list.
    pub(crate) fn list(&self) -> Result<&[Value], String> {
        match self {
            Self::List(values) => Ok(values),
            other => Err(format!("a list was expected, not {other:?}")),
        }
    }
}
