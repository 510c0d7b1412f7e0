//! Numbers as people write them.

use crate::error::refused;
use crate::{Error, Result};

/// A decimal number or a fraction: `0.3`, `8/255`. `None` for anything else, and for what is not finite.
pub fn number(text: &str) -> Option<f64> {
    let decimal = |part: &str| part.trim().parse::<f64>().ok().filter(|value| value.is_finite());
    match text.split_once('/') {
        Some((over, under)) => Some(decimal(over)? / decimal(under)?).filter(|value| value.is_finite()),
        None => decimal(text),
    }
}

/// A length in pixel units, `[0, 1]`: a decimal number or a fraction such as `8/255`.
///
/// # Errors
/// [`Error::Setting`] that says how to write it.
pub fn parse_pixels(text: &str) -> Result<f32> {
    let value =
        number(text).ok_or_else(|| Error::Setting(format!("`{text}` is not a number or a fraction; write 0.3 or 8/255")))?;
    if (0.0..=1.0).contains(&value) {
        return Ok(value as f32);
    }
    let hint = if value > 1.0 && value <= 255.0 && !text.contains('/') {
        format!("; for {text} of 255 gray levels write {text}/255")
    } else {
        String::new()
    };
    refused(format!("{text} is outside the pixel range 0 to 1{hint}"))
}

/// A length in pixel units where it sums over pixels: a decimal number or a fraction of at least 0.
///
/// # Errors
/// [`Error::Setting`]
pub fn parse_length(text: &str) -> Result<f32> {
    match number(text).map(|value| value as f32) {
        Some(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => refused(format!("`{text}` is not a number of at least 0")),
    }
}

/// A length in pixel units as people write it: `0.3`, and `8/255` where the decimals would go on. [`parse_pixels`] gives the very
/// same number back.
pub fn print_pixels(length: f32) -> String {
    let decimal = length.to_string();
    let levels = (length * 255.0).round();
    let is_fraction = (f64::from(levels) / 255.0) as f32 == length;
    if decimal.len() > 6 && is_fraction { format!("{levels}/255") } else { decimal }
}

/// A positive finite number.
///
/// # Errors
/// [`Error::Setting`]
pub fn parse_positive(text: &str) -> Result<f32> {
    match number(text).map(|value| value as f32) {
        Some(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => refused(format!("`{text}` is not a positive number")),
    }
}

/// A fraction, 0 to 1.
///
/// # Errors
/// [`Error::Setting`]
pub fn parse_share(text: &str) -> Result<f32> {
    match number(text) {
        Some(value) if (0.0..=1.0).contains(&value) => Ok(value as f32),
        _ => refused(format!("`{text}` is not a number from 0 to 1")),
    }
}

/// A whole number of at least `least`.
///
/// # Errors
/// [`Error::Setting`]
pub fn parse_count(text: &str, least: usize) -> Result<usize> {
    match text.trim().parse::<usize>() {
        Ok(value) if value >= least => Ok(value),
        _ => refused(format!("`{text}` is not a whole number of at least {least}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_decimal_or_a_fraction() {
        assert_eq!(parse_pixels("0.3"), Ok(0.3));
        assert_eq!(parse_pixels("8/255"), Ok((8.0 / 255.0) as f32));
        assert_eq!(parse_pixels(" 10 / 255 "), Ok((10.0 / 255.0) as f32));
        assert_eq!(parse_pixels("0"), Ok(0.0));
        assert_eq!(parse_pixels("1"), Ok(1.0));
    }

    #[test]
    fn nonsense_for_a_length_is_refused_in_a_sentence() {
        for text in ["", "abc", "nan", "inf", "-0.1", "1/0", "8/", "/255", "8/255/2", "1e9", "0.3f"] {
            assert!(parse_pixels(text).is_err(), "`{text}` was taken");
        }
        assert!(parse_pixels("8").unwrap_err().to_string().contains("write 8/255"));
    }

    #[test]
    fn lengths_are_printed_as_they_were_written_and_read_back_exactly() {
        for text in ["0.3", "8/255", "10/255", "0", "1", "0.01", "0.123456", "2/255"] {
            assert_eq!(print_pixels(parse_pixels(text).unwrap()), text);
        }
        for level in 0..=255u8 {
            let length = f32::from(level) / 255.0;
            for length in [length, length.next_up(), length.next_down().max(0.0)].into_iter().filter(|length| *length <= 1.0) {
                assert_eq!(parse_pixels(&print_pixels(length)), Ok(length));
            }
        }
    }

    #[test]
    fn counts_and_rates_start_above_zero() {
        assert_eq!(parse_count("3", 1), Ok(3));
        assert!(parse_count("0", 1).is_err() && parse_count("-1", 0).is_err() && parse_count("1.5", 1).is_err());
        assert_eq!(parse_positive("1e-3"), Ok(1e-3));
        assert_eq!(parse_share("0.3"), Ok(0.3));
        assert!(parse_share("-0.1").is_err() && parse_share("1.1").is_err() && parse_share("nan").is_err());
        assert!(parse_positive("0").is_err() && parse_positive("-1").is_err() && parse_positive("nan").is_err());
    }
}
