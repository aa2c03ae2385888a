//! A program that stays: started, waited for, stopped, and heard when a test fails.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Most that a daemon may take until it serves.
const START: Duration = Duration::from_secs(20);
/// Lines of its log that a failing test shows.
const SHOWN: usize = 60;

/// A running daemon. It is killed when this value goes, or with the namespace.
pub(crate) struct Daemon {
    name: String,
    child: Option<Child>,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command` with its output in `log`, and waits until `ready` says that it serves.
    ///
    /// # Panics
    ///
    /// When it does not start, exits at once, or is not ready in time.
    pub(crate) fn start(command: &mut Command, log: PathBuf, mut ready: impl FnMut(&str) -> bool) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::create(&log).expect("the test's directory takes a log");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a descriptor can be copied"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}. ./test.sh installs what the tests need."));
        let mut daemon = Self { name, child: Some(child), log };
        let deadline = Instant::now() + START;
        while !ready(&daemon.log()) {
            let child = daemon.child.as_mut().expect("it runs until it is stopped");
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                panic!("{} ended at once ({status})\n{}", daemon.name, daemon.report());
            }
            assert!(Instant::now() < deadline, "{} is not ready after {START:?}\n{}", daemon.name, daemon.report());
            thread::sleep(Duration::from_millis(5));
        }
        daemon
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Kills it, without giving it the chance to say goodbye to its clients.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The end of its log, with a heading.
    pub(crate) fn report(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(SHOWN)..];
        format!("--- {} wrote {} lines, the last of them:\n{}\n---", self.name, lines.len(), shown.join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
