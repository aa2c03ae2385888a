//! A person at a terminal: a program under a pseudo-terminal of its own, what it shows, and what is typed.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::program::Program;

/// Most that the program may take until it shows what is expected.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program under a terminal, with the person who uses it.
pub struct Typist {
    master: File,
    child: Child,
    line: String,
    shown: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
    /// How much of that has been expected already.
    read: usize,
}

impl Typist {
    /// Sits `program` down at a terminal of 80 by 24, which controls it.
    ///
    /// # Panics
    ///
    /// When there is no terminal to be had, or the program does not start.
    #[must_use]
    pub fn start(program: Program<'_>) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudo-terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a pseudo-terminal of our own");
        let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("its name is text");
        let slave = OpenOptions::new().read(true).write(true).open(&name).expect("the terminal's other end");
        let inner = program.into_command();
        // setsid(1) makes standard input the controlling terminal of what it runs.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let line = format!("{inner:?}");
        let end = || slave.try_clone().expect("a descriptor can be copied");
        let child = command
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap_or_else(|error| panic!("{line} does not start: {error}"));
        let master = File::from(master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut reader, text) = (master.try_clone().expect("a descriptor can be copied"), Arc::clone(&shown));
        let reading = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The last end of the terminal to close ends this with an error.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                text.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        let mut typist = Self { master, child, line, shown, reader: reading, read: 0 };
        typist.resize(80, 24);
        typist
    }

    /// Waits until the terminal shows `text`, after what was expected before.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            if let Some(at) = shown[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{}: \"{text}\" is not shown but:\n{}\nall: {shown}",
                self.line,
                &shown[self.read..]
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that the terminal has shown.
    #[must_use]
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Types.
    ///
    /// # Panics
    ///
    /// When the terminal is gone.
    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("the terminal takes letters");
    }

    /// Makes the window another size, in characters; the program gets SIGWINCH.
    ///
    /// # Panics
    ///
    /// When the terminal is gone.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).expect("a terminal takes a size");
    }

    /// Whether the terminal shows what is typed.
    ///
    /// # Panics
    ///
    /// When the terminal is gone.
    #[must_use]
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.master).expect("a terminal has modes").local_modes.contains(LocalModes::ECHO)
    }

    /// Waits for the program's end, and for all that it showed.
    ///
    /// # Panics
    ///
    /// When it hangs.
    #[must_use]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Its last words may still be on their way when it has ended.
            if let Some(status) = self.child.try_wait().expect("a child can be waited for")
                && self.reader.is_finished()
            {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end:\n{}", self.line, self.shown());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        // After `wait` both fail, which is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
