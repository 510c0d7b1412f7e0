//! Public weights on the official test sets: the counts of the real program against those of PyTorch (`tests/reference`).

use serde_json::Value;

use crate::cli_program::{json, text};
use crate::official::{self, OFFICIAL};

/// Images of 10,000 on which the two may disagree: where a gradient is about zero, float32 rounds its sign one way or the other.
const DISAGREE: u64 = 5;

#[test(needs(OFFICIAL))]
fn the_fast_mnist_weights_score_as_in_pytorch() {
    let mut test = Test::new("mnist", "fast");
    let attack = ["--epsilon", "0.3", "--step-size", "0.01", "--steps", "40", "--start", "zero", "--restarts", "1"];
    let report = test.eval(&[&attack[..], &["--stop", "never", "--riposte", "none"]].concat());
    test.exactly(&report, "natural_correct", "/natural_correct");
    test.nearly(&report, "robust_correct", "/stop never/robust_correct");
    // The search of the preset; one tiny step of adaptation, because only the neighbors are counted here.
    let search = ["--preset", "f-mnist", "--riposte", "fixed", "--post-iterations", "1", "--post-batch", "2", "--natural", "off"];
    let report = test.eval(&[&attack[..], &["--stop", "success"], &search].concat());
    test.nearly(&report, "robust_correct", "/stop success/robust_correct");
    test.nearly(&report, "neighbor_correct", "/stop success~1search f-mnist/neighbour_correct");
    test.nearly(&report, "riposted", "/stop success~1search f-mnist/with_neighbour");
}

#[test(needs(OFFICIAL))]
fn the_cifar10_weights_score_as_in_pytorch() {
    for (name, published) in [("resnet4b", 7720), ("cnn-a", 7417)] {
        let mut test = Test::new("cifar10", name);
        let report = test.eval(&["--attack", "none", "--riposte", "none"]);
        test.exactly(&report, "natural_correct", "/natural_correct");
        assert!(report["robust_correct"].is_null());
        // 23 of the test images at hand are not the official ones to the last bit.
        let natural = report["natural_correct"].as_u64().unwrap();
        assert!(natural.abs_diff(published) <= 23, "{name}: {natural} right, published {published}");
        let attack = ["--epsilon", "8/255", "--step-size", "2/255", "--steps", "20", "--start", "zero"];
        let report = test.eval(&[&attack[..], &["--stop", "never", "--riposte", "none"]].concat());
        test.nearly(&report, "robust_correct", "/stop never/robust_correct");
    }
}

/// A model on the whole test set, and what PyTorch counted there.
struct Test {
    dataset: &'static str,
    data: String,
    weights: String,
    reference: Value,
}

impl Test {
    fn new(dataset: &'static str, name: &str) -> Self {
        let shared = official::shared();
        let path = crate::package().join(format!("reference/{dataset}.json"));
        let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let reference = all["models"][name].clone();
        let weights = shared.file(reference["weights"].as_str().unwrap());
        Self { dataset, data: text(&shared.data()).to_owned(), weights: text(&weights).to_owned(), reference }
    }

    fn eval(&mut self, more: &[&str]) -> Value {
        let architecture = self.reference["architecture"].as_str().unwrap();
        let images = self.reference["images"].to_string();
        let arguments = [
            &["eval", "--weights", &self.weights, "--architecture", architecture, "--dataset", self.dataset],
            &["--data", &self.data, "--images", &images, "--seed", "0", "--device", "cpu", "--json"][..],
            more,
        ];
        json(&arguments.concat())
    }

    fn expected(&self, pointer: &str) -> u64 {
        self.reference.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no reference `{pointer}`"))
    }

    fn exactly(&self, report: &Value, key: &str, pointer: &str) {
        assert_eq!(report[key].as_u64(), Some(self.expected(pointer)), "{key}");
    }

    fn nearly(&self, report: &Value, key: &str, pointer: &str) {
        let (found, expected) = (report[key].as_u64().unwrap(), self.expected(pointer));
        assert!(found.abs_diff(expected) <= DISAGREE, "{key}: {found}, PyTorch {expected}");
    }
}
