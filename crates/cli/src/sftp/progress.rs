//! How far a file has come: a bar on a terminal, nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// A bar for one file; it goes away when this does.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// For `name`, of whose `size` bytes `done` are there already.
    pub(super) fn new(name: &str, size: u64, done: u64, quiet: bool) -> Self {
        if quiet || !output::is_watched() {
            return Self(None);
        }
        let bar = ProgressBar::new(size);
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let template =
            "{msg} {percent:>3}% [{bar:25}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} eta {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name.to_owned());
        bar.set_position(done);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Some(bar))
    }

    /// So many bytes more.
    pub(super) fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
