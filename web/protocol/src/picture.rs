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
