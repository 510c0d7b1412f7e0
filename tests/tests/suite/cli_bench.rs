//! `riposte bench`: its cells are runs of `riposte eval`, and whatever interrupts it loses no line.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::cli_program::{failure, json, output, riposte, text};

/// Few images of few cells of the robust model that comes with the program for the digits, on the CPU.
fn arguments<'a>(what: &[&'a str], out: &'a Path, only: &'a str, images: &'a str) -> Vec<&'a str> {
    let flags = [
        "--models",
        "digits-robust",
        "--dataset",
        "digits",
        "--device",
        "cpu",
        "--seeds",
        "1",
        "--only",
        only,
        "--images",
        images,
    ];
    [&["bench"], what, &flags, &["--search-images", images, "--out", text(out)]].concat()
}

/// The cells that only search.
fn search<'a>(out: &'a Path, images: &'a str) -> Vec<&'a str> {
    arguments(&["table4"], out, "untargeted", images)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_cell_is_what_eval_writes_with_the_same_settings() {
    let folder = tempdir().unwrap();
    let (out, single) = (folder.path().join("bench"), folder.path().join("single.jsonl"));
    output(&arguments(&["table2"], &out, "fixed-paper", "6"));
    let [cell] = &files(&out)[..] else { panic!("one cell, one file") };
    assert!(cell.ends_with("digits-robust-fixed-paper-seed0.jsonl"));
    let eval = ["eval", "--dataset", "digits", "--preset", "f-mnist", "--device", "cpu", "--images", "6", "--out", text(&single)];
    output(&eval);
    assert_eq!(fs::read_to_string(cell).unwrap(), fs::read_to_string(&single).unwrap());
}

#[test]
fn a_suite_goes_on_after_a_kill_and_its_files_equal_those_of_one_run() {
    let folder = tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    output(&search(&whole, "300"));
    let mut kills = 0;
    // Kills at moments that depend on the machine's load; the last run is left alone.
    for milliseconds in [150, 300, 600, 900] {
        let mut run = riposte(&search(&killed, "300")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(milliseconds) && run.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        kills += usize::from(run.try_wait().unwrap().is_none());
        let _ = run.kill();
        run.wait().unwrap();
    }
    assert!(kills > 0, "no run took 150 ms");
    output(&search(&killed, "300"));
    for (whole, killed) in files(&whole).iter().zip(files(&killed)) {
        assert_eq!(whole.file_name(), killed.file_name());
        assert_eq!(fs::read_to_string(whole).unwrap(), fs::read_to_string(killed).unwrap());
    }
}

#[test]
fn a_second_process_on_the_same_file_is_refused() {
    let folder = tempdir().unwrap();
    output(&search(folder.path(), "3"));
    let path = files(folder.path()).remove(0);
    let held = File::open(&path).unwrap();
    held.lock().unwrap();
    let message = failure(1, &search(folder.path(), "5"));
    assert!(message.contains(text(&path)) && message.contains("another run of this program is writing it"), "{message}");
    let eval = ["eval", "--dataset", "digits", "--device", "cpu", "--images", "3", "--out", text(&path)];
    assert!(failure(1, &eval).contains("another run of this program is writing it"));
    drop(held);
    output(&search(folder.path(), "5"));
}

#[test]
fn the_plan_shows_what_is_done_and_writes_nothing() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("bench");
    let plan = || json(&[arguments(&["plan", "table4"], &out, "untargeted", "8"), vec!["--json"]].concat());
    let cells = |plan: &serde_json::Value| plan["cells"].as_array().unwrap().clone();
    let before = plan();
    assert!(!out.exists());
    assert_eq!(cells(&before).len(), 2);
    assert!(before["seconds"].as_f64().unwrap() > 0.0 && cells(&before).iter().all(|cell| cell["done"] == 0));
    output(&search(&out, "8"));
    let after = plan();
    assert!(after["seconds"] == 0.0 && cells(&after).iter().all(|cell| cell["done"] == 8), "{after}");
}

#[test]
fn a_budget_that_nothing_fits_into_ends_well_and_says_so() {
    let folder = tempdir().unwrap();
    let said = output(&[arguments(&["table2"], folder.path(), "fixed", "2000"), vec!["--budget", "1ms"]].concat());
    assert!(said.contains("nothing yet") && said.contains("0 of 2 cells are complete"), "{said}");
}

#[test]
fn the_shards_of_a_cell_joined_are_the_cell() {
    let folder = tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    output(&search(&whole, "10"));
    for shard in ["0/3", "1/3", "2/3"] {
        output(&[search(&parts, "10"), vec!["--shard", shard]].concat());
    }
    let records = |files: &[PathBuf]| -> Vec<String> {
        let lines =
            files.iter().flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>());
        lines.filter(|line| line.starts_with(r#"{"input""#)).collect()
    };
    let (whole, parts) = (files(&whole), files(&parts));
    assert_eq!((whole.len(), parts.len()), (2, 6));
    for (cell, parts) in whole.iter().zip(parts.chunks(3)) {
        assert_eq!(records(std::slice::from_ref(cell)), records(parts));
    }
}

#[test]
fn a_part_of_tables_that_the_first_one_makes_has_nothing_to_do_and_has_not_failed() {
    let folder = tempdir().unwrap();
    let part = [arguments(&["table5", "table6"], folder.path(), "digits", "2"), vec!["--shard", "1/2"]].concat();
    let ended = riposte(&part).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && told.contains("this one has nothing to do"), "{told}");
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let folder = tempdir().unwrap();
    assert!(failure(1, &arguments(&["table2"], folder.path(), "no-such-cell", "2")).contains("no cell is left"));
    let twice = ["bench", "table2", "--models", "digits-robust,digits-robust", "--dataset", "digits"];
    assert!(failure(1, &twice).contains("two models would write the same files"));
    assert!(failure(1, &["bench", "table1", "--models", "digits-robust"]).contains("no model of the datasets of table1"));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(failure(1, &search(&file.join("below"), "2")).contains("cannot write to"));
}

#[test]
fn signs_of_gradients_go_on_after_a_line_that_was_cut_off_and_have_a_table() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("bench");
    let signs = |images| arguments(&["table6"], &out, "light-mnist-signs", images);
    let plan = output(&arguments(&["plan", "table6"], &out, "signs", "2"));
    assert!(plan.contains("digits-robust-f-mnist-signs, digits-robust-light-mnist-signs"), "{plan}");
    output(&signs("2"));
    let [file] = &files(&out)[..] else { panic!("one file") };
    let whole = fs::read_to_string(file).unwrap();
    assert_eq!(whole.matches("\"signs\"").count(), 2 * 8, "{whole}");
    // In the middle of the second input's lines.
    let first = whole.find("\"signs\"").unwrap();
    let done = first + whole[first..].find("done").unwrap();
    let cut = done + whole[done..].find("\"zoo\"").unwrap();
    fs::write(file, &whole[..cut]).unwrap();
    output(&signs("2"));
    assert_eq!(fs::read_to_string(file).unwrap(), whole);
    output(&["report", text(&out)]);
    let report: serde_json::Value = serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    let table = &report["tables"][0];
    assert!(table["title"].as_str().unwrap().starts_with("Table 6."), "{table}");
    for row in table["rows"].as_array().unwrap() {
        let same = row["what"].as_str().unwrap().ends_with("same draws");
        assert!(row["model"] == "digits-robust" && (!same || row["differing"]["right"] == 0), "{row}");
    }
}

