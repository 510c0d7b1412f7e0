//! The official data sets and public weights, where they are at hand. They are read in place and never part of the project.

use std::path::PathBuf;
use std::sync::OnceLock;

use riposte::data::Dataset;
use riposte::import::Wanted;
use riposte::weights::StateDict;
use riposte_harness::Need;

pub static OFFICIAL: Need = Need::new("the official data and weights", "RIPOSTE_REQUIRE_DATA", || {
    let Shared(folder) = shared();
    let whole = folder.join("data").is_dir() && folder.join("weights").is_dir();
    if whole { Ok(()) } else { Err(format!("RIPOSTE_SHARED, `{}`, does not hold data/ and weights/", folder.display())) }
});

/// The folder with `data/` and `weights/`.
pub struct Shared(PathBuf);

/// What `RIPOSTE_SHARED` names: whole for a test that needs [`OFFICIAL`].
pub fn shared() -> Shared {
    Shared(std::env::var_os("RIPOSTE_SHARED").unwrap_or_default().into())
}

impl Shared {
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// A PyTorch file from `weights/`, as the command line imports it.
    pub fn weights(&self, file: &str) -> StateDict {
        let path = self.file(file);
        let bytes = std::fs::read(&path).unwrap();
        riposte_cli::weights_file::import(&path, &bytes, &Wanted::default()).unwrap().weights
    }

    /// Where a weights file is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join("weights").join(name)
    }
}

/// MNIST's training and test set.
///
/// # Panics
/// If the data is not at hand: a test that calls this needs [`OFFICIAL`].
pub fn mnist() -> &'static (Dataset, Dataset) {
    static MNIST: OnceLock<(Dataset, Dataset)> = OnceLock::new();
    MNIST.get_or_init(|| {
        let folder = shared().data().join("mnist");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let split = |images: &str, labels: &str| {
            let images = riposte::data::idx::parse_images(&read(images)).unwrap();
            let labels = riposte::data::idx::parse_labels(&read(labels)).unwrap();
            Dataset::new(images, labels, 10).unwrap()
        };
        (
            split("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
            split("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        )
    })
}

/// CIFAR-10's training and test set.
///
/// # Panics
/// If the data is not at hand: a test that calls this needs [`OFFICIAL`].
pub fn cifar10() -> &'static (Dataset, Dataset) {
    static CIFAR10: OnceLock<(Dataset, Dataset)> = OnceLock::new();
    CIFAR10.get_or_init(|| {
        let folder = shared().data().join("cifar10");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let batches: Vec<Vec<u8>> = (1..=5).map(|number| read(&format!("data_batch_{number}.bin"))).collect();
        let parse = |bytes: &[u8]| riposte::data::cifar::parse_binary(bytes).unwrap();
        (parse(&batches.concat()), parse(&read("test_batch.bin")))
    })
}
