//! The official files: names, sizes, checksums and hosts.

/// A file as its publisher describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    pub name: &'static str,
    /// Size, in bytes.
    pub bytes: u64,
    /// MD5, in lowercase hexadecimal digits. It guards against damage, not against an attacker: that is HTTPS's part.
    pub md5: &'static str,
}

/// MNIST: training images and labels, test images and labels.
pub const MNIST: [Published; 4] = [
    Published { name: "train-images-idx3-ubyte.gz", bytes: 9_912_422, md5: "f68b3c2dcbeaaa9fbdd348bbdeb94873" },
    Published { name: "train-labels-idx1-ubyte.gz", bytes: 28_881, md5: "d53e105ee54ea40749a09fcbcd1e9432" },
    Published { name: "t10k-images-idx3-ubyte.gz", bytes: 1_648_877, md5: "9fb629c4189551a2d022fa330f9573f3" },
    Published { name: "t10k-labels-idx1-ubyte.gz", bytes: 4_542, md5: "ec29112dd5afa0611ce80d1b7f02629c" },
];

/// MD5 of the files of [`MNIST`], unpacked.
pub(super) const MNIST_UNPACKED: [&str; 4] = [
    "6bbc9ace898e44ae57da46a324031adb",
    "a25bea736e30d166cdddb491f175f624",
    "2646ac647ad5339dbf082846283269ea",
    "27ae3e4e09519cfbb04c329615203637",
];

/// CIFAR-10, binary version.
pub const CIFAR10_BINARY: Published =
    Published { name: "cifar-10-binary.tar.gz", bytes: 170_052_171, md5: "c32a1d4ab5d03f1284b67883e8d87530" };

/// CIFAR-10, Python version.
pub const CIFAR10_PYTHON: Published =
    Published { name: "cifar-10-python.tar.gz", bytes: 170_498_071, md5: "c58f30108f718f92721af3b95e74349a" };

/// MD5 of the Python batches: five of training images, then the test batch.
pub(super) const CIFAR10_PYTHON_BATCHES: [&str; 6] = [
    "c99cafc152244af753f735de768cd75f",
    "d4bba439e000b95fd0a9bffe97cbabec",
    "54ebc095f3ab1f0389bbae665268c751",
    "634d18415352ddfa80567beed471001a",
    "482c414d41f54cd18b22e5b47cb7c3cb",
    "40351d587109b95175f43aff81a1287e",
];

/// Base URLs to fetch from, in order of preference: a file is at `base` + its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    pub mnist: Vec<String>,
    pub cifar10: Vec<String>,
}

impl Mirrors {
    pub fn official() -> Self {
        Self {
            mnist: vec![
                "https://ossci-datasets.s3.amazonaws.com/mnist/".into(),
                "https://storage.googleapis.com/cvdf-datasets/mnist/".into(),
            ],
            cifar10: vec!["https://www.cs.toronto.edu/~kriz/".into()],
        }
    }

    /// One place that holds all files side by side.
    pub fn at(base: &str) -> Self {
        let base = format!("{}/", base.trim_end_matches('/'));
        Self { mnist: vec![base.clone()], cifar10: vec![base] }
    }
}
