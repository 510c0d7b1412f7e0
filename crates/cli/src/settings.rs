//! What a run is made of: flags over a preset, resolved once into plain data.

use anyhow::{Result, ensure};
use riposte::spec::Choice;
use riposte::spec::dataset::DatasetId;
use riposte::spec::keys::{Heading, Key};
use riposte::spec::preset::{Preset, PresetName};
use riposte::spec::setup::Setup;

use crate::args::SettingFlags;

/// The preset named `preset`, or the recommended one of `dataset`, with `flags` and then `added` over it. Says on standard error what is allowed and
/// hardly meant.
///
/// # Errors
/// For a preset of another dataset, for settings out of range, and for such as would be ignored or contradict each other.
pub fn resolve(preset: Option<PresetName>, dataset: DatasetId, flags: &SettingFlags, added: &[(&str, &str)]) -> Result<Setup> {
    tell(of(preset, dataset, flags.given().chain(added.iter().copied()))?)
}

/// The same from names and values, in silence.
///
/// # Errors
/// As [`resolve`].
pub fn of<'a>(
    preset: Option<PresetName>,
    dataset: DatasetId,
    given: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Setup> {
    over(preset.unwrap_or(dataset.recommended()).preset(), dataset, given)
}

/// The same for one image that is watched.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_for_duel(preset: Option<PresetName>, dataset: DatasetId, flags: &SettingFlags) -> Result<Setup> {
    tell(over(preset.unwrap_or(dataset.recommended()).preset().for_duel(), dataset, flags.given())?)
}

/// `setup` for another defense in the riposte's place.
///
/// # Errors
/// If `flags` set something of the riposte.
pub fn without_riposte(setup: Setup, flags: &SettingFlags) -> Result<Setup> {
    for (name, _) in flags.given() {
        let is_of_riposte = Key::named(name).is_some_and(|key| key.heading == Heading::Riposte);
        ensure!(
            !is_of_riposte,
            "--{name} is a setting of the riposte, in whose place --defense puts another one: leave one of the two out"
        );
    }
    Ok(Setup { riposte: None, ..setup })
}

/// Says on standard error what is hardly meant.
fn tell(setup: Setup) -> Result<Setup> {
    setup.warnings().iter().for_each(|warning| eprintln!("Note: {warning}."));
    Ok(setup)
}

fn over<'a>(preset: Preset, dataset: DatasetId, given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Setup> {
    let name = preset.name;
    let suited: Vec<&str> = name.datasets().iter().map(|dataset| dataset.name()).collect();
    ensure!(
        name.datasets().contains(&dataset),
        "--preset {name} is a setup for {}, and the images are --dataset {dataset}: change one of the two",
        suited.join(" and ")
    );
    let setup = preset.with(given)?;
    let classes = dataset.classes().len();
    ensure!(
        setup.target.is_none_or(|target| target < classes),
        "--target is the number of a class, and those of {dataset} are 0 to {}",
        classes - 1
    );
    Ok(setup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use riposte::attack::{Pgd, Quantize, Stop};

    /// Of `riposte eval` with these flags.
    fn resolved(flags: &[&str]) -> Result<Setup> {
        let cli = Cli::try_parse_from(["riposte", "eval"].iter().chain(flags))?;
        let Some(Command::Eval(args)) = cli.command else { unreachable!("the command is `eval`") };
        resolve(args.preset, args.data.dataset.unwrap_or(DatasetId::Mnist), &args.settings, &[])
    }

    #[test]
    fn a_preset_sets_everything() {
        assert_eq!(resolved(&["--preset", "f-mnist"]).unwrap(), Preset::F_MNIST.setup());
        assert_eq!(resolved(&[]).unwrap(), DatasetId::Mnist.recommended().preset().setup());
        assert_eq!(resolved(&["--dataset", "cifar10"]).unwrap(), Preset::F_CIFAR.setup());
    }

    #[test]
    fn flags_override_the_preset_in_any_order_and_in_old_words() {
        let m_mnist = |flags: &[&str]| resolved(&[&["--preset", "m-mnist"][..], flags].concat()).unwrap();
        let flags = ["--stop", "success", "--epsilon", "8/255", "--attack", "pgd", "--post-lr", "0.01", "--batch-norm=batch"];
        let setup = m_mnist(&flags);
        assert_eq!(setup.pgd(), Some(Pgd { epsilon: 8.0 / 255.0, stop: Stop::AtSuccess, ..Pgd::MNIST }));
        assert_eq!(setup.riposte.unwrap().learning_rate, 0.01);
        let new = ["--stop=at-success", "--epsilon=8/255", "--post-learning-rate=0.01", "--post-batch-norm=batch-statistics"];
        assert_eq!(m_mnist(&new), setup);
    }

    #[test]
    fn none_switches_off_the_attack_and_the_riposte() {
        let setup = resolved(&["--attack", "none", "--riposte", "none"]).unwrap();
        assert_eq!(setup, Setup { attack: None, target: None, quantize: Quantize::None, riposte: None, counter: None });
    }

    #[test]
    fn flags_that_would_be_ignored_or_contradict_each_other_are_refused_and_named() {
        let cases = [
            ("--riposte fast --direction both", "`direction`", "fixed"),
            ("--post-epsilon 0.1", "`post-epsilon`", "fast"),
            ("--riposte fast --post-steps 3", "`post-steps`", "pgd"),
            ("--attack fgsm --steps 20", "`attack` fgsm", "`steps` 20"),
            ("--attack none --epsilon 0.3", "`epsilon`", "an attack"),
            ("--preset f-mnist --dataset cifar10", "--preset f-mnist", "--dataset cifar10"),
            ("--target 10", "--target", "0 to 9"),
        ];
        for (flags, first, second) in cases {
            let error = resolved(&flags.split(' ').collect::<Vec<_>>()).unwrap_err().to_string();
            assert!(error.contains(first) && error.contains(second), "{flags}: {error}");
        }
    }

    #[test]
    fn values_out_of_range_and_unknown_words_are_refused_with_the_flag_and_what_to_write() {
        let cases = [
            ("--epsilon 8", "--epsilon", "write 8/255"),
            ("--epsilon -0.1", "--epsilon", "pixel range"),
            ("--post-batch-size 7", "--post-batch-size", "even"),
            ("--loss hinge", "--loss", "cross-entropy"),
            ("--preset nope", "--preset", "f-mnist"),
        ];
        for (flags, flag, hint) in cases {
            let error = resolved(&flags.split(' ').collect::<Vec<_>>()).unwrap_err().to_string();
            assert!(error.contains(flag) && error.contains(hint), "{flags}: {error}");
        }
    }
}
