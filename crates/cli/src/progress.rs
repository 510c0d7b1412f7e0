//! Progress bars, on standard error and only on a terminal.

use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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
