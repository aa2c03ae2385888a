//! Counting instructions: callgrind runs this program with a small and with a large amount of work, and the difference
//! is what the work costs. What the two have in common falls out of it.
//!
//! Preparing the work may cost far more than the work. Where this program can tell callgrind to start counting
//! ([`start`]), the preparation runs at nearly the speed of plain valgrind.

#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// Callgrind counts every byte that `rep movsb` copies as an instruction. With these the C library copies with vector
/// instructions instead, as it does for most sizes anyway.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=0x10000000:glibc.cpu.x86_rep_stosb_threshold=0x10000000";

/// Work to be counted.
#[derive(Debug)]
pub(crate) struct Job {
    /// They make this program do the number of units of work that is appended to them.
    pub arguments: Vec<String>,
    pub small: u64,
    pub large: u64,
    /// Where the profile of the larger run stays, if it is to stay.
    pub keep: Option<PathBuf>,
}

/// The instructions per unit of work.
///
/// # Errors
/// When valgrind is not there or the run fails.
pub(crate) fn marginal(job: &Job) -> Result<f64> {
    let before = instructions(&job.arguments, job.small, None)?;
    let after = instructions(&job.arguments, job.large, job.keep.clone())?;
    let difference = after.checked_sub(before).context("the larger run took fewer instructions than the smaller")?;
    Ok(difference as f64 / (job.large - job.small) as f64)
}

fn instructions(arguments: &[String], amount: u64, keep: Option<PathBuf>) -> Result<u64> {
    let profile = Profile::new(keep);
    let program = env::current_exe().context("finding this program")?;
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]);
    if CAN_START {
        command.arg("--instr-atstart=no");
    }
    let output = command
        .arg(format!("--callgrind-out-file={}", profile.path.display()))
        .arg(program)
        .args(arguments)
        .arg(amount.to_string())
        .env("GLIBC_TUNABLES", TUNABLES)
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("counting instructions needs valgrind, which is not here. Debian: apt install valgrind")
        }
        result => result.context("starting valgrind")?,
    };
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{} {amount}` under callgrind: {}\n{complaint}", arguments.join(" "), output.status);
    }
    let text = fs::read_to_string(&profile.path).context("reading callgrind's profile")?;
    total(&text).context("callgrind's profile has no total")
}

/// The total of a profile: the line `totals: N`, or in older versions only `summary: N`.
pub(crate) fn total(profile: &str) -> Option<u64> {
    let of = |key| profile.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
    of("totals:").or_else(|| of("summary:"))
}

/// Whether [`start`] does anything on this processor. Where it does not, callgrind counts from the beginning.
const CAN_START: bool = cfg!(target_arch = "x86_64");

/// Has callgrind count from here on; without callgrind it does nothing.
pub(crate) fn start() {
    #[cfg(target_arch = "x86_64")]
    {
        // CALLGRIND_START_INSTRUMENTATION of valgrind/callgrind.h: the tool's letters, and the fifth of its requests.
        const START_INSTRUMENTATION: u64 = (b'C' as u64) << 24 | (b'T' as u64) << 16 | 4;
        let request = [START_INSTRUMENTATION, 0, 0, 0, 0, 0];
        // SAFETY: the sequence that valgrind looks for turns a register by 128 bits, which leaves it as it was, and swaps
        // another with itself. Valgrind reads the six words behind rax and writes rdx; the processor does neither.
        unsafe {
            std::arch::asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                inlateout("rdx") 0_u64 => _,
                in("rax") request.as_ptr(),
                options(nostack),
            );
        }
    }
}

/// Callgrind's output, removed at the end unless it is to be kept.
struct Profile {
    path: PathBuf,
    temporary: bool,
}

impl Profile {
    fn new(keep: Option<PathBuf>) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        keep.map_or_else(
            || {
                let run = RUNS.fetch_add(1, Ordering::Relaxed);
                let name = format!("wharf-bench-{}-{run}.callgrind", std::process::id());
                Self { path: env::temp_dir().join(name), temporary: true }
            },
            |path| Self { path, temporary: false },
        )
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        if self.temporary {
            // Nothing depends on it, and a run that failed has said why already.
            let _ = fs::remove_file(&self.path);
        }
    }
}
