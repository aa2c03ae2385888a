//! A directory for what the servers need and what the clients write: in memory where there is such a file system, so that
//! no disk is measured.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The usual place of files that live in memory.
const IN_MEMORY: &str = "/dev/shm";

/// The directory, which goes with this value.
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn new() -> Result<Self> {
        let in_memory = Path::new(IN_MEMORY);
        let above = if in_memory.is_dir() { in_memory.to_owned() } else { std::env::temp_dir() };
        let path = above.join(format!("wharf-bench-apps-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("making {} for the servers", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left of it is left to whoever clears such places.
        let _ = fs::remove_dir_all(&self.0);
    }
}
