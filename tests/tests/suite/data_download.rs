//! Downloads from a server that cuts off, damages, ignores and refuses.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use riposte::data::fetch::download::{Downloader, Progress};
use riposte::data::fetch::official::{Mirrors, Published};
use riposte::data::fetch::{Library, Origin};
use riposte::spec::dataset::DatasetId;
use tempfile::tempdir;

use crate::data_server::{Answer, Server};
use crate::official;

const QUICK: Downloader = Downloader { tries: 3, pause: Duration::ZERO, patience: Duration::from_secs(5) };
/// MD5 of [`content`].
const MD5: &str = "14a1802113ce2773fe316b5a05dd3645";
const FILE: Published = Published { name: "thing.gz", bytes: 300_000, md5: MD5 };

fn content() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn unwatched(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Fetches [`FILE`] from the servers, in order.
fn fetch(servers: &[&Server], folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mirrors: Vec<String> = servers.iter().map(|server| server.url()).collect();
    let path = QUICK.fetch(&FILE, &mirrors, folder, &mut unwatched)?;
    assert_eq!(path, folder.join("thing.gz"));
    assert!(!folder.join("thing.gz.part").exists());
    Ok(fs::read(path)?)
}

fn range(from: u64) -> Option<String> {
    Some(format!("bytes={from}-"))
}

#[test]
fn a_file_arrives_whole_and_progress_is_reported() {
    let (server, folder) = (Server::new(content(), &[Answer::Serve]), tempdir().unwrap());
    let mut seen = Vec::new();
    let mut observer = |progress: Progress<'_>| {
        assert_eq!((progress.file, progress.total), ("thing.gz", 300_000));
        seen.push(progress.received);
        ControlFlow::Continue(())
    };
    let path = QUICK.fetch(&FILE, &[server.url()], &folder.path().join("new/folder"), &mut observer).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert!(seen.is_sorted() && seen[0] == 0 && seen.last() == Some(&300_000), "{seen:?}");
    assert_eq!(server.requests(), [("/thing.gz".into(), None)]);
}

#[test]
fn a_download_that_is_cut_off_is_resumed() {
    let answers = [Answer::CutAfter(100_000), Answer::CutAfter(50_000), Answer::Serve];
    let (server, folder) = (Server::new(content(), &answers), tempdir().unwrap());
    assert_eq!(fetch(&[&server], folder.path()).unwrap(), content());
    assert_eq!(server.ranges(), [None, range(100_000), range(150_000)]);
}

#[test]
fn a_server_that_knows_no_ranges_is_read_from_the_start() {
    let (server, folder) = (Server::new(content(), &[Answer::CutAfter(100_000), Answer::IgnoreRange]), tempdir().unwrap());
    assert_eq!(fetch(&[&server], folder.path()).unwrap(), content());
    assert_eq!(server.ranges(), [None, range(100_000)]);
}

#[test]
fn a_server_that_always_cuts_at_the_same_place_is_given_up() {
    let (server, folder) = (Server::new(content(), &[Answer::CutAfter(1000), Answer::CutAfter(0)]), tempdir().unwrap());
    let error = fetch(&[&server], folder.path()).unwrap_err().to_string();
    assert!(error.contains("cut off after 1000 of 300000 bytes"), "{error}");
    assert_eq!(server.requests().len(), 1 + QUICK.tries);
    assert_eq!(fs::metadata(folder.path().join("thing.gz.part")).unwrap().len(), 1000, "kept for the next time");
}

#[test]
fn a_stopped_download_goes_on_the_next_time() {
    let (server, folder) = (Server::new(content(), &[Answer::Serve]), tempdir().unwrap());
    let mut stop =
        |progress: Progress<'_>| if progress.received > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let error = QUICK.fetch(&FILE, &[server.url()], folder.path(), &mut stop).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(riposte::data::Error::Cancelled)));
    let received = fs::metadata(folder.path().join("thing.gz.part")).unwrap().len();
    assert!(received > 0 && received < FILE.bytes);
    assert_eq!(fetch(&[&server], folder.path()).unwrap(), content());
    assert_eq!(server.ranges(), [None, range(received)]);
}

