//! Standard output, for people and for machines.

use std::io::{self, Write};

use anyhow::Result;
use riposte::evaluate::Summary;
use serde::Serialize;

/// Prints one JSON object, indented, on standard output.
///
/// # Errors
/// If standard output cannot be written.
pub fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints a line on standard output. Not `println!`, which panics when the reader has gone.
///
/// # Errors
/// If standard output cannot be written.
pub fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// `98.50 %`
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A difference of shares in percentage points, with its sign: `+2.40`.
pub fn points(share: f64) -> String {
    format!("{:+.2}", 100.0 * share)
}

/// `value` as JSON with each f32 as it is written, `0.3` and not `0.30000001192092896`.
pub fn to_value(value: &impl Serialize) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&serde_json::to_string(value)?)?)
}

/// The accuracies of a run in a few words, for a progress bar.
pub fn in_short(summary: &Summary) -> String {
    let share = |count: usize| percent(count as f64 / summary.images as f64);
    match (summary.robust_correct, summary.riposte_robust_correct) {
        (Some(base), Some(riposte)) => format!("robust {} -> {}", share(base), share(riposte)),
        (Some(base), None) => format!("robust {}", share(base)),
        (None, _) => match summary.riposte_natural_correct {
            Some(riposte) => format!("natural {} -> {}", share(summary.natural_correct), share(riposte)),
            None => format!("natural {}", share(summary.natural_correct)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_in_json() {
        assert_eq!(to_value(&0.3f32).unwrap().to_string(), "0.3");
    }
}
