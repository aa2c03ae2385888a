//! The terminal: questions on it without echo, its raw mode, its size and modes; and its way back, whatever happens.
//!
//! What was changed is remembered here once for the process, so that [`restore`] can be called from every way out.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use wharf::ssh::{self, Questions};

use crate::output;

/// The terminal as it was, while it is not.
static CHANGED: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Ctrl-C as a letter.
const INTERRUPT: u8 = 3;
/// The longest answer, in bytes.
const LONGEST: usize = 4096;

/// Puts the terminal back as it was found. Harmless where nothing was changed.
pub(crate) fn restore() {
    if let Some((terminal, modes)) = CHANGED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Nothing can be done about a terminal that went away.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &modes);
    }
}

/// Remembers the terminal as it is now, for [`restore`].
pub(crate) fn remember() {
    let mut changed = CHANGED.lock().unwrap_or_else(PoisonError::into_inner);
    if changed.is_none()
        && let Ok(terminal) = rustix::io::dup(io::stdin())
        && let Ok(modes) = tcgetattr(&terminal)
    {
        *changed = Some((File::from(terminal), modes));
    }
}

/// Puts the terminal back when it goes.
pub(crate) struct Changed(());

impl Drop for Changed {
    fn drop(&mut self) {
        restore();
    }
}

fn change(terminal: &File, how: impl FnOnce(&mut Termios)) -> io::Result<Changed> {
    let mut changed = CHANGED.lock().unwrap_or_else(PoisonError::into_inner);
    let before = tcgetattr(terminal)?;
    let mut after = before.clone();
    how(&mut after);
    // First the way back, then the change.
    if changed.is_none() {
        *changed = Some((terminal.try_clone()?, before));
    }
    tcsetattr(terminal, OptionalActions::Now, &after)?;
    Ok(Changed(()))
}

/// Hands every key on as it is, until what is returned goes.
pub(crate) fn make_raw() -> io::Result<Changed> {
    let terminal = File::from(rustix::io::dup(io::stdin())?);
    change(&terminal, Termios::make_raw)
}

/// The size of the terminal at standard input, or at another of the standard streams.
pub(crate) fn size() -> (u32, u32) {
    let size =
        tcgetwinsize(io::stdin()).or_else(|_| tcgetwinsize(io::stdout())).or_else(|_| tcgetwinsize(io::stderr()));
    size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}

/// What a remote program is told of the terminal here.
pub(crate) fn description() -> ssh::Terminal {
    let kind = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let modes = tcgetattr(io::stdin()).map(|modes| encoded(&modes)).unwrap_or_default();
    ssh::Terminal { kind, size: size(), modes }
}

/// The modes as RFC 4254 section 8 numbers them.
fn encoded(modes: &Termios) -> Vec<(u8, u32)> {
    use SpecialCodeIndex as Key;
    let keys = [
        (1, Key::VINTR),
        (2, Key::VQUIT),
        (3, Key::VERASE),
        (4, Key::VKILL),
        (5, Key::VEOF),
        (6, Key::VEOL),
        (7, Key::VEOL2),
        (8, Key::VSTART),
        (9, Key::VSTOP),
        (10, Key::VSUSP),
        (12, Key::VREPRINT),
        (13, Key::VWERASE),
        (14, Key::VLNEXT),
        (18, Key::VDISCARD),
    ];
    let input = [
        (30, InputModes::IGNPAR),
        (31, InputModes::PARMRK),
        (32, InputModes::INPCK),
        (33, InputModes::ISTRIP),
        (34, InputModes::INLCR),
        (35, InputModes::IGNCR),
        (36, InputModes::ICRNL),
        (38, InputModes::IXON),
        (39, InputModes::IXANY),
        (40, InputModes::IXOFF),
        (41, InputModes::IMAXBEL),
        (42, InputModes::IUTF8),
    ];
    let local = [
        (50, LocalModes::ISIG),
        (51, LocalModes::ICANON),
        (53, LocalModes::ECHO),
        (54, LocalModes::ECHOE),
        (55, LocalModes::ECHOK),
        (56, LocalModes::ECHONL),
        (57, LocalModes::NOFLSH),
        (58, LocalModes::TOSTOP),
        (59, LocalModes::IEXTEN),
        (60, LocalModes::ECHOCTL),
        (61, LocalModes::ECHOKE),
    ];
    let output = [
        (70, OutputModes::OPOST),
        (72, OutputModes::ONLCR),
        (73, OutputModes::OCRNL),
        (74, OutputModes::ONOCR),
        (75, OutputModes::ONLRET),
    ];
    // A key that is off is 0 here and 255 there.
    let key = |index| match modes.special_codes[index] {
        0 => 255,
        code => u32::from(code),
    };
    let mut all: Vec<(u8, u32)> = keys.map(|(code, index)| (code, key(index))).to_vec();
    all.extend(input.map(|(code, mode)| (code, modes.input_modes.contains(mode).into())));
    all.extend(local.map(|(code, mode)| (code, modes.local_modes.contains(mode).into())));
    all.extend(output.map(|(code, mode)| (code, modes.output_modes.contains(mode).into())));
    all.push((128, modes.input_speed()));
    all.push((129, modes.output_speed()));
    all
}

/// Asks the person at the controlling terminal, which standard input need not be.
pub(crate) struct Person {
    /// Nobody is to be asked.
    pub(crate) batch: bool,
    /// Nothing but errors is to be said.
    pub(crate) quiet: bool,
}

impl Person {
    fn terminal(&self) -> Option<File> {
        if self.batch {
            return None;
        }
        OpenOptions::new().read(true).write(true).open("/dev/tty").ok()
    }
}

impl Questions for Person {
    fn confirm(&self, text: &str, fingerprint: &str) -> Option<bool> {
        let mut terminal = self.terminal()?;
        let mut prompt = text.to_owned();
        loop {
            write!(terminal, "{prompt}").ok()?;
            match line(&mut terminal)?.trim() {
                "yes" => return Some(true),
                "no" => return Some(false),
                answer if answer == fingerprint => return Some(true),
                _ => prompt = "Please type yes, no or the fingerprint: ".to_owned(),
            }
        }
    }

    fn secret(&self, prompt: &str, echo: bool) -> Option<String> {
        let mut terminal = self.terminal()?;
        // Ctrl-C comes as a letter that ends the line: the terminal is put back before anything ends.
        let changed = change(&terminal, |modes| {
            modes.local_modes.remove(LocalModes::ISIG);
            modes.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
            if !echo {
                modes.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
            }
        })
        .ok()?;
        write!(terminal, "{prompt}").ok()?;
        let answer = line(&mut terminal);
        if !echo || answer.is_none() {
            let _ = writeln!(terminal);
        }
        drop(changed);
        answer
    }

    fn tell(&self, text: &str) {
        if !self.quiet {
            output::note(text);
        }
    }
}

/// A line from the terminal, without its end; `None` after Ctrl-C or at its end.
fn line(terminal: &mut File) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        match terminal.read(&mut byte) {
            Ok(1) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            _ => return None,
        }
        match byte[0] {
            b'\n' | b'\r' => return String::from_utf8(bytes).ok(),
            // Where it is no signal.
            INTERRUPT => return None,
            byte if bytes.len() < LONGEST => bytes.push(byte),
            _ => {}
        }
    }
}

/// Whether a person types at standard input.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}
