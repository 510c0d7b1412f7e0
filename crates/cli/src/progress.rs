//! Progress bars, on standard error and only on a terminal.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of `length` units named `name`; invisible when standard error is not a terminal.
pub fn bar(length: u64, name: &str) -> ProgressBar {
    let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {eta}").expect("a valid template");
    let bar = ProgressBar::with_draw_target(Some(length), target).with_style(style).with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
