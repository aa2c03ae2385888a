//! The progress bars: one for each download, on a terminal only.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// All bars, drawn on standard error.
#[derive(Clone)]
pub(super) struct Bars {
    /// `None` where nobody watches.
    drawn: Option<MultiProgress>,
    /// Each bar says whose it is.
    named: bool,
}

impl Bars {
    /// Bars for `count` downloads; none if `quiet` or unwatched.
    pub(super) fn new(count: usize, quiet: bool) -> Self {
        let drawn = !quiet && output::is_watched();
        let drawn = drawn.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self { drawn, named: count > 1 }
    }

    /// A bar for `expected` bytes, of which `there` are there, or a counter where the length is unknown.
    pub(super) fn begin(&self, name: &str, expected: Option<u64>, there: u64) -> Progress {
        let Some(bars) = &self.drawn else { return Progress(None) };
        let (bar, template) = match expected {
            Some(length) => (
                ProgressBar::new(length),
                "{prefix}{percent:>3}% [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} eta {eta}",
            ),
            None => (ProgressBar::new_spinner(), "{prefix}{spinner} {decimal_bytes} {decimal_bytes_per_sec}"),
        };
        let bar = bars.add(bar.with_position(there));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        if self.named {
            let name: String = name.chars().filter(|character| !character.is_control()).take(24).collect();
            bar.set_prefix(format!("{name:24} "));
        }
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(Some(bar))
    }

    /// Says something between the bars.
    pub(super) fn between<R>(&self, say: impl FnOnce() -> R) -> R {
        match &self.drawn {
            Some(bars) => bars.suspend(say),
            None => say(),
        }
    }
}

/// How far one download has come.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
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
