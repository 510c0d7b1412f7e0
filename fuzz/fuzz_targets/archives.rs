//! Archives of data sets, as a folder of a user's may hold them: the first byte says under which name.
#![no_main]

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use riposte_data::fetch::Library;
use riposte_spec::dataset::{DatasetId, Split};

/// On a file system in memory where there is one.
static FOLDERS: LazyLock<[PathBuf; 3]> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    ["archive", "mnist", "cifar10"].map(|name| {
        let folder = base.join(format!("riposte-fuzz-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder of its own");
        folder
    })
});

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let (folder, file, dataset) = match which % 3 {
        0 => (&FOLDERS[0], "cifar-10-binary.tar.gz", DatasetId::Cifar10),
        1 => (&FOLDERS[1], "mnist.npz", DatasetId::Mnist),
        _ => (&FOLDERS[2], "cifar10.npz", DatasetId::Cifar10),
    };
    std::fs::write(folder.join(file), bytes).expect("the folder takes a file");
    // A folder is looked at alone: nothing is downloaded.
    let library = Library::new(Some(folder.clone()), None).expect("the folder is there");
    if let Ok(loaded) = library.load(dataset, Split::Test, None, &mut |_| ControlFlow::Continue(())) {
        assert!(loaded.dataset.labels().iter().all(|label| *label < 10));
    }
});
