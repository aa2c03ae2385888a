//! What can be asked for, as it is typed.

use super::words;

/// A command with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Nothing,
    Help,
    Quit,
    Where,
    LocalWhere,
    Go(Option<String>),
    LocalGo(String),
    List { long: bool, paths: Vec<String> },
    LocalList(Option<String>),
    Get { way: Way, from: String, to: Option<String> },
    Put { way: Way, from: String, to: Option<String> },
    Remove { recursive: bool, paths: Vec<String> },
    MakeFolder(String),
    LocalMakeFolder(String),
    RemoveFolder(String),
    Rename(String, String),
    Link { symbolic: bool, target: String, link: String },
    Stat { path: String, follow: bool },
    Mode(u32, String),
    Room(Option<String>),
}

/// How files are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) recursive: bool,
    pub(super) preserve: bool,
    pub(super) resume: bool,
}

/// A line: the command, and whether it may fail without ending a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) command: Command,
    pub(super) may_fail: bool,
}

/// The names of all commands, for completion.
pub(super) const NAMES: [&str; 27] = [
    "bye", "cd", "chmod", "df", "exit", "get", "help", "lcd", "lls", "lmkdir", "ln", "lpwd", "ls", "lstat", "mkdir",
    "mv", "put", "pwd", "quit", "reget", "rename", "reput", "rm", "rmdir", "stat", "symlink", "?",
];

pub(super) const HELP: &str = "\
cd [PATH]               go to a folder there          lcd PATH    the same here
pwd                     the folder there              lpwd        the folder here
ls [-l] [PATH...]       what is in it                 lls [PATH]  the same here
get [-r] [-p] FROM [TO] fetch a file (-r: a folder, -p: keep times and permissions)
put [-r] [-p] FROM [TO] send one
reget, reput            the same, going on where it was interrupted
rm [-r] PATH...         remove files (-r: folders too)
mkdir, rmdir PATH       make or remove a folder       lmkdir PATH
mv FROM TO              rename
ln [-s] TARGET LINK     link
stat, lstat PATH        what is known of a file
chmod MODE PATH         set its permissions, in octal
df [PATH]               the room that is left
quit                    end
Names may be quoted; * and ? stand for several names in get, put, ls and rm.";

/// Options that begin with `-`, of which `known` are.
fn options(words: &mut Vec<String>, known: &str) -> Result<String, String> {
    let mut given = String::new();
    while let Some(letters) = words.first().and_then(|word| word.strip_prefix('-')).filter(|rest| !rest.is_empty()) {
        let letters = letters.to_owned();
        words.remove(0);
        if letters == "-" {
            break;
        }
        for letter in letters.chars() {
            if !known.contains(letter) {
                return Err(format!("-{letter} is not known here"));
            }
            given.push(letter);
        }
    }
    Ok(given)
}

fn one(words: Vec<String>, what: &str) -> Result<String, String> {
    <[String; 1]>::try_from(words).map(|[one]| one).map_err(|_| format!("it takes {what}"))
}

fn two(words: Vec<String>, what: &str) -> Result<(String, String), String> {
    <[String; 2]>::try_from(words).map(|[first, second]| (first, second)).map_err(|_| format!("it takes {what}"))
}

fn at_most_one(words: Vec<String>) -> Result<Option<String>, String> {
    if words.len() > 1 { Err("it takes one path at most".to_owned()) } else { Ok(words.into_iter().next()) }
}

fn moved(mut words: Vec<String>, resume: bool) -> Result<(Way, String, Option<String>), String> {
    let options = options(&mut words, "rpaPR")?;
    let is_given = |letters: [char; 2]| options.contains(letters);
    let way = Way {
        recursive: is_given(['r', 'R']),
        preserve: is_given(['p', 'P']),
        resume: resume || options.contains('a'),
    };
    let mut words = words.into_iter();
    match (words.next(), words.next(), words.next()) {
        (Some(from), to, None) => Ok((way, from, to)),
        _ => Err("it takes a path, and perhaps one to move it to".to_owned()),
    }
}

impl Line {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let (may_fail, line) = match line.trim_start().strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let mut words = words::split(line)?;
        if words.is_empty() {
            return Ok(Self { command: Command::Nothing, may_fail });
        }
        let name = words.remove(0);
        let command = Self::command(&name, words).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { command, may_fail })
    }

    fn command(name: &str, mut words: Vec<String>) -> Result<Command, String> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "help" | "?" => Command::Help,
            "quit" | "bye" | "exit" => Command::Quit,
            "pwd" => Command::Where,
            "lpwd" => Command::LocalWhere,
            "cd" => Command::Go(at_most_one(words)?),
            "lcd" => Command::LocalGo(one(words, "a folder")?),
            "ls" => {
                let options = options(&mut words, "l1a")?;
                Command::List { long: options.contains('l'), paths: words }
            }
            "lls" => Command::LocalList(at_most_one(words)?),
            "get" | "reget" => {
                let (way, from, to) = moved(words, name.eq_ignore_ascii_case("reget"))?;
                Command::Get { way, from, to }
            }
            "put" | "reput" => {
                let (way, from, to) = moved(words, name.eq_ignore_ascii_case("reput"))?;
                Command::Put { way, from, to }
            }
            "rm" => {
                let options = options(&mut words, "rf")?;
                if words.is_empty() {
                    return Err("it takes a path".to_owned());
                }
                Command::Remove { recursive: options.contains('r'), paths: words }
            }
            "mkdir" => Command::MakeFolder(one(words, "a path")?),
            "lmkdir" => Command::LocalMakeFolder(one(words, "a path")?),
            "rmdir" => Command::RemoveFolder(one(words, "a path")?),
            "mv" | "rename" => {
                let (from, to) = two(words, "two paths")?;
                Command::Rename(from, to)
            }
            "ln" | "symlink" => {
                let symbolic = name.eq_ignore_ascii_case("symlink") || options(&mut words, "s")?.contains('s');
                let (target, link) = two(words, "a target and a link")?;
                Command::Link { symbolic, target, link }
            }
            "stat" => Command::Stat { path: one(words, "a path")?, follow: true },
            "lstat" => Command::Stat { path: one(words, "a path")?, follow: false },
            "chmod" => {
                let (mode, path) = two(words, "a mode and a path")?;
                let mode = u32::from_str_radix(&mode, 8).ok().filter(|mode| *mode <= 0o7777);
                Command::Mode(mode.ok_or("the mode is octal, such as 644")?, path)
            }
            "df" => {
                let _ = options(&mut words, "h")?;
                Command::Room(at_most_one(words)?)
            }
            _ => return Err("there is no such command; help lists them".to_owned()),
        })
    }
}
