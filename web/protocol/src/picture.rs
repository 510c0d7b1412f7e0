use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One image as the classifier sees it, or a signed change to one.
///
/// `pixels` is planar: `channels * height * width` values, row by row within a channel; in [0, 1] for an image, in
/// [-eps, eps] for a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    #[serde(with = "as_bytes")]
    pub pixels: Vec<f32>,
}

impl Picture {
    /// Value at a channel, row and column.
    pub fn at(&self, channel: usize, row: usize, column: usize) -> f32 {
        self.pixels[(channel * self.height + row) * self.width + column]
    }

    /// `self - other`, pixel by pixel. Both must have the same shape.
    pub fn minus(&self, other: &Self) -> Self {
        debug_assert_eq!(self.pixels.len(), other.pixels.len());
        let pixels = self.pixels.iter().zip(&other.pixels).map(|(a, b)| a - b).collect();
        Self { pixels, ..*self }
    }

    /// Largest absolute value: the L-infinity size of a change.
    pub fn max_abs(&self) -> f32 {
        self.pixels.iter().fold(0.0, |largest, value| largest.max(value.abs()))
    }
}

/// How values become color.
#[derive(Clone, Copy, PartialEq)]
pub enum Ink {
    /// [0, 1] from black to white, or red, green and blue.
    Image,
    /// [-scale, scale]: darker is blue, no change is transparent, lighter is red; of color pictures, gray is no change.
    Change { scale: f32 },
}

/// The two inks of a signed change, told apart with any kind of color vision; legible on light and on dark paper.
const LIGHTER: [u8; 3] = [217, 95, 46];
const DARKER: [u8; 3] = [44, 122, 180];

impl Picture {
    /// Red, green, blue and opacity of each pixel, row by row.
    pub fn rgba(&self, ink: Ink) -> Vec<u8> {
        let places = (0..self.height).flat_map(|row| (0..self.width).map(move |column| (row, column)));
        places.flat_map(|(row, column)| self.color(row, column, ink)).collect()
    }

    fn color(&self, row: usize, column: usize, ink: Ink) -> [u8; 4] {
        let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
        let value = |channel: usize| self.at(channel.min(self.channels - 1), row, column);
        match ink {
            Ink::Image => [byte(value(0)), byte(value(1)), byte(value(2)), 255],
            Ink::Change { scale } if self.channels > 1 => {
                let level = |channel| byte(0.5 + 0.5 * value(channel) / scale);
                [level(0), level(1), level(2), 255]
            }
            Ink::Change { scale } => {
                let strength = value(0) / scale;
                let [red, green, blue] = if strength > 0.0 { LIGHTER } else { DARKER };
                [red, green, blue, byte(strength.abs())]
            }
        }
    }
}

/// Floats travel as one byte array (little-endian): a typed array in JavaScript instead of a list of numbers.
mod as_bytes {
    use super::*;

    pub fn serialize<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Vec<f32>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("little-endian 32-bit floats as bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                let (values, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(E::invalid_length(bytes.len(), &self));
                }
                Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
                self.visit_bytes(&bytes)
            }
        }

        deserializer.deserialize_byte_buf(Visitor)
    }
}
