//! A program that comes to an end, with what it said.

use std::fmt;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::HUNG;
use crate::world::World;

/// A program about to be run.
pub struct Program<'a> {
    world: &'a World,
    command: Command,
    input: Stdio,
}

impl<'a> Program<'a> {
    /// The program `name`, found on the path.
    #[must_use]
    pub fn new(world: &'a World, name: &str) -> Self {
        let mut command = Command::new(name);
        // Debian keeps ip(8), nginx and dnsmasq where an ordinary user's path does not lead.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")).env("LC_ALL", "C.UTF-8");
        // Whoever runs the tests may sit behind a proxy; what is tested here does not.
        for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
            command.env_remove(name);
        }
        Self { world, command, input: Stdio::null() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in the directory `path`.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Gives it `text` as its standard input, instead of none.
    ///
    /// # Panics
    ///
    /// When the test's directory takes no files.
    #[must_use]
    pub fn input(mut self, text: &[u8]) -> Self {
        static INPUTS: AtomicUsize = AtomicUsize::new(0);
        let path = self.world.path(&format!("input{}", INPUTS.fetch_add(1, Ordering::Relaxed)));
        fs::write(&path, text).expect("the test's directory takes files");
        self.input = File::open(path).expect("what was written can be read").into();
        self
    }

    /// The command, for who starts it in another way.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When it does not start, or hangs.
    #[must_use]
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Starts it and returns at once, for programs that the test must meet halfway.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(mut self) -> Running {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let (stdout, stderr) = (self.world.path(&format!("run{run}.out")), self.world.path(&format!("run{run}.err")));
        let file = |path: &PathBuf| File::create(path).expect("the test's directory takes files");
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let child =
            self.command.stdin(self.input).stdout(file(&stdout)).stderr(file(&stderr)).spawn().unwrap_or_else(
                |error| panic!("{line} does not start: {error}. ./test.sh installs what the tests need."),
            );
        Running { line, child, stdout, stderr, started: Instant::now() }
    }
}

/// A program under way.
pub struct Running {
    line: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    started: Instant,
}

impl Running {
    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file that its standard output goes to.
    #[must_use]
    pub fn stdout_file(&self) -> PathBuf {
        self.stdout.clone()
    }

    /// What it has written to its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// What it has written to its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it hangs.
    #[must_use]
    pub fn wait(mut self) -> Finished {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if self.started.elapsed() > HUNG {
                // It is about to be reported; an error means that it ended after all.
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!(
                    "{} hung for {HUNG:?}\nstdout: {}\nstderr: {}",
                    self.line,
                    text(&self.stdout),
                    text(&self.stderr)
                );
            }
            thread::sleep(Duration::from_millis(2));
        };
        Finished {
            line: std::mem::take(&mut self.line),
            status,
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
            elapsed: self.started.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `wait` both fail, which is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that has ended.
pub struct Finished {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
    /// How long it ran: to be reported, never asserted.
    pub elapsed: Duration,
}

impl Finished {
    /// Whether its exit status was 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Its exit status.
    ///
    /// # Panics
    ///
    /// When a signal ended it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("it died: {self}"))
    }

    /// The same, once it is certain that it succeeded.
    ///
    /// # Panics
    ///
    /// When it failed, with all that it said.
    #[must_use = "what it printed is worth a look; drop it with `let _`"]
    pub fn succeeded(self) -> Self {
        assert!(self.success(), "failed: {self}");
        self
    }

    /// Asserts that it succeeded.
    ///
    /// # Panics
    ///
    /// When it failed, with all that it said.
    pub fn expect_success(self) {
        let _ = self.succeeded();
    }

    /// Asserts that it failed of its own accord, and that its standard error says each of `words`, in any case of
    /// letters; several ways to say it are separated by `|`.
    ///
    /// # Panics
    ///
    /// When it succeeded, died of a signal or a panic, or said something else.
    #[must_use]
    pub fn failed_saying(self, words: &[&str]) -> Self {
        let code = self.status.code().unwrap_or_else(|| panic!("died: {self}"));
        assert!(code != 0 && code != 101, "an ordinary failure was expected: {self}");
        let said = self.stderr.to_lowercase();
        for word in words {
            let known = word.split('|').any(|way| said.contains(&way.to_lowercase()));
            assert!(known, "the message does not say \"{word}\": {self}");
        }
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, status, stdout, stderr, elapsed } = self;
        write!(f, "{line}\n{status} after {elapsed:?}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }
}

fn text(path: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
