//! PNG files, without a browser's canvas.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

/// The bytes of a PNG. `colors` are red, green, blue and opacity of `width * height` pixels, row by row; each becomes a square of
/// `scale` pixels.
///
/// # Panics
/// If there are not as many colors.
pub fn png(width: usize, height: usize, colors: &[u8], scale: usize) -> Vec<u8> {
    assert_eq!(colors.len(), 4 * width * height, "{width} x {height} pixels need as many colors");
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in colors.chunks_exact(4 * width) {
        let colors: Vec<u8> = row.chunks_exact(4).flat_map(|color| color.repeat(scale)).collect();
        for _ in 0..scale {
            // The filter of each row: none.
            rows.write_all(&[0]).and_then(|()| rows.write_all(&colors)).expect("memory takes what is written");
        }
    }
    let rows = rows.finish().expect("memory takes what is written");
    let size = |length: usize| (length * scale) as u32;
    // 8 bits, red, green, blue and opacity, in order.
    let header = [&size(width).to_be_bytes()[..], &size(height).to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &rows), chunk(b"IEND", &[])];
    [&b"\x89PNG\r\n\x1a\n"[..], &chunks.concat()].concat()
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [name, data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &named, &checksum(&named).to_be_bytes()].concat()
}

/// CRC-32, bit by bit: a table is larger than all that is saved here.
fn checksum(bytes: &[u8]) -> u32 {
    let bit = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), bit))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_saved_picture_has_each_pixel_as_a_square() {
        let colors = [[255, 0, 0, 255], [0, 51, 0, 128]].concat();
        let file = png(2, 1, &colors, 2);
        assert_eq!(file[16..26], [0, 0, 0, 4, 0, 0, 0, 2, 8, 6]);
        // As in every PNG.
        assert_eq!(file[file.len() - 12..], [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]);
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&file[41..]).read_to_end(&mut rows).unwrap();
        let row = [&[0][..], &colors[..4], &colors[..4], &colors[4..], &colors[4..]].concat();
        assert_eq!(rows, [&row[..], &row].concat());
    }
}
