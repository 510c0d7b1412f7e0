//! Progress bars, on standard error and only on a terminal.

use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use riposte::data::fetch::download::Progress;

/// A bar of `length` units named `name`; invisible when standard error is not a terminal.
pub fn bar(length: u64, name: &str) -> ProgressBar {
    let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {eta}").expect("a valid template");
    let bar = ProgressBar::with_draw_target(Some(length), target).with_style(style).with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// An observer that draws a bar on standard error, if that is a terminal, for every file in turn; `stop` is asked whether to stop.
pub fn download_bar(stop: impl Fn() -> bool) -> impl FnMut(Progress<'_>) -> ControlFlow<()> {
    let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::with_draw_target(None, target).with_style(style.expect("a valid template"));
    move |progress| {
        if bar.prefix() != progress.file {
            bar.reset();
            bar.set_prefix(progress.file.to_owned());
            bar.set_length(progress.total);
        }
        bar.set_position(progress.received);
        if progress.received == progress.total {
            bar.finish_and_clear();
        }
        if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Two bars, of a suite and of the cell that is under way; without a terminal, a line for each cell.
pub struct Bars {
    suite: ProgressBar,
    cell: ProgressBar,
}

impl Bars {
    /// Of a suite of so many images in all its cells.
    pub fn new(images: u64) -> Self {
        let both = MultiProgress::new();
        let suite = both.add(bar(images, "Suite"));
        let cell = both.add(bar(0, ""));
        Self { suite, cell }
    }

    /// Images that an earlier run has computed.
    pub fn found(&self, images: u64) {
        self.suite.inc(images);
    }

    /// A cell goes on from image `done` to image `images`.
    pub fn cell(&self, name: &str, done: u64, images: u64) {
        self.cell.reset();
        self.cell.set_prefix(name.to_owned());
        self.cell.set_length(images);
        self.cell.set_position(done);
    }

    /// An image of the cell is done; `message` is asked for its figures now and then.
    pub fn step(&self, message: impl FnOnce() -> String) {
        self.suite.inc(1);
        self.cell.inc(1);
        if stderr().is_terminal() && self.cell.position().is_multiple_of(16) {
            self.cell.set_message(message());
        }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        if stderr().is_terminal() {
            self.suite.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    /// Leaves the terminal as it was.
    pub fn clear(&self) {
        self.suite.finish_and_clear();
        self.cell.finish_and_clear();
    }
}
