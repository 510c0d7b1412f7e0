//! Datasets in the user's folder: every layout, and every way to be wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use riposte::data::digits::{self, Split};
use riposte::data::fetch::official::Mirrors;
use riposte::data::fetch::{Library, Loaded, Origin, archive, download::Downloader};
use riposte::data::npy::{Array, Values};
use riposte::rng::Seed;
use riposte::spec::dataset::DatasetId;
use tempfile::{TempDir, tempdir};

use crate::official;

fn load(name: DatasetId, split: Split, folder: &Path) -> anyhow::Result<Loaded> {
    let library = Library {
        folder: Some(folder.to_owned()),
        cache: folder.join("no cache"),
        mirrors: Mirrors { mnist: vec![], cifar10: vec![] },
        downloader: Downloader::default(),
    };
    library.load(name, split, None, &mut |_| ControlFlow::Continue(()))
}

fn refusal(name: DatasetId, folder: &TempDir) -> String {
    format!("{:#}", load(name, Split::Test, folder.path()).unwrap_err())
}

fn idx(magic: u32, sizes: &[u32]) -> Vec<u8> {
    let body = sizes.iter().product::<u32>();
    let numbers = std::iter::once(magic).chain(sizes.iter().copied());
    numbers.flat_map(u32::to_be_bytes).chain((0..body).map(|i| (i % 10) as u8)).collect()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder with these files.
fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// A batch of CIFAR-10's binary version.
fn batch(records: usize) -> Vec<u8> {
    let mut bytes = vec![3; records * 3073];
    bytes.iter_mut().step_by(3073).enumerate().for_each(|(i, label)| *label = (i % 10) as u8);
    bytes
}

fn tar_gz(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn mnist_is_found_in_every_layout() {
    let (images, labels) = (idx(0x803, &[20, 28, 28]), idx(0x801, &[20]));
    for place in ["", "mnist/", "MNIST/raw/", "MNIST/", "raw/"] {
        for (dot, end) in [("-", ""), ("-", ".gz"), (".", ""), (".", ".gz")] {
            let pack = |bytes: &Vec<u8>| if end.is_empty() { bytes.clone() } else { gz(bytes) };
            let names = [format!("{place}t10k-images{dot}idx3-ubyte{end}"), format!("{place}t10k-labels{dot}idx1-ubyte{end}")];
            let folder = folder(&[(&names[0], pack(&images)), (&names[1], pack(&labels))]);
            let loaded = load(DatasetId::Mnist, Split::Test, folder.path()).unwrap();
            assert_eq!((loaded.dataset.len(), loaded.dataset.label(13)), (20, 3), "{names:?}");
            assert_eq!(loaded.origin, Origin::Files(folder.path().join(place.trim_end_matches('/'))));
            let notes = loaded.notes.join("\n");
            assert!(notes.contains("MD5 differs") && notes.contains("holds 20 images; MNIST's test set has 10000"), "{notes}");
        }
    }
}

#[test(needs(official::OFFICIAL))]
fn the_official_files_need_no_note_packed_or_unpacked() {
    let shared = official::shared();
    let names = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];
    let unpacked = names.map(|name| {
        let file = fs::File::open(shared.data().join(format!("mnist/{name}.gz"))).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut bytes).unwrap();
        (name, bytes)
    });
    let folder = folder(&unpacked);
    for place in [folder.path(), &shared.data()] {
        let loaded = load(DatasetId::Mnist, Split::Test, place).unwrap();
        assert_eq!((&loaded.dataset, loaded.notes), (&official::mnist().1, Vec::<String>::new()));
    }
}