#[test]
fn a_part_without_images_has_nothing_to_do_and_has_not_failed() {
    let folder = tempdir().unwrap();
    let ended = riposte(&[search(folder.path(), "5"), vec!["--shard", "0/20"]].concat()).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && told.contains("more parts than images"), "{told}");
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
    // The names are wrong all the same.
    let wrong = arguments(&["table2"], folder.path(), "no-such-cell", "5");
    assert!(failure(1, &[wrong, vec!["--shard", "0/20"]].concat()).contains("no cell is left"));
}

#[test]
fn a_part_of_more_images_does_not_go_on_with_a_file_of_fewer() {
    let folder = tempdir().unwrap();
    output(&[search(folder.path(), "5"), vec!["--shard", "1/2"]].concat());
    let message = failure(1, &[search(folder.path(), "10"), vec!["--shard", "1/2"]].concat());
    assert!(message.contains("begins with input 2, not 5") && message.contains("the same --images and --shard"), "{message}");
}

#[test]
fn a_budget_ends_an_attack_that_only_asks_and_says_what_is_unfinished() {
    let folder = tempdir().unwrap();
    let queries = arguments(&["table6"], folder.path(), "light-mnist-queries", "2");
    let clock = Instant::now();
    let said = output(&[queries, vec!["--budget", "5s"]].concat());
    assert!(
        said.contains("Not finished: digits-robust-light-mnist-queries.jsonl (0 of 2 inputs); the same command with more time"),
        "{said}"
    );
    // One input alone takes minutes.
    assert!(clock.elapsed() < Duration::from_secs(60), "{:?}", clock.elapsed());
}
