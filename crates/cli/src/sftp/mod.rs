//! `wharf sftp`: files to and from another host, typed or from a batch.

mod command;
mod complete;
mod listing;
mod moves;
mod part;
mod paths;
mod progress;
mod shell;
mod target;
#[cfg(test)]
mod tests;
mod words;

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use rustyline::error::ReadlineError;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use wharf::ssh::sftp::{Kind, Sftp};

use self::command::{Line, Way};
use self::complete::Completion;
use self::moves::Trouble;
use self::shell::{Next, Shell};
use crate::args;
use crate::network;
use crate::output::{self, Output};
use crate::ssh::login::{LoggedIn, Own, log_in};
use crate::ssh::{OUR_ERROR, ended_by_signal, terminal};

/// A command failed.
const FAILED: u8 = 1;
/// The largest batch, in bytes.
const LONGEST_BATCH: u64 = 16 << 20;

/// Runs it. The status is 0, 1 if a command failed, or 255 for an error before.
pub(crate) async fn run(args: args::Sftp, output: Output) -> ExitCode {
    let outcome = session(args, output).await;
    terminal::restore();
    match outcome {
        Ok(status) => status.into(),
        Err(reason) => {
            output::note(format!("wharf sftp: {reason}"));
            output.object(&json!({ "error": reason, "status": OUR_ERROR }));
            OUR_ERROR.into()
        }
    }
}

async fn session(args: args::Sftp, output: Output) -> Result<u8, String> {
    let (target, path) = target::parse(&args.target)?;
    let batch = match &args.batch {
        None => None,
        Some(file) => Some(read_batch(file)?),
    };
    let starting = async {
        let network = network::bring_up(&args.network).await.map_err(|failure| failure.to_string())?;
        let own = Own {
            target: Some(target),
            port: args.port,
            // A batch runs where nobody watches.
            no_questions: args.batch.is_some(),
            quiet: args.quiet,
            patience: args.network.timeout,
            ..Own::default()
        };
        let logged_in = log_in(&network, &args.login, &own).await.map_err(|trouble| trouble.to_string())?;
        let mut sftp = Sftp::start(&logged_in.session).await.map_err(|error| error.to_string())?;
        if let Some(patience) = args.network.timeout {
            sftp = sftp.with_patience(patience);
        }
        let folder = sftp.real_path(b".").await.map_err(|error| error.to_string())?;
        Ok::<_, String>((network, logged_in, sftp, folder))
    };
    let (_network, logged_in, sftp, folder): (_, LoggedIn, _, _) = tokio::select! {
        outcome = starting => outcome?,
        status = ended_by_signal() => return Ok(status),
    };
    let shell = Shell {
        sftp: Arc::new(sftp),
        folder: Arc::new(Mutex::new(folder)),
        way: Way { recursive: args.recursive, preserve: args.preserve, resume: false },
        requests: args.requests.into(),
        quiet: args.quiet,
        output,
    };
    let working = async {
        if let Some(path) = path
            && let Some(status) = begin(&shell, &path).await
        {
            return status;
        }
        match batch {
            Some(text) => run_batch(&shell, &text, true).await,
            None if io::stdin().is_terminal() => interact(&shell).await,
            None => {
                let mut text = String::new();
                match io::stdin().lock().take(LONGEST_BATCH).read_to_string(&mut text) {
                    Ok(_) => run_batch(&shell, &text, false).await,
                    Err(error) => told(&format!("standard input cannot be read: {error}")),
                }
            }
        }
    };
    let status = tokio::select! {
        status = working => status,
        status = terminated() => status,
    };
    logged_in.close().await;
    Ok(status)
}

/// The status after a signal that ends us; an interrupt is for the command under way.
async fn terminated() -> u8 {
    let (Ok(mut terminate), Ok(mut hang_up)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => 143,
        _ = hang_up.recv() => 129,
    }
}

