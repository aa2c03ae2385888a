//! The `wharf` command: an address, a name and a page through Wharf's own stack.

mod args;
mod bring_up;
mod documents;
mod exit;
mod network;
mod nslookup;
mod output;
mod ping;
mod sftp;
mod ssh;
mod tls;
mod wget;
mod ws;

use std::process::ExitCode;

use serde_json::json;

use crate::args::Command;
use crate::exit::{Failure, Status};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = args::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let (name, json) = cli.command.name_and_json();
    let output = Output::new(json);
    // Timers and signals are tokio's; the sockets are Wharf's, and know nothing of its reactor.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(name, output, &Failure::new(Status::Other, format!("cannot start: {error}"))),
    };
    // Their status is more than ours: the remote command's.
    let command = match cli.command {
        Command::Ssh(args) => {
            let status = runtime.block_on(ssh::run(*args, output));
            runtime.shutdown_background();
            return status;
        }
        Command::Sftp(args) => {
            let status = runtime.block_on(sftp::run(*args, output));
            runtime.shutdown_background();
            return status;
        }
        other => other,
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::BringUp(args) => unless_interrupted(bring_up::run(args, output)).await,
            Command::Wget(args) => unless_interrupted(wget::run(*args, output)).await,
            // It counts what it has when it is interrupted.
            Command::Ping(args) => ping::run(args, output).await,
            Command::Nslookup(args) => unless_interrupted(nslookup::run(args, output)).await,
            // Done above.
            Command::Ssh(_) | Command::Sftp(_) => Ok(()),
            Command::Tls(args) => unless_interrupted(tls::run(args, output)).await,
            // It closes in good order when it is interrupted.
            Command::Ws(args) => ws::run(args, output).await,
            Command::Man(args) => documents::man(&args),
            Command::Completions(args) => documents::completions(&args),
        }
    });
    // What still runs on a thread of its own, as a wait for a lease does, is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(name, output, &failure),
    }
}

/// Ends `command` at Ctrl-C in an orderly way: nothing half done is left behind.
async fn unless_interrupted(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::select! {
        outcome = command => outcome,
        Ok(()) = tokio::signal::ctrl_c() => Err(Failure::new(Status::Interrupted, "interrupted")),
    }
}

fn fail(command: &str, output: Output, failure: &Failure) -> ExitCode {
    if !failure.is_told() {
        output::note(format!("wharf {command}: {failure}"));
        output.object(&json!({ "error": failure.to_string(), "status": failure.status as u8 }));
    }
    failure.status.into()
}
