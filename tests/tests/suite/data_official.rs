//! The official data sets, where they are at hand, against what is known of them.

use std::ops::ControlFlow;

use riposte::data::Dataset;
use riposte::data::digits::Split;
use riposte::data::fetch::Library;
use riposte::spec::dataset::DatasetId;

use crate::official::{self, OFFICIAL};

fn counts(dataset: &Dataset) -> [usize; 10] {
    let mut counts = [0; 10];
    dataset.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
    counts
}

#[test(needs(OFFICIAL))]
fn mnist_has_its_images_in_its_classes() {
    let (train, test) = official::mnist();
    assert_eq!((train.len(), test.len()), (60_000, 10_000));
    assert_eq!(counts(test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    assert_eq!(train.labels()[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    // The published mean and standard deviation of the training images.
    let values = train.images().to_f32(0..60_000);
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64;
    assert!((mean - 0.1307).abs() < 5e-5 && ((square - mean * mean).sqrt() - 0.3081).abs() < 5e-5, "{mean} {square}");
}

#[test(needs(OFFICIAL))]
fn cifar10_has_its_images_in_its_classes() {
    let library = Library::new(Some(official::shared().data()), None).unwrap();
    for (split, each) in [(Split::Train, 5000), (Split::Test, 1000)] {
        let loaded = library.load(DatasetId::Cifar10, split, None, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(counts(&loaded.dataset), [each; 10]);
        assert_eq!(loaded.dataset.images().image_len(), 3072);
        assert!(loaded.notes[0].contains("no official checksum"));
    }
}
