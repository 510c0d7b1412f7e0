//! Parsers of foreign bytes: whatever they are given, they return.

use std::io::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use riposte::data::{cifar, idx};

/// What a change does to some bytes, in order.
fn changes() -> impl Strategy<Value = Vec<(u8, usize, u8)>> {
    vec((0u8..4, any::<usize>(), any::<u8>()), 1..6)
}

fn changed(mut bytes: Vec<u8>, changes: &[(u8, usize, u8)]) -> Vec<u8> {
    for &(kind, place, value) in changes {
        let place = place % bytes.len().max(1);
        match kind {
            0 if !bytes.is_empty() => bytes[place] = value,
            1 => bytes.truncate(place),
            2 => bytes.insert(place, value),
            _ => bytes.extend(vec![value; place % 50]),
        }
    }
    bytes
}

fn idx_file() -> Vec<u8> {
    let header = [0x803u32, 3, 4, 5].iter().flat_map(|n| n.to_be_bytes());
    header.chain(0..60).collect()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A batch of one image in CIFAR-10's Python version.
fn pickle() -> Vec<u8> {
    let mut p = b"\x80\x02}q\x01(U\x06labelsq\x04]q\x05(K\x03eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07".to_vec();
    p.extend(b"cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87R(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNK\x00tb\x89T");
    p.extend(3072u32.to_le_bytes());
    p.extend([9; 3072]);
    p.extend(b"tbh\x04h\x05u.");
    p
}

fn parse_all(bytes: &[u8]) {
    for images in [idx::parse_images(bytes).ok(), cifar::parse_binary(bytes).map(|batch| batch.images().clone()).ok()] {
        // What is accepted is in the bytes: nothing is made up (a packed file holds up to 1032 times its size).
        assert!(images.is_none_or(|images| images.pixels().len() <= 1032 * bytes.len()));
    }
    let _ = idx::parse_labels(bytes);
    let _ = cifar::parse_pickle(bytes);
}

#[test]
fn the_unchanged_files_are_accepted() {
    assert!(idx::parse_images(&idx_file()).is_ok());
    assert!(idx::parse_images(&gz(&idx_file())).is_ok());
    assert_eq!(cifar::parse_pickle(&pickle()).unwrap().labels(), [3]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300)) {
        parse_all(&bytes);
    }

    #[test]
    fn random_bytes_after_a_right_start_do_no_harm(bytes in vec(any::<u8>(), 0..300), start in 0usize..4) {
        let start: &[u8] = [&[0u8, 0, 8, 3][..], &[0, 0, 8, 1], &[0x1f, 0x8b, 8, 0], &[0x80, 2, b'}', b'(']][start];
        parse_all(&[start, &bytes].concat());
    }

    #[test]
    fn changed_idx_files_do_no_harm(changes in changes()) {
        parse_all(&changed(idx_file(), &changes));
        parse_all(&changed(gz(&idx_file()), &changes));
        parse_all(&gz(&changed(idx_file(), &changes)));
    }

    #[test]
    fn changed_pickles_do_no_harm(changes in changes(), short in any::<bool>()) {
        // Changes seldom meet the program among its 3,072 bytes of pixels: half of the time there are none.
        let mut file = pickle();
        if short {
            let pixels = file.windows(8).position(|w| w == [9; 8]).unwrap();
            file.drain(pixels..pixels + 3072);
        }
        parse_all(&changed(file, &changes));
    }

    #[test]
    fn random_pickle_programs_do_no_harm(program in vec(prop::sample::select(&b"}])(qhKNtaesubR\x85\x86\x87\x80\x00\x01cU.\n"[..]), 0..200)) {
        parse_all(&program);
    }
}
