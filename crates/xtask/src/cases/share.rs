//! The picture that other sites show of a link to the page: a duel over a digit that the project drew itself.

use anyhow::Result;
use riposte_protocol::{Ink, Picture};

use super::Fought;

/// Width and height that such pictures have.
const SIZE: [usize; 2] = [1200, 630];
/// Edge of each of the three pictures in it, twelve for a pixel of a digit.
const EDGE: usize = 336;
/// The page's ground.
const GROUND: [u8; 4] = [0xfc, 0xfa, 0xf6, 0xff];

/// The image, the change and the attacked image of a duel side by side, as a PNG.
pub(super) fn picture(duel: &Fought) -> Result<Vec<u8>> {
    let [width, height] = SIZE;
    let mut sheet = GROUND.repeat(width * height);
    let gap = (width - 3 * EDGE) / 4;
    for (place, (picture, ink)) in duel.pictures().into_iter().enumerate() {
        let rgba = picture.rgba(ink);
        let [left, top] = [gap + place * (EDGE + gap), (height - EDGE) / 2];
        for y in 0..EDGE {
            for x in 0..EDGE {
                let from = 4 * (y * picture.height / EDGE * picture.width + x * picture.width / EDGE);
                let to = 4 * ((top + y) * width + left + x);
                sheet[to..to + 4].copy_from_slice(&rgba[from..from + 4]);
            }
        }
    }
    super::encoded(&sheet, width, height)
}

impl Fought {
    /// The image, the change at its full strength, and the attacked image.
    pub(super) fn pictures(&self) -> [(Picture, Ink); 3] {
        let [channels, height, width] = self.shape;
        let [image, attacked] = self.pixels.each_ref().map(|levels| {
            let pixels = levels.iter().map(|level| f32::from(*level) / 255.0).collect();
            Picture { channels, height, width, pixels }
        });
        let change = attacked.minus(&image);
        [(image, Ink::Image), (change, self.ink()), (attacked, Ink::Image)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::Arena;
    use std::path::Path;

    #[test]
    fn the_picture_is_made_of_the_digits_that_come_with_the_project() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let file = Arena::new(root, None, None).share_picture().unwrap().expect("duels come with the project");
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (1200, 630));
        // The digit is white on black, in the first square.
        let square = |x: usize, y: usize| &pixels[4 * (y * 1200 + x)..4 * (y * 1200 + x) + 3];
        assert_eq!(square(0, 0), [0xfc, 0xfa, 0xf6]);
        assert_eq!(square(60, 160), [0, 0, 0]);
        assert!((150..480).any(|y| square(48 + 168, y) == [255, 255, 255]));
    }
}
