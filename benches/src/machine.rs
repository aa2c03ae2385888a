//! What the families ask of the machine: one processor for a thread, and the time that it worked.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The processors that this process may use, lowest first.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn processors() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(None).context("asking which processors may be used")?;
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
    ensure!(!processors.is_empty(), "the kernel names no processor that may be used");
    Ok(processors)
}

/// Keeps the calling thread, and those it starts from now on, on one processor: its caches stay warm, and nothing
/// moves it in the middle of a sample.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).with_context(|| format!("pinning to processor {cpu}"))
}

/// The time for which the calling thread has held a processor. Unlike the time of day it does not run while others
/// have it.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