#[test]
fn a_folder_without_the_files_says_what_it_should_hold() {
    let empty = folder(&[("train-images-idx3-ubyte", vec![])]);
    let error = refusal(DatasetId::Mnist, &empty);
    for word in ["no mnist in", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "MNIST/raw", "--data", "digits"] {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
    let error = refusal(DatasetId::Cifar10, &empty);
    for word in ["test_batch", ".bin", "cifar-10-python.tar.gz", "cifar-10-batches-py"] {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
    let error = load(DatasetId::Mnist, Split::Test, &empty.path().join("absent")).unwrap_err().to_string();
    assert!(error.contains("does not exist") && error.contains("--data"), "{error}");
}

#[test]
fn unusable_files_are_named_with_their_fault() {
    let (images, labels) = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz");
    let (good_images, good_labels) = (gz(&idx(0x803, &[20, 28, 28])), gz(&idx(0x801, &[20])));
    let cases = [
        (good_images[..good_images.len() / 2].to_vec(), good_labels.clone(), images, "get the file again"),
        (good_images.clone(), gz(&idx(0x803, &[20, 1, 1])), labels, "this is a file of images"),
        (good_images.clone(), gz(&idx(0x801, &[19])), images, "20 images, but 19 labels"),
        (gz(&idx(0x803, &[20, 27, 28])), good_labels.clone(), images, "images of 27 x 28 pixels; MNIST's have 28 x 28"),
        (b"<html>".to_vec(), good_labels, images, "this is a web page"),
    ];
    for (image_bytes, label_bytes, named, fault) in cases {
        let error = refusal(DatasetId::Mnist, &folder(&[(images, image_bytes), (labels, label_bytes)]));
        assert!(error.contains(named) && error.contains(fault), "{fault:?} or {named:?} is not in: {error}");
    }
}

#[test]
fn cifar10_is_found_unpacked_and_packed() {
    let archive =
        || tar_gz(&[("cifar-10-batches-bin/readme.html", vec![1]), ("cifar-10-batches-bin/test_batch.bin", batch(10_000))]);
    let cases = [
        folder(&[("cifar10/test_batch.bin", batch(10_000))]),
        folder(&[("cifar-10-batches-bin/test_batch.bin", batch(10_000))]),
        folder(&[("cifar-10-binary.tar.gz", archive())]),
        folder(&[("cifar10/cifar-10-binary.tar.gz", archive())]),
    ];
    for folder in cases {
        let Loaded { dataset, notes, .. } = load(DatasetId::Cifar10, Split::Test, folder.path()).unwrap();
        assert_eq!((dataset.len(), dataset.label(9_999), dataset.images().channels()), (10_000, 9, 3));
        assert_eq!(notes.len(), 1, "content cannot be vouched for: {notes:?}");
    }
}

#[test]
fn a_part_of_cifar10_is_told_as_such_and_what_is_none_is_refused() {
    let subset = folder(&[("test_batch.bin", batch(500))]);
    let Loaded { dataset, notes, .. } = load(DatasetId::Cifar10, Split::Test, subset.path()).unwrap();
    let notes = notes.join("\n");
    assert_eq!(dataset.len(), 500);
    assert!(notes.contains("holds 500 images; CIFAR-10's test set has 10000"), "{notes}");
    let error = refusal(DatasetId::Cifar10, &folder(&[("test_batch", batch(1))]));
    assert!(error.contains("not a pickle of images and labels"), "{error}");
    let page = || b"<!DOCTYPE html><html>".to_vec();
    for (name, dataset) in [("test_batch.bin", DatasetId::Cifar10), ("test_batch", DatasetId::Cifar10)] {
        assert!(refusal(dataset, &folder(&[(name, page())])).contains("this is a web page"));
    }
}

#[test]
fn cifar10_is_found_in_deeper_folders_and_in_kerass_archive() {
    let deep = folder(&[("some/where/cifar-10-batches-bin/test_batch.bin", batch(500))]);
    assert_eq!(load(DatasetId::Cifar10, Split::Test, deep.path()).unwrap().dataset.len(), 500);
    let planar: Vec<u8> = (0..2 * 3072).map(|at| (at * 7 % 251) as u8).collect();
    let last: Vec<u8> = planar
        .chunks_exact(3072)
        .flat_map(|image| (0..1024).flat_map(move |pixel| (0..3).map(move |channel| image[channel * 1024 + pixel])))
        .collect();
    for (shape, pixels) in [(vec![2, 3, 32, 32], planar.clone()), (vec![2, 32, 32, 3], last)] {
        let keras = folder(&[]);
        let arrays = BTreeMap::from([
            ("x_test", Array { shape, values: Values::U8(pixels) }),
            ("y_test", Array { shape: vec![2, 1], values: Values::I64(vec![3, 8]) }),
        ]);
        riposte_cli::arrays::write(&keras.path().join("cifar10.npz"), &arrays).unwrap();
        let dataset = load(DatasetId::Cifar10, Split::Test, keras.path()).unwrap().dataset;
        assert_eq!((dataset.images().pixels(), dataset.labels()), (&planar[..], &[3, 8][..]));
    }
}

#[test]
fn damaged_and_foreign_archives_are_refused() {
    let whole = tar_gz(&[("test_batch.bin", batch(10_000))]);
    let error = refusal(DatasetId::Cifar10, &folder(&[("cifar-10-binary.tar.gz", whole[..whole.len() / 2].to_vec())]));
    assert!(error.contains("is damaged"), "{error}");
    let error = refusal(DatasetId::Cifar10, &folder(&[("cifar-10-binary.tar.gz", tar_gz(&[("other", vec![1])]))]));
    assert!(error.contains("it lacks test_batch"), "{error}");
}

#[test]
fn an_archive_unpacks_whole_or_not_at_all_and_only_its_batches() {
    let names = [1, 2, 3, 4, 5].map(|i| format!("cifar-10-batches-bin/data_batch_{i}.bin"));
    let mut files: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), batch(2))).collect();
    files.push(("elsewhere/evil.bin", vec![0]));
    let short = folder(&[("archive.tar.gz", tar_gz(&files))]);
    assert!(archive::unpack(&short.path().join("archive.tar.gz"), short.path()).unwrap_err().to_string().contains("5 batches"));
    assert_eq!(fs::read_dir(short.path()).unwrap().count(), 1, "nothing is left behind");

    files.push(("cifar-10-batches-bin/test_batch.bin", batch(1)));
    let whole = folder(&[("archive.tar.gz", tar_gz(&files))]);
    archive::unpack(&whole.path().join("archive.tar.gz"), whole.path()).unwrap();
    let unpacked = whole.path().join("cifar-10-batches-bin");
    assert_eq!(fs::read_dir(&unpacked).unwrap().count(), 6);
    assert_eq!(fs::read(unpacked.join("test_batch.bin")).unwrap(), batch(1));
}

