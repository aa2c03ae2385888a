//! The progress bar: on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// How far a download has come, drawn on standard error.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar for `expected` bytes, or a counter where the length is unknown; nothing if `quiet` or unwatched.
    pub(super) fn new(expected: Option<u64>, quiet: bool) -> Self {
        if quiet || !output::is_watched() {
            return Self(None);
        }
        let (bar, template) = match expected {
            Some(length) => (
                ProgressBar::new(length),
                "{percent:>3}% [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} eta {eta}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {decimal_bytes} {decimal_bytes_per_sec}"),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Some(bar))
    }

    /// So many bytes more have come.
    pub(super) fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    /// The body is whole: the bar goes away, what is said next takes its place.
    pub(super) fn finish(self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0
            && !bar.is_finished()
        {
            // The line stays as it was, with the error below it.
            bar.abandon();
        }
    }
}
