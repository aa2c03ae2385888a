//! Counting instructions: callgrind runs this program with a small and with a large amount of work, and the difference
//! is what the work costs. Set-up, and whatever the C library does before `main`, falls out of it.

#[cfg(test)]
mod tests;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Callgrind counts every byte that `rep movsb` copies as an instruction. With these the C library copies with vector
/// instructions instead, as it does for most sizes anyway.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=0x10000000:glibc.cpu.x86_rep_stosb_threshold=0x10000000";

/// The instructions per unit of work between `small` and `large` units. `arguments` make this program do the number of
/// units that is appended to them. With `keep`, the profile of the larger run stays there.
///
/// # Errors
/// When valgrind is not there or the run fails.
pub(crate) fn marginal(arguments: &[&str], small: u64, large: u64, keep: Option<&Path>) -> Result<f64> {
    let before = instructions(arguments, small, None)?;
    let after = instructions(arguments, large, keep)?;
    let difference = after.checked_sub(before).context("the larger run took fewer instructions than the smaller")?;
    Ok(difference as f64 / (large - small) as f64)
}

fn instructions(arguments: &[&str], amount: u64, keep: Option<&Path>) -> Result<u64> {
    let profile = Profile::new(keep, amount);
    let program = env::current_exe().context("finding this program")?;
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", profile.path.display()))
        .arg(program)
        .args(arguments)
        .arg(amount.to_string())
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()
        .context("starting valgrind (Debian: apt install valgrind)")?;
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

/// Callgrind's output, removed at the end unless it is to be kept.
struct Profile {
    path: PathBuf,
    temporary: bool,
}

impl Profile {
    fn new(keep: Option<&Path>, amount: u64) -> Self {
        keep.map_or_else(
            || {
                let name = format!("wharf-bench-{}-{amount}.callgrind", std::process::id());
                Self { path: env::temp_dir().join(name), temporary: true }
            },
            |path| Self { path: path.to_owned(), temporary: false },
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