#[test]
fn a_damaged_download_is_refused_and_discarded() {
    let (server, folder) = (Server::new(content(), &[Answer::Damage]), tempdir().unwrap());
    let error = fetch(&[&server], folder.path()).unwrap_err().to_string();
    assert!(error.contains("damaged") && error.contains(MD5) && error.contains("discarded"), "{error}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["download.lock"]);
}

#[test]
fn a_damaged_remainder_is_discarded_and_the_file_fetched_anew() {
    for length in [1000, 300_000, 300_001] {
        let (server, folder) = (Server::new(content(), &[Answer::Serve]), tempdir().unwrap());
        fs::write(folder.path().join("thing.gz.part"), vec![7; length]).unwrap();
        assert_eq!(fetch(&[&server], folder.path()).unwrap(), content(), "{length} damaged bytes");
    }
}

#[test]
fn a_missing_file_is_explained() {
    let (server, folder) = (Server::new(content(), &[Answer::Status(404)]), tempdir().unwrap());
    let error = fetch(&[&server], folder.path()).unwrap_err().to_string();
    assert!(error.contains(&format!("{}thing.gz: the file is not there any more", server.url())), "{error}");
    for advice in ["404", "--data DIR", "RIPOSTE_MIRROR", "--dataset digits"] {
        assert!(error.contains(advice), "{advice} is not in: {error}");
    }
    assert_eq!(server.requests().len(), 1, "asking again would not help");
}

#[test]
fn the_second_mirror_helps_out() {
    let good = Server::new(content(), &[Answer::Serve]);
    for bad in [Answer::Status(404), Answer::Status(500), Answer::Damage, Answer::CutAfter(0)] {
        let (bad, folder) = (Server::new(content(), &[bad]), tempdir().unwrap());
        assert_eq!(fetch(&[&bad, &good], folder.path()).unwrap(), content());
    }
    assert_eq!(good.ranges(), [None, None, None, None]);
}

#[test]
fn the_second_mirror_goes_on_where_the_first_stopped() {
    let bad = Server::new(content(), &[Answer::CutAfter(1000), Answer::Status(403)]);
    let (good, folder) = (Server::new(content(), &[Answer::Serve]), tempdir().unwrap());
    assert_eq!(fetch(&[&bad, &good], folder.path()).unwrap(), content());
    assert_eq!(good.ranges(), [range(1000)]);
}

#[test]
fn a_busy_server_is_asked_again() {
    let (server, folder) =
        (Server::new(content(), &[Answer::Status(503), Answer::Status(429), Answer::Serve]), tempdir().unwrap());
    assert_eq!(fetch(&[&server], folder.path()).unwrap(), content());
}

#[test]
fn another_file_under_the_name_is_refused() {
    let (server, folder) = (Server::new(content(), &[Answer::Status(200)]), tempdir().unwrap());
    let error = fetch(&[&server], folder.path()).unwrap_err().to_string();
    assert!(error.contains("sends another file: 30 bytes instead of 300000"), "{error}");
}

#[test]
fn a_silent_server_is_given_up() {
    let (server, folder) = (Server::new(content(), &[Answer::Silence]), tempdir().unwrap());
    let impatient = Downloader { tries: 1, patience: Duration::from_millis(200), ..QUICK };
    let start = Instant::now();
    let error = impatient.fetch(&FILE, &[server.url()], folder.path(), &mut unwatched).unwrap_err().to_string();
    assert!(error.contains("timeout"), "{error}");
    // Ten times the patience: the server itself is silent for two seconds.
    assert!(start.elapsed() < Duration::from_millis(1900));
}

#[test]
fn nobody_listening_is_explained() {
    let closed = Server::new(Vec::new(), &[Answer::Serve]).url();
    let error = QUICK.fetch(&FILE, &[closed], tempdir().unwrap().path(), &mut unwatched).unwrap_err().to_string();
    assert!(error.contains("efused") && error.contains("--data DIR"), "{error}");
}

#[test]
fn a_right_file_is_not_fetched_again_and_a_damaged_one_is() {
    let (server, folder) = (Server::new(content(), &[Answer::Serve]), tempdir().unwrap());
    fetch(&[&server], folder.path()).unwrap();
    fetch(&[&server], folder.path()).unwrap();
    assert_eq!(server.requests().len(), 1);
    let mut damaged = content();
    damaged[5] ^= 1;
    fs::write(folder.path().join("thing.gz"), damaged).unwrap();
    assert_eq!(fetch(&[&server], folder.path()).unwrap(), content());
}

#[test]
fn two_at_once_fetch_once() {
    let (server, folder) = (Server::new(content(), &[Answer::Serve]), tempdir().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(fetch(&[&server], folder.path()).unwrap(), content()));
        }
    });
    assert_eq!(server.requests().len(), 1);
}

#[test(needs(official::OFFICIAL))]
fn mnist_comes_from_a_mirror_into_the_cache() {
    let (server, cache) = (Server::folder(official::shared().data().join("mnist")), tempdir().unwrap());
    let library = Library {
        folder: None,
        cache: cache.path().to_owned(),
        mirrors: Mirrors::at(server.url().trim_end_matches('/')),
        downloader: QUICK,
    };
    assert_eq!(library.locate(DatasetId::Mnist, riposte::data::digits::Split::Test), None);
    let loaded = library.load(DatasetId::Mnist, riposte::data::digits::Split::Test, Some(100), &mut unwatched).unwrap();
    assert_eq!((loaded.dataset.len(), loaded.notes.len()), (100, 0));
    assert_eq!(loaded.origin, Origin::Files(cache.path().join("mnist")));
    assert_eq!(&loaded.dataset, &official::mnist().1.clone().take(100));
    assert_eq!(library.fetch(DatasetId::Mnist, &mut unwatched).unwrap(), loaded.origin);
    assert_eq!(server.requests().len(), 4, "the second time nothing is fetched");
}