#[test]
fn digits_need_no_files_and_are_the_cores() {
    let library = Library::new(None, None).unwrap();
    let loaded = library.load(DatasetId::Digits, Split::Test, Some(1234), &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!(loaded.dataset, digits::generate(Seed(0), Split::Test, 0..1234));
    assert_eq!((loaded.origin, loaded.notes), (Origin::Generated, vec![]));
    assert!(library.load(DatasetId::Digits, Split::Test, Some(0), &mut |_| ControlFlow::Break(())).unwrap().dataset.is_empty());
}

/// `fixtures/cifar/make.py` wrote them: three images of numbers that tell where they belong.
#[test]
fn python_batches_read_the_same_in_every_form_in_which_programs_leave_them() {
    let mut files = 0;
    for entry in fs::read_dir(crate::package().join("fixtures/cifar")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pickle") {
            continue;
        }
        files += 1;
        let batch =
            riposte::data::cifar::parse_pickle(&fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let expected: Vec<u8> = (0..3).flat_map(|image| (0..3072).map(move |pixel| (image * 31 + pixel) as u8)).collect();
        assert_eq!((batch.images().pixels(), batch.labels()), (&expected[..], &[3, 0, 9][..]), "{path:?}");
    }
    assert!(files >= 15, "{files}");
}

#[test]
fn mnist_is_found_under_names_that_browsers_and_archives_make_and_packed_twice() {
    let (images, labels) = (idx(0x803, &[20, 28, 28]), idx(0x801, &[20]));
    for name in [
        "t10k-KIND-ubyte (1).gz",
        "t10k-KIND-ubyte.gz.download",
        "T10K-KIND-UBYTE",
        "deep/er/t10k-KIND-ubyte",
        "t10k-KIND-ubyte/t10k-KIND-ubyte",
    ] {
        let kinds =
            ["images-idx3", "labels-idx1"].map(|kind| if name.starts_with('T') { kind.to_uppercase() } else { kind.to_owned() });
        let [first, second] = kinds.map(|kind| name.replace("KIND", &kind));
        let found = folder(&[(&first, gz(&gz(&images))), (&second, gz(&labels))]);
        assert_eq!(load(DatasetId::Mnist, Split::Test, found.path()).unwrap().dataset.len(), 20, "{name}");
    }
    for (bytes, word) in
        [(&b"<!DOCTYPE html>"[..], "web page"), (b"version https://git-lfs.github.com/spec/v1", "Git LFS"), (b"", "empty")]
    {
        let found = folder(&[("t10k-images-idx3-ubyte.gz", bytes.to_vec()), ("t10k-labels-idx1-ubyte.gz", gz(&labels))]);
        let error = refusal(DatasetId::Mnist, &found);
        assert!(error.contains("this is") && error.contains(word), "{error}");
    }
}
