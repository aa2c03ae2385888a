//! The options of `wharf man` and `wharf completions`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Writes the manual page of a command, or all of them into a folder
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command whose page goes to standard output; without it, that of wharf
    #[arg(conflicts_with = "to")]
    pub(crate) command: Option<String>,
    /// Write every page into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: Option<PathBuf>,
}

pub(super) const MAN_HELP: &str = "\
Examples:
  wharf man wget | man -l -
  wharf man --to /usr/local/share/man/man1

./install.sh does this with the pages of all commands.";

/// Writes what a shell needs to complete wharf's options
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  wharf completions bash

./install.sh puts them where bash, zsh and fish look.";
