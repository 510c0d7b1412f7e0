//! Standard output, for people and for machines.

use std::io::{self, Write};

use anyhow::Result;
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

/// A length in pixel units as people write it: `0.3`, and `8/255` where the decimals would go on.
pub fn pixels(length: f32) -> String {
    let decimal = length.to_string();
    let levels = length * 255.0;
    // Two roundings of f32 lie between a fraction and this product.
    if decimal.len() > 6 && (levels - levels.round()).abs() <= levels * 2.0 * f32::EPSILON {
        format!("{}/255", levels.round())
    } else {
        decimal
    }
}

/// `value` as JSON with each f32 as it is written, `0.3` and not `0.30000001192092896`.
pub fn to_value(value: &impl Serialize) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&serde_json::to_string(value)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_they_were_written() {
        for text in ["0.3", "8/255", "10/255", "0", "1", "0.01", "0.123456", "2/255"] {
            assert_eq!(pixels(crate::args::pixels(text).unwrap()), text);
        }
    }

    #[test]
    fn numbers_keep_their_digits_in_json() {
        assert_eq!(to_value(&0.3f32).unwrap().to_string(), "0.3");
    }
}
