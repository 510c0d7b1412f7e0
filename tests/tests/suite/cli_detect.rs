//! `riposte detect`: attacked images of a file, by feature squeezing.

use tempfile::tempdir;

use crate::cli_program::{failure, json, output, text};

#[test]
fn attacked_images_of_a_file_are_told_at_a_share_of_false_alarms() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("attacked.npz");
    output(&["eval", "--images", "24", "--riposte", "none", "--steps", "5", "--step-size", "0.1", "--out", "-", "--export", text(&file)]);
    let arguments = |more: &[&'static str]| [&["detect", text(&file), "--calibration-images", "200", "--json"], more].concat();
    let report = json(&arguments(&[]));
    let threshold = report["threshold"].as_f64().unwrap();
    assert!(threshold > 0.0 && threshold < 2.0, "{report}");
    let count = |name: &str, what: &str| report[name][what].as_u64().unwrap();
    assert_eq!((count("natural", "images"), count("attacked", "images")), (24, 24));
    assert!(count("fooling", "images") <= 24 && count("fooling", "detected") <= count("attacked", "detected"), "{report}");
    assert_eq!(report["squeezers"][0]["kind"], "bit-depth");
    // What repeats the threshold.
    assert_eq!((report["dataset"].as_str(), report["first"].as_u64()), (Some("digits"), Some(0)), "{report}");
    assert_eq!((report["calibration_images"].as_u64(), report["false_positives"].as_f64()), (Some(200), Some(0.05)), "{report}");
    // With no false alarm allowed the threshold is higher, and with all of them everything is one.
    let strict = json(&arguments(&["--false-positives", "0"]));
    assert!(strict["threshold"].as_f64().unwrap() >= threshold, "{strict}");
    assert_eq!(json(&arguments(&["--false-positives", "1"]))["natural"]["detected"], 24);
    assert_eq!(json(&arguments(&["--squeezer", "jpeg:50"]))["squeezers"][0]["quality"], 50);
    let table = output(&["detect", text(&file), "--calibration-images", "50"]);
    assert!(table.contains("attacked images that fool the model"), "{table}");
    assert!(table.contains("first 50 training images of digits") && table.contains("test images 0 to 23"), "{table}");
    let refused = failure(1, &["detect", text(&file), "--squeezer", "resize-pad"]);
    assert!(refused.contains("does not squeeze") && refused.contains("bit-depth, median, jpeg"), "{refused}");
    let refused = failure(1, &["detect", text(&file), "--calibration-images", "70000"]);
    assert!(refused.contains("--calibration-images 70000") && refused.contains("60000"), "{refused}");
}
