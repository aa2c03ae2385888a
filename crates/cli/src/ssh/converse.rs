//! A remote program and the three streams here, the window's size and signals, until it ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use wharf::ssh::{Event, Exit, Input, Program};

use super::escape::{Escape, Heard};
use super::terminal;

/// A remote program runs, and hears the signals.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// Whether a remote program hears the signals that come here.
pub(super) fn is_under_way() -> bool {
    UNDER_WAY.load(Ordering::Relaxed)
}

/// What is read from standard input at once, in bytes.
const PIECE: usize = 64 << 10;

/// How the conversation is held.
pub(super) struct Manner {
    /// The remote program has a terminal.
    pub(super) terminal: bool,
    /// Read nothing from standard input.
    pub(super) no_input: bool,
    /// What begins an escape, if anything does.
    pub(super) escape: Option<u8>,
}

/// How it ended here.
pub(super) enum End {
    /// As the remote program did.
    Exit(Exit),
    /// The channel closed without a word about it.
    Silent,
    /// A signal here, or the escape, ended it: this status.
    Here(u8),
}

pub(super) async fn converse(mut program: Program, input: Input, manner: Manner) -> io::Result<End> {
    let input = Arc::new(input);
    let raw = if manner.terminal && terminal::is_interactive() { Some(terminal::make_raw()?) } else { None };
    let escape = if raw.is_some() { manner.escape } else { None };
    let mut typing = if manner.no_input {
        let input = Arc::clone(&input);
        tokio::spawn(async move { without_input(&input).await })
    } else {
        let input = Arc::clone(&input);
        tokio::spawn(async move { type_in(&input, escape).await })
    };
    let mut is_typing = true;
    let mut resized = signal(SignalKind::window_change())?;
    let mut signals = Signals::new()?;
    UNDER_WAY.store(true, Ordering::Relaxed);
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    let mut exit = None;
    let mut interrupts = 0;
    let end = loop {
        tokio::select! {
            event = program.next() => match event {
                Some(Event::Output(bytes)) => {
                    if stdout.write_all(&bytes).await.is_err() || stdout.flush().await.is_err() {
                        // Nobody reads any more; the remote program will learn it as the channel closes.
                        break End::Here(255);
                    }
                }
                Some(Event::Errors(bytes)) => {
                    // An end of standard error is no end of the program.
                    let _ = stderr.write_all(&bytes).await;
                    let _ = stderr.flush().await;
                }
                Some(Event::Eof) => {}
                Some(Event::Exit(how)) => exit = Some(how),
                None => break exit.map_or(End::Silent, End::Exit),
            },
            _ = resized.recv(), if manner.terminal => {
                let _ = input.resize(terminal::size()).await;
            }
            outcome = &mut typing, if is_typing => {
                is_typing = false;
                if let Ok(true) = outcome {
                    break End::Here(255);
                }
            }
            (name, status) = signals.next() => {
                let _ = input.signal(name).await;
                interrupts += 1;
                // The remote program may act on the first interrupt; the second, and other signals, end this one.
                if name != "INT" || interrupts > 1 {
                    break End::Here(status);
                }
            }
        }
    };
    UNDER_WAY.store(false, Ordering::Relaxed);
    typing.abort();
    drop(raw);
    Ok(end)
}

/// The signals that concern the remote program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next one: its name, and the status of a program that it ends.
    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.interrupt.recv() => ("INT", 130),
            _ = self.terminate.recv() => ("TERM", 143),
            _ = self.hang_up.recv() => ("HUP", 129),
            _ = self.quit.recv() => ("QUIT", 131),
        }
    }
}

async fn without_input(input: &Input) -> bool {
    let _ = input.end().await;
    false
}

/// Hands standard input on. `true` if the person asked for the end.
async fn type_in(input: &Input, escape: Option<u8>) -> bool {
    let mut stdin = tokio::io::stdin();
    let mut escape = escape.map(Escape::new);
    let mut buffer = vec![0; PIECE];
    loop {
        let length = match stdin.read(&mut buffer).await {
            Ok(0) | Err(_) => {
                let _ = input.end().await;
                return false;
            }
            Ok(length) => length,
        };
        let bytes = match &mut escape {
            None => buffer[..length].to_vec(),
            Some(escape) => match escape.hear(&buffer[..length]) {
                Heard::Bytes(bytes) => bytes,
                Heard::End => return true,
            },
        };
        if !bytes.is_empty() && input.write(bytes.into()).await.is_err() {
            return false;
        }
    }
}
