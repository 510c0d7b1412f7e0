//! Numbers as people read them.

pub use riposte_protocol::percent;
use riposte_spec::attack::{Norm, Pgd};
use riposte_spec::dataset::DatasetId;

/// A change of pixel values: decimals for gray digits, levels of 255 for color pictures, as the field writes them.
pub fn pixel_units(value: f32, dataset: DatasetId) -> String {
    let levels = value * 255.0;
    if dataset.image_shape()[0] > 1 && (levels - levels.round()).abs() < 1e-3 {
        format!("{}/255", levels.round())
    } else {
        short(value)
    }
}

/// The radius of an attack: of pixel values, or of the whole image.
pub fn strength(attack: &Pgd, dataset: DatasetId) -> String {
    match attack.norm {
        Norm::LInfinity => pixel_units(attack.epsilon, dataset),
        Norm::L2 => short(attack.epsilon),
    }
}

/// At most four significant decimals, no trailing zeros.
pub fn short(value: f32) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `12,800`.
pub fn thousands(value: usize) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `0.04 TFLOP`, `3.1 GFLOP`.
pub fn flops(value: f64) -> String {
    match value {
        v if v >= 1e11 => format!("{:.2} TFLOP", v / 1e12),
        v if v >= 1e8 => format!("{:.1} GFLOP", v / 1e9),
        v => format!("{:.1} MFLOP", v / 1e6),
    }
}

/// `3.2 s`, `140 ms`.
pub fn duration(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.1} s") }
}

/// An estimate: `about 12 s`, `about 9 min`.
pub fn about(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "under a second".to_owned(),
        s if s < 90.0 => format!("about {s:.0} s"),
        s if s < 5400.0 => format!("about {:.0} min", s / 60.0),
        s => format!("about {:.0} h", s / 3600.0),
    }
}

/// `1.4 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
