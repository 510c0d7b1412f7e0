use super::*;
use crate::attack::{Attack, Cw, Loss, Norm, Pgd, Start, Stop};
use crate::post_train::{Augmentation, BatchNormMode, Direction, Perturbation, PostTrain, TrainingData};
use crate::quantize::Quantize;

#[test]
fn no_two_settings_share_a_name_or_an_alias() {
    let mut names: Vec<&str> = KEYS.iter().flat_map(|key| std::iter::once(&key.name).chain(key.aliases)).copied().collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn what_a_setting_prints_it_reads() {
    for preset in Preset::ALL {
        for perturbation in [preset.post_train.perturbation, preset.fast, preset.pgd, Perturbation::Normal] {
            let setup = Setup { riposte: Some(PostTrain { perturbation, ..preset.post_train }), ..preset.setup() };
            for key in KEYS {
                let Some(value) = key.get(&setup) else { continue };
                key.check(&value).unwrap();
                let mut same = setup;
                key.set(&mut same, &preset, &value).unwrap();
                assert_eq!(same, setup, "{key:?} {value}");
            }
        }
    }
}

/// A preset's setup with each of the attacks.
fn of_every_kind(preset: &Preset) -> Vec<Setup> {
    AttackKind::ALL.iter().map(|kind| preset.with([("attack", kind.name())]).unwrap()).collect()
}

#[test]
fn every_word_of_a_setting_and_every_alias_is_read_as_one_value() {
    for key in KEYS {
        let Kind::Words(words) = key.kind() else { continue };
        for word in words {
            // In the first setup that has a place for it.
            let set = |text: &str| {
                let setups = std::iter::once(Preset::M_MNIST.setup()).chain(of_every_kind(&Preset::M_MNIST));
                let set = |mut setup: Setup| key.set(&mut setup, &Preset::M_MNIST, text).is_ok().then_some(setup);
                setups.into_iter().find_map(set).unwrap()
            };
            assert_eq!(key.get(&set(word.name)).as_deref().unwrap_or("none"), word.name, "{key:?}");
            assert!(word.aliases.iter().all(|alias| set(alias) == set(word.name)), "{key:?} {word:?}");
            assert!(!word.about.is_empty() && !word.about.ends_with('.'), "{key:?} {word:?}");
        }
    }
}

/// Each setting away from the preset, one after the other and all together.
#[test]
fn any_setup_is_its_preset_and_the_differences() {
    let other: &[(&str, &[&str])] = &[
        ("attack", &["none", "fgsm"]),
        ("norm", &["l-infinity"]),
        ("epsilon", &["0.123", "7/255"]),
        ("step-size", &["0.05", "1/255"]),
        ("steps", &["1", "3"]),
        ("start", &["zero", "uniform"]),
        ("stop", &["never", "at-success"]),
        ("restarts", &["3"]),
        ("loss", &["margin", "dlr"]),
        ("target", &["7"]),
        ("quantize", &["8"]),
        ("targets", &["3"]),
        ("queries", &["100"]),
        ("window-share", &["0.05"]),
        ("schedule", &["relative"]),
        ("colors", &["changing"]),
        ("candidates", &["4"]),
        ("rounds", &["3"]),
        ("constant", &["0.1"]),
        ("confidence", &["2.5"]),
        ("attack-learning-rate", &["0.02"]),
        ("riposte", &["none", "fast", "pgd", "normal"]),
        ("direction", &["positive", "negative"]),
        ("search", &["targeted"]),
        ("search-epsilon", &["0.2"]),
        ("search-step-size", &["0.2"]),
        ("search-steps", &["1", "7"]),
        ("search-start", &["uniform"]),
        ("search-stop", &["never", "at-success"]),
        ("search-restarts", &["2"]),
        ("search-loss", &["margin"]),
        ("post-iterations", &["7"]),
        ("post-batch-size", &["32"]),
        ("post-learning-rate", &["0.01"]),
        ("post-momentum", &["0"]),
        ("post-nesterov", &["off"]),
        ("post-epsilon", &["0.1"]),
        ("post-step-size", &["0.2"]),
        ("post-steps", &["3"]),
        ("post-data", &["original-and-random", "whole-set"]),
        ("post-augmentation", &["none", "crop-flip", "crop-flip:2"]),
        ("post-batch-norm", &["frozen", "batch-statistics"]),
        ("post-parameters", &["last-stage", "head", "normalization"]),
        ("post-draws", &["kept"]),
        ("post-exit", &["settled", "ahead"]),
        ("post-precision", &["mixed"]),
        ("counter", &["transfer", "square", "all"]),
        ("counter-steps", &["7"]),
        ("counter-rounds", &["3"]),
        ("counter-adaptations", &["2"]),
        ("counter-queries", &["50"]),
        ("counter-finalists", &["3"]),
        ("counter-judges", &["5"]),
    ];
    assert_eq!(other.iter().map(|(name, _)| *name).collect::<Vec<_>>(), KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
    for preset in Preset::ALL {
        let mut all = preset.setup();
        let kinds = of_every_kind(&preset);
        let mut walked = kinds.clone();
        for (name, values) in other {
            for value in *values {
                for start in kinds.iter().chain([&all]) {
                    let mut changed = *start;
                    if apply(&mut changed, &preset, name, value).is_ok() && changed.check().is_ok() {
                        walked.push(changed);
                    }
                }
                if !["none", "fgsm"].contains(value) {
                    let _ = apply(&mut all, &preset, name, value);
                }
            }
        }
        assert!(walked.len() > 200, "{}", walked.len());
        for setup in walked {
            let differences = differences(&preset, &setup);
            let given = || differences.iter().map(|(name, value)| (*name, value.as_str()));
            assert_eq!(preset.with(given()), Ok(setup), "{differences:?}");
            assert_eq!(preset.with_link(given().rev_in_place()), (setup, vec![]), "{differences:?}");
        }
        assert!(differences(&preset, &preset.setup()).is_empty());
    }
}

/// The same in the reverse order.
trait RevInPlace<'a>: Iterator<Item = (&'a str, &'a str)> + Sized {
    fn rev_in_place(self) -> std::iter::Rev<std::vec::IntoIter<(&'a str, &'a str)>> {
        self.collect::<Vec<_>>().into_iter().rev()
    }
}

impl<'a, I: Iterator<Item = (&'a str, &'a str)>> RevInPlace<'a> for I {}

#[test]
fn settings_override_the_preset_and_nothing_else() {
    let setup = Preset::F_MNIST.with([("epsilon", "0.2"), ("stop", "never"), ("riposte", "fast"), ("post-iterations", "10")]);
    let attack = Attack::Pgd(Pgd { epsilon: 0.2, stop: Stop::Never, ..Preset::F_MNIST.attack });
    let riposte = PostTrain { perturbation: Preset::F_MNIST.fast, iterations: 10, ..Preset::F_MNIST.post_train };
    assert_eq!(
        setup,
        Ok(Setup { attack: Some(attack), target: None, quantize: Quantize::None, riposte: Some(riposte), counter: None })
    );
}

#[test]
fn fgsm_is_one_step_of_the_given_radius() {
    let setup = Preset::M_MNIST.with([("epsilon", "0.1"), ("attack", "fgsm")]).unwrap();
    assert_eq!(setup.attack, Some(Attack::Pgd(Pgd::fgsm(0.1))));
    let back = Preset::M_MNIST.with([("attack", "pgd"), ("epsilon", "0.1")]).unwrap();
    assert_eq!(back.attack, Some(Attack::Pgd(Pgd { epsilon: 0.1, ..Pgd::MNIST })));
}

#[test]
fn an_attack_by_its_name_has_its_standard_settings_and_the_radius_of_the_preset() {
    for kind in AttackKind::ALL {
        let setup = Preset::F_CIFAR.with([("attack", kind.name())]).unwrap();
        assert_eq!(setup.attack_kind(), *kind);
        assert!(setup.attack.and_then(|attack| attack.epsilon()).is_none_or(|epsilon| epsilon == 8.0 / 255.0), "{kind}");
    }
    let setup = Preset::M_MNIST.with([("norm", "linf"), ("steps", "7"), ("attack", "cw")]).unwrap();
    assert_eq!(setup.attack, Some(Attack::Cw(Cw { steps: 7, ..Cw::L_INFINITY })), "the norm decides on the rest");
}

#[test]
fn attacks_are_read_from_json_as_they_are_written_and_pgd_as_it_always_was() {
    for kind in AttackKind::ALL.iter().filter(|kind| **kind != AttackKind::None) {
        let attack = Attack::standard(*kind, 0.25);
        let json = serde_json::to_string(&attack).unwrap();
        assert_eq!(serde_json::from_str::<Option<Attack>>(&json).unwrap(), attack, "{json}");
        assert_eq!(json.contains("kind"), !matches!(attack, Some(Attack::Pgd(_))), "{json}");
        let unknown = json.replacen('{', r#"{"nothing":1,"#, 1);
        assert!(serde_json::from_str::<Option<Attack>>(&unknown).is_err(), "{unknown}");
    }
    let old = r#"{"epsilon":0.3,"loss":"cross-entropy","restarts":1,"start":"zero","step_size":0.01,"steps":40,"stop":"never"}"#;
    assert_eq!(serde_json::from_str::<Attack>(old).unwrap(), Attack::Pgd(Pgd::MNIST));
}

#[test]
fn settings_that_would_be_ignored_are_refused() {
    let refused = |given: &[(&str, &str)]| Preset::M_MNIST.with(given.iter().copied()).unwrap_err().to_string();
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: [(Pairs, [&str; 2]); 13] = [
        (&[("queries", "3")], ["`queries`", "square and auto"]),
        (&[("attack", "square"), ("step-size", "0.1")], ["`step-size`", "`attack` pgd"]),
        (&[("attack", "cw"), ("epsilon", "0.1")], ["`epsilon`", "`attack` is cw"]),
        (&[("riposte", "fast"), ("direction", "both")], ["`direction`", "`riposte` fixed"]),
        (&[("post-epsilon", "0.1")], ["`post-epsilon`", "fast and pgd"]),
        (&[("riposte", "fast"), ("post-steps", "3")], ["`post-steps`", "`riposte` pgd"]),
        (&[("riposte", "none"), ("search-steps", "3")], ["`search-steps`", "a riposte"]),
        (&[("attack", "none"), ("epsilon", "0.3")], ["`epsilon`", "an attack"]),
        (&[("target", "3"), ("attack", "none")], ["`target`", "an attack"]),
        (&[("steps", "20"), ("attack", "fgsm")], ["`attack` fgsm", "`steps` 20"]),
        (&[("counter", "square"), ("counter-steps", "20")], ["`counter-steps`", "climbs, and `counter` is square"]),
        (
            &[("counter", "transfer"), ("counter-rounds", "3")],
            ["`counter-rounds`", "fixed-point and all, and `counter` is transfer"],
        ),
        (&[("counter", "gmsa-minimum"), ("counter-queries", "3")], ["`counter-queries`", "`counter` square, rays and all"]),
    ];
    for (given, words) in cases {
        let error = refused(given);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn unknown_names_and_values_out_of_range_are_refused_in_a_sentence() {
    let refused = |name: &str, value: &str| Preset::M_MNIST.with([(name, value)]).unwrap_err().to_string();
    assert!(refused("nope", "1").contains("no setting `nope`"));
    assert!(refused("loss", "hinge").contains("use cross-entropy, margin, dlr"));
    assert!(refused("post-batch-size", "7").contains("even"));
    assert!(refused("post-momentum", "1").contains("below 1"));
    assert!(refused("epsilon", "8").contains("8/255"));
    assert!(refused("restarts", "0").contains("at least 1"));
    assert!(refused("restarts", "257").contains("256"));
    assert!(refused("target", "cat").contains("number of a class"));
}

/// Every key of a link of version 0.1, with values other than the preset's.
#[test]
fn old_links_go_on_working() {
    let link = "eps=0.2&step=0.0078431375&steps=30&start=uniform&stop=success&loss=margin&target=4&search=targeted&s-eps=0.1\
                &s-step=0.02&s-steps=7&s-start=uniform&s-stop=success&s-loss=margin&train=fast:0.3:0.375&pool=random&augment=4&k=20\
                &m=64&lr=0.01&momentum=0.5&nesterov=false&bn=batch&unknown=1";
    let (setup, refused) = Preset::M_MNIST.with_link(link.split('&').filter_map(|pair| pair.split_once('=')));
    assert_eq!(refused.iter().map(|refused| refused.name).collect::<Vec<_>>(), ["unknown"]);
    let attack = Pgd {
        norm: Norm::LInfinity,
        epsilon: 0.2,
        step_size: 2.0 / 255.0,
        steps: 30,
        restarts: 1,
        start: Start::Uniform,
        stop: Stop::AtSuccess,
        loss: Loss::Margin,
    };
    assert_eq!((setup.attack, setup.target), (Some(Attack::Pgd(attack)), Some(4)));
    let riposte = setup.riposte.unwrap();
    assert_eq!(riposte.search.attack, Pgd { epsilon: 0.1, step_size: 0.02, steps: 7, ..attack });
    assert_eq!(riposte.search.method.name(), "targeted");
    assert_eq!(riposte.perturbation, Perturbation::Fast { epsilon: 0.3, step_size: 0.375 });
    assert_eq!((riposte.data, riposte.augmentation), (TrainingData::OriginalAndRandom, Augmentation::CropFlip { padding: 4 }));
    assert_eq!((riposte.iterations, riposte.batch_size, riposte.learning_rate), (20, 64, 0.01));
    assert_eq!((riposte.momentum, riposte.nesterov, riposte.batch_norm), (0.5, false, BatchNormMode::BatchStatistics));
    let of = |pair: (&str, &str)| Preset::M_MNIST.with_link([pair]).0.riposte.unwrap();
    assert_eq!(of(("train", "fixed-negative")).perturbation, Perturbation::Fixed(Direction::Negative));
    assert_eq!(of(("train", "pgd:8/255:0.01:4")).perturbation.kind().name(), "pgd");
    assert_eq!(of(("pool", "all")).data, TrainingData::WholeSet);
    assert_eq!(of(("pool", "neighbor")).data, TrainingData::OriginalAndNeighbor);
}

#[test]
fn a_link_does_not_ask_for_hours() {
    for pair in [("steps", "501"), ("k", "1001"), ("m", "514"), ("m", "33"), ("eps", "2"), ("restarts", "17"), ("augment", "17")]
    {
        let (setup, refused) = Preset::M_MNIST.with_link([pair]);
        assert_eq!(setup, Preset::M_MNIST.setup(), "{pair:?}");
        assert!(refused.len() == 1 && refused[0].name == pair.0 && refused[0].value == pair.1, "{refused:?}");
    }
}

#[test]
fn old_flags_go_on_working() {
    let old = [
        ("post-batch", "32"),
        ("post-lr", "0.1"),
        ("batch-norm", "batch"),
        ("stop", "success"),
        ("search-stop", "success"),
        ("post-data", "original+neighbour"),
        ("direction", "pos"),
    ];
    let setup = Preset::M_MNIST.with(old).unwrap();
    let riposte = setup.riposte.unwrap();
    assert_eq!((riposte.batch_size, riposte.learning_rate, riposte.batch_norm), (32, 0.1, BatchNormMode::BatchStatistics));
    assert_eq!((setup.pgd().unwrap().stop, riposte.search.attack.stop), (Stop::AtSuccess, Stop::AtSuccess));
    assert_eq!(riposte.perturbation, Perturbation::Fixed(Direction::Positive));
}

/// The settings of a results file of version 0.1.
#[test]
fn old_json_is_read_and_written_in_the_words_of_today() {
    let old = r#"{"augmentation":{"CropFlip":{"padding":4}},"batch_norm":"frozen","batch_size":256,"data":"original-and-neighbour","iterations":50,"learning_rate":0.001,"momentum":0.9,"nesterov":true,"perturbation":{"fixed":"both"},"search":{"attack":{"epsilon":0.03137255,"loss":"cross-entropy","restarts":1,"start":"zero","step_size":0.039215688,"steps":20,"stop":"at-success"},"method":"untargeted"}}"#;
    let read: PostTrain = serde_json::from_str(old).unwrap();
    assert_eq!(read, Preset::F_CIFAR.post_train);
    let written = serde_json::to_string(&read).unwrap();
    assert!(
        written.contains(r#""data":"original-and-neighbor""#) && written.contains(r#"{"crop-flip":{"padding":4}}"#),
        "{written}"
    );
    assert_eq!(serde_json::from_str::<PostTrain>(&written).unwrap(), read);
    let unknown = old.replacen("iterations", "repetitions", 1);
    assert!(serde_json::from_str::<PostTrain>(&unknown).is_err());
}
