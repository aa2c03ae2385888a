//! `wharf ssh`: a command or a shell on another host, and forwarded ports.

mod converse;
mod escape;
mod forwards;
pub(crate) mod login;
mod socks;
mod standard;
pub(crate) mod terminal;
#[cfg(test)]
mod tests;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use wharf::ssh::config::Settings;
use wharf::ssh::{Exit, Session};

use self::converse::{End, Manner, converse};
use self::forwards::{Forwards, Way};
use self::login::{LoggedIn, Own, log_in};
use crate::args;
use crate::network;
use crate::output::{self, Output};

/// Our own errors, as ssh(1) tells them from the remote command's.
pub(crate) const OUR_ERROR: u8 = 255;

/// Variables that are looked at for `SendEnv`.
const MOST_VARIABLES: usize = 1000;

/// Runs it. The status is the remote command's, or 255 for an error of our own.
pub(crate) async fn run(args: args::Ssh, output: Output) -> ExitCode {
    let outcome = tokio::select! {
        outcome = session(args) => outcome,
        // Until a remote program runs, these end this one; then it hears them itself.
        status = ended_by_signal() => Ok(status),
    };
    // Also what a question left behind on another thread.
    terminal::restore();
    match outcome {
        Ok(status) => status.into(),
        Err(reason) => {
            output::note(format!("wharf ssh: {reason}"));
            output.object(&json!({ "error": reason, "status": OUR_ERROR }));
            OUR_ERROR.into()
        }
    }
}

/// The status after a signal that ends us, once one has come and no conversation takes it.
pub(crate) async fn ended_by_signal() -> u8 {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    loop {
        let status = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            _ = hang_up.recv() => 129,
        };
        if !converse::is_under_way() {
            return status;
        }
    }
}

async fn session(args: args::Ssh) -> Result<u8, String> {
    let network = network::bring_up(&args.network).await.map_err(|failure| failure.to_string())?;
    let own = Own {
        target: Some(args.target.clone()),
        port: args.port,
        user: args.user.clone(),
        patience: args.network.timeout,
        ..Own::default()
    };
    let logged_in = log_in(&network, &args.login, &own).await.map_err(|trouble| trouble.to_string())?;
    let LoggedIn { session, settings, .. } = &logged_in;
    if let Some(place) = &args.standard {
        let outcome = standard::carry(session, place).await;
        logged_in.close().await;
        return outcome;
    }
    if let Some(socket) = logged_in.agent_for(args.forward_agent, args.no_forward_agent)? {
        session.forward_agent(socket);
    }
    let way = Way { net: network.net.clone(), resolver: Arc::new(network.resolver) };
    forwards(&args, settings).start(session, way).await?;
    let outcome = if args.no_session || settings.no_session == Some(true) {
        session.ended().await;
        Err(format!("the connection is gone: {}", session.end().unwrap_or_default()))
    } else {
        converse_with(session, &args, settings).await
    };
    logged_in.close().await;
    outcome
}

fn forwards(args: &args::Ssh, settings: &Settings) -> Forwards {
    let both = |mut given: Vec<_>, configured: &[_]| {
        given.extend_from_slice(configured);
        given
    };
    let mut dynamic = args.dynamic.clone();
    dynamic.extend_from_slice(&settings.dynamic_forwards);
    Forwards {
        local: both(args.local.clone(), &settings.local_forwards),
        remote: both(args.remote.clone(), &settings.remote_forwards),
        dynamic,
        gateway_ports: args.gateway_ports || settings.gateway_ports == Some(true),
        all_or_nothing: settings.exit_on_forward_failure == Some(true),
    }
}

async fn converse_with(session: &Session, args: &args::Ssh, settings: &Settings) -> Result<u8, String> {
    let command = match args.command.as_slice() {
        [] => settings.remote_command.clone().filter(|command| command != "none"),
        words => Some(words.join(" ")),
    };
    let terminal = wants_terminal(args, settings, command.is_some()).then(terminal::description);
    let environment = environment(settings);
    let started = match &command {
        Some(command) => session.exec(command.as_bytes(), terminal.as_ref(), &environment).await,
        None => session.shell(terminal.as_ref(), &environment).await,
    };
    let (program, input) = started.map_err(|error| error.to_string())?;
    let manner =
        Manner { terminal: terminal.is_some(), no_input: args.no_input, escape: settings.escape.unwrap_or(Some(b'~')) };
    match converse(program, input, manner).await.map_err(|error| error.to_string())? {
        // The status of a process has eight bits.
        End::Exit(Exit::Status(status)) => Ok((status & 0xff) as u8),
        End::Exit(Exit::Signal { name, message }) => {
            let message = if message.is_empty() { message } else { format!(": {message}") };
            Err(format!("the remote program died of SIG{name}{message}"))
        }
        End::Silent => Err(format!(
            "the connection is gone: {}",
            session.end().unwrap_or_else(|| "the server closed the channel without a status".to_owned())
        )),
        End::Here(status) => Ok(status),
    }
}

fn wants_terminal(args: &args::Ssh, settings: &Settings, has_command: bool) -> bool {
    let here = terminal::is_interactive();
    match (args.no_terminal, args.terminal, settings.request_tty) {
        (true, ..) | (_, 0, Some(Some(false))) => false,
        (_, 2.., _) => true,
        (_, 1, _) | (_, 0, Some(Some(true))) => here,
        (_, 0, _) => here && !has_command,
    }
}

/// What the remote program's environment should have: `SetEnv`, then ours that `SendEnv` names.
fn environment(settings: &Settings) -> Vec<(String, String)> {
    let mut variables = settings.set_env.clone();
    for (name, value) in env::vars_os().take(MOST_VARIABLES) {
        let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else { continue };
        if settings.sends(&name) && !variables.iter().any(|(set, _)| *set == name) {
            variables.push((name, value));
        }
    }
    variables
}
