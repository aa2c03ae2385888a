//! The configuration file: the command line's long options, given once. `main` calls [`read`].
//!
//! Keys are options without their dashes. What stands at the top holds for every command that has the option, a table
//! named for a command for that one alone, and what the command line says goes before both:
//!
//! ```toml
//! link = "tap:tap0"
//! timeout = 20
//!
//! [wget]
//! ca = "/etc/ssl/private-ca.pem"
//! header = ["Accept-Language: en"]
//! ```
//!
//! An option in the file is written into the command line in front of the user's own and then read as if he had given it,
//! so that the same rules and the same messages hold.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use super::Cli;

/// More than any configuration needs; less than what a mistaken path could make us swallow.
const LARGEST: u64 = 1 << 20;

/// Options that no file can set: they say what to do, not how.
const NEVER: [&str; 3] = ["config", "help", "version"];

/// Where the file is looked for, in this order; the first that is there is the only one read.
const SYSTEM: &str = "/etc/wharf/config.toml";

/// The command line, completed from the configuration file.
///
/// # Errors
/// What clap says of the command line, or [`ErrorKind::ValueValidation`] with the file, the key and what to do.
pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut cli = Cli::command();
    let given = cli.try_get_matches_from_mut(&arguments)?;
    let path = match given.get_one::<PathBuf>("config") {
        Some(path) if path.as_os_str() == "none" => None,
        Some(path) => Some(path.clone()),
        None => usual_places().into_iter().find(|path| path.exists()),
    };
    let Some(path) = path else { return Cli::from_arg_matches(&given) };
    completed(&mut cli, arguments, &given, &path).map_err(|problem| match problem {
        Problem::File(problem) => cli.error(
            ErrorKind::ValueValidation,
            format!("configuration file {}: {problem} (--config none runs without it)", path.display()),
        ),
        Problem::Together(error) => {
            cli.error(error.kind(), format!("with the configuration file {}: {}", path.display(), plain(&error)))
        }
    })
}

enum Problem {
    File(String),
    Together(clap::Error),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::File(problem)
    }
}

fn usual_places() -> Vec<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    own.map(|own| own.join("wharf/config.toml")).into_iter().chain([PathBuf::from(SYSTEM)]).collect()
}

fn completed(cli: &mut Command, arguments: Vec<OsString>, given: &ArgMatches, path: &Path) -> Result<Cli, Problem> {
    let file = load(path)?;
    check_names(cli, &file)?;
    let Some((name, matches)) = given.subcommand() else {
        return Cli::from_arg_matches(given).map_err(Problem::Together);
    };
    let command = cli.find_subcommand(name).ok_or_else(|| format!("there is no command {name}"))?;
    let mut options = Vec::new();
    let own = file.get(name).and_then(Value::as_table).into_iter().flatten();
    let common = file.iter().filter(|(key, value)| !value.is_table() && own_key(&file, name, key).is_none());
    for (key, value) in own.chain(common) {
        // A key at the top is for the commands that know it.
        let Some(argument) = option(command, key) else { continue };
        if !is_settled(command, argument, matches) {
            written(argument, key, value, &mut options)?;
        }
    }
    // In front of what the user gave, right after the command's name, which --config's value is not.
    let is_command = |at: &usize| arguments[*at] == name && arguments[at - 1] != "--config";
    let at = (1..arguments.len()).find(is_command).map_or(arguments.len(), |at| at + 1);
    let mut all = arguments;
    all.splice(at..at, options);
    let matches = cli.try_get_matches_from_mut(all).map_err(Problem::Together)?;
    Cli::from_arg_matches(&matches).map_err(Problem::Together)
}

/// The value that the command's own table has for `key`.
fn own_key<'a>(file: &'a Table, command: &str, key: &str) -> Option<&'a Value> {
    file.get(command)?.as_table()?.get(key)
}

fn load(path: &Path) -> Result<Table, String> {
    let told = |error: io::Error| format!("it cannot be read: {error}");
    let length = fs::metadata(path).map_err(told)?.len();
    if length > LARGEST {
        return Err(format!("{length} bytes are too many for a configuration; {LARGEST} is the most"));
    }
    let text = fs::read_to_string(path).map_err(told)?;
    text.parse::<Table>().map_err(|error| error.to_string().trim_end().replace('\n', "\n  "))
}

/// Every key is some option's and every table some command's, whichever command runs now: a slip of the pen is found the
/// first time.
fn check_names(cli: &Command, file: &Table) -> Result<(), String> {
    for (key, value) in file {
        match value.as_table() {
            Some(table) => {
                let command = cli.find_subcommand(key).filter(|_| key != "help");
                let command = command.ok_or_else(|| format!("[{key}]: there is no command of that name"))?;
                if let Some(unknown) = table.keys().find(|key| option(command, key).is_none()) {
                    return Err(format!("[{key}]: {unknown} is no option of wharf {key}; see wharf {key} --help"));
                }
            }
            None if !cli.get_subcommands().any(|command| option(command, key).is_some()) => {
                return Err(format!("{key} is no option of any command; see wharf help COMMAND"));
            }
            None => {}
        }
    }
    Ok(())
}

/// The option that `--key` stands for.
fn option<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| argument.get_long() == Some(key) && !NEVER.contains(&key))
}

/// Whether the command line has decided about `argument` by giving it, or one that excludes it.
fn is_settled(command: &Command, argument: &Arg, matches: &ArgMatches) -> bool {
    let is_given = |argument: &Arg| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
    is_given(argument)
        || command.get_arg_conflicts_with(argument).into_iter().any(is_given)
        || command
            .get_arguments()
            .any(|other| is_given(other) && command.get_arg_conflicts_with(other).contains(&argument))
}

/// Appends what the user would have typed for `key = value`.
fn written(argument: &Arg, key: &str, value: &Value, options: &mut Vec<OsString>) -> Result<(), String> {
    let takes_value = !matches!(argument.get_action(), ArgAction::SetTrue | ArgAction::SetFalse | ArgAction::Count);
    match (value, takes_value) {
        (Value::Boolean(false), false) => {}
        (Value::Boolean(true), false) => options.push(format!("--{key}").into()),
        (_, false) => return Err(format!("{key} is either true or false")),
        (Value::Array(values), true) if matches!(argument.get_action(), ArgAction::Append) => {
            for value in values {
                options.push(format!("--{key}={}", plain_value(key, value)?).into());
            }
        }
        (value, true) => options.push(format!("--{key}={}", plain_value(key, value)?).into()),
    }
    Ok(())
}

fn plain_value(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        other => Err(format!("{key} takes no {}", other.type_str())),
    }
}

/// clap's message without its heading and its hint at the usage.
fn plain(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or("").split("\n\nFor more information").next().unwrap_or("");
    text.trim_start_matches("error: ").trim_end().to_owned()
}
