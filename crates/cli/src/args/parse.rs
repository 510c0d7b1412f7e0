//! Parsers of single values.

/// A length in pixel units, `[0, 1]`: a decimal number or a fraction such as `8/255`.
///
/// # Errors
/// A sentence for the user.
pub fn pixels(text: &str) -> Result<f32, String> {
    let number = |part: &str| part.trim().parse::<f64>().ok().filter(|value| value.is_finite());
    let value = match text.split_once('/') {
        Some((over, under)) => {
            number(over).zip(number(under)).filter(|(_, under)| *under != 0.0).map(|(over, under)| over / under)
        }
        None => number(text),
    };
    let value = value.ok_or_else(|| format!("`{text}` is not a number or a fraction; write 0.3 or 8/255"))?;
    if !(0.0..=1.0).contains(&value) {
        let hint = if value > 1.0 && value <= 255.0 && !text.contains('/') {
            format!("; for {text} of 255 gray levels write {text}/255")
        } else {
            String::new()
        };
        return Err(format!("{text} is outside the pixel range 0 to 1{hint}"));
    }
    Ok(value as f32)
}

/// A positive finite number.
///
/// # Errors
/// A sentence for the user.
pub fn positive(text: &str) -> Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!("`{text}` is not a positive number")),
    }
}

/// A fraction, 0 to 1.
///
/// # Errors
/// A sentence for the user.
pub fn fraction(text: &str) -> Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!("`{text}` is not a number from 0 to 1")),
    }
}

/// A count of at least 1.
///
/// # Errors
/// A sentence for the user.
pub fn count(text: &str) -> Result<usize, String> {
    match text.trim().parse::<usize>() {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(format!("`{text}` is not a whole number of at least 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilon_is_a_decimal_or_a_fraction() {
        assert_eq!(pixels("0.3"), Ok(0.3));
        assert_eq!(pixels("8/255"), Ok((8.0 / 255.0) as f32));
        assert_eq!(pixels(" 10 / 255 "), Ok((10.0 / 255.0) as f32));
        assert_eq!(pixels("0"), Ok(0.0));
        assert_eq!(pixels("1"), Ok(1.0));
    }

    #[test]
    fn nonsense_for_epsilon_is_refused_in_a_sentence() {
        for text in ["", "abc", "nan", "inf", "-0.1", "1/0", "8/", "/255", "8/255/2", "1e9", "0.3f"] {
            assert!(pixels(text).is_err(), "`{text}` was taken");
        }
        assert!(pixels("8").unwrap_err().contains("write 8/255"));
    }

    #[test]
    fn counts_and_rates_start_above_zero() {
        assert_eq!(count("3"), Ok(3));
        assert!(count("0").is_err() && count("-1").is_err() && count("1.5").is_err());
        assert_eq!(positive("1e-3"), Ok(1e-3));
        assert_eq!(fraction("0.3"), Ok(0.3));
        assert!(fraction("-0.1").is_err() && fraction("1.1").is_err() && fraction("nan").is_err());
        assert!(positive("0").is_err() && positive("-1").is_err() && positive("nan").is_err());
    }
}