fn read_batch(file: &std::path::Path) -> Result<String, String> {
    let mut text = String::new();
    let outcome = if file.as_os_str() == "-" {
        io::stdin().lock().take(LONGEST_BATCH).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(LONGEST_BATCH).read_to_string(&mut text))
    };
    outcome.map_err(|error| format!("the batch {} cannot be read: {error}", file.display()))?;
    Ok(text)
}

/// Goes to the folder that the command line names, or fetches the file, which is all then.
async fn begin(shell: &Shell, path: &str) -> Option<u8> {
    let outcome = match shell.sftp.stat(path.as_bytes(), true).await {
        Ok(attributes) if attributes.kind() == Kind::Folder && !shell.way.recursive => {
            match shell.go(path.as_bytes()).await {
                Ok(()) => return None,
                Err(trouble) => Err(trouble),
            }
        }
        _ => uninterrupted(shell.get(shell.way, path, None)).await,
    };
    Some(match outcome {
        Ok(()) => 0,
        Err(trouble) => told(&trouble.to_string()),
    })
}

/// A command, until somebody interrupts it.
async fn uninterrupted<T>(command: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    tokio::select! {
        outcome = command => outcome,
        Ok(()) = tokio::signal::ctrl_c() => Err(Trouble::Refused("interrupted".to_owned())),
    }
}

fn told(text: &str) -> u8 {
    output::note(text);
    FAILED
}

async fn run_batch(shell: &Shell, text: &str, stops: bool) -> u8 {
    let mut status = 0;
    for (index, line) in text.lines().enumerate() {
        let (outcome, may_fail, is_final) = match Line::parse(line) {
            Err(error) => (Err(error), false, false),
            Ok(Line { command, may_fail }) => match uninterrupted(shell.run(command)).await {
                Ok(next) => (Ok(next), may_fail, false),
                Err(trouble) => {
                    let is_final = trouble.is_final();
                    (Err(trouble.to_string()), may_fail, is_final)
                }
            },
        };
        match outcome {
            Ok(Next::More) => {}
            Ok(Next::Quit) => return status,
            Err(error) => {
                output::note(format!("line {}: {error}", index + 1));
                if !may_fail || is_final {
                    status = FAILED;
                }
                if is_final || (stops && !may_fail) {
                    return status;
                }
            }
        }
    }
    status
}

/// Reads lines from a person.
async fn interact(shell: &Shell) -> u8 {
    let completion = Completion {
        sftp: Arc::clone(&shell.sftp),
        folder: Arc::clone(&shell.folder),
        runtime: tokio::runtime::Handle::current(),
    };
    let configuration =
        rustyline::Config::builder().completion_type(rustyline::CompletionType::List).auto_add_history(true).build();
    let mut editor = match rustyline::Editor::<Completion, _>::with_config(configuration) {
        Ok(editor) => editor,
        Err(error) => return told(&format!("the terminal cannot be used: {error}")),
    };
    editor.set_helper(Some(completion));
    // The editor has a raw mode of its own; a signal may end us in it.
    terminal::remember();
    let mut status = 0;
    loop {
        let reading = tokio::task::spawn_blocking(move || {
            let line = editor.readline("sftp> ");
            (editor, line)
        });
        let line = match reading.await {
            Ok((returned, line)) => {
                editor = returned;
                line
            }
            Err(_) => return FAILED,
        };
        let line = match line {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return status,
            Err(error) => return told(&format!("the terminal cannot be read: {error}")),
        };
        let outcome = match Line::parse(&line) {
            Err(error) => Err(Trouble::Refused(error)),
            Ok(Line { command, .. }) => uninterrupted(shell.run(command)).await,
        };
        match outcome {
            Ok(Next::More) => status = 0,
            Ok(Next::Quit) => return status,
            Err(trouble) => {
                status = told(&trouble.to_string());
                if trouble.is_final() {
                    return status;
                }
            }
        }
    }
}
