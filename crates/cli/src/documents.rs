//! `wharf man` and `wharf completions`: what is generated from the command line's own definition, for people and shells.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};

use crate::args::{Cli, Completions, Man};
use crate::exit::{Failure, Status};

/// Writes the completions of a shell to standard output.
pub(crate) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wharf", &mut text);
    to_stdout(&text)
}

/// Writes one manual page to standard output, or all of them into a folder.
pub(crate) fn man(args: &Man) -> Result<(), Failure> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    if let Some(folder) = &args.to {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        for (name, command) in pages(&cli) {
            let path = folder.join(format!("{name}.1"));
            fs::write(&path, page(&name, command)?).map_err(|error| unwritable(&path, &error))?;
        }
        return Ok(());
    }
    let wanted = args.command.as_ref().map_or("wharf".to_owned(), |command| format!("wharf-{command}"));
    match pages(&cli).find(|(name, _)| *name == wanted) {
        Some((name, command)) => to_stdout(&page(&name, command)?),
        None => {
            Err(Failure::usage(format!("there is no command {}; wharf --help lists them", &wanted["wharf-".len()..])))
        }
    }
}

/// The pages: `wharf`, and `wharf-COMMAND` for each command.
fn pages(cli: &Command) -> impl Iterator<Item = (String, Command)> {
    let commands = cli.get_subcommands().filter(|command| !command.is_hide_set());
    let each = commands.map(|command| (format!("wharf-{}", command.get_name()), command.clone()));
    std::iter::once(("wharf".to_owned(), cli.clone())).chain(each).collect::<Vec<_>>().into_iter()
}

fn page(name: &str, command: Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut text)
        .map_err(|error| Failure::new(Status::Other, format!("the page of {name}: {error}")))?;
    Ok(text)
}

fn to_stdout(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(Status::File, format!("file: standard output takes no more: {error}")))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Status::File, format!("file: {} cannot be written: {error}", path.display()))
}
