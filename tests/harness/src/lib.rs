//! Tests that are reported as ignored where this machine lacks what they need.
//!
//! `#[test]` means this crate's attribute in a test binary that begins with
//!
//! ```ignore
//! #[macro_use]
//! extern crate riposte_harness;
//!
//! fn main() -> std::process::ExitCode {
//!     riposte_harness::run()
//! }
//! ```
//!
//! and has `harness = false` in its manifest. `#[test(needs(WGPU))]` names what a test needs, as a [`Need`]. The need becomes part of the
//! test's name, as in `[needs a wgpu adapter] gpu::forward_agrees`, so that a line that says "ignored" (`cargo test`) or "SKIP" (nextest) says why.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};
pub use linkme;
pub use riposte_harness_attribute::test;

/// Something that not every machine has.
pub struct Need {
    name: &'static str,
    required_by: &'static str,
    look: fn() -> Result<(), String>,
    found: OnceLock<Result<(), String>>,
}

impl Need {
    /// `look` says what is missing. Where the environment variable `required_by` is set, a test whose need is missing fails.
    pub const fn new(name: &'static str, required_by: &'static str, look: fn() -> Result<(), String>) -> Self {
        Self { name, required_by, look, found: OnceLock::new() }
    }

    /// What is missing. A machine is asked once.
    fn missing(&self) -> Option<&str> {
        self.found.get_or_init(self.look).as_ref().err().map(String::as_str)
    }

    fn is_required(&self) -> bool {
        std::env::var_os(self.required_by).is_some_and(|value| !value.is_empty())
    }
}

/// A test, as the attribute registers it.
#[doc(hidden)]
pub struct Case {
    pub module: &'static str,
    pub function: &'static str,
    pub run: fn(),
    pub needs: &'static [&'static Need],
    /// Part of the message that the test has to panic with, if it has to.
    pub panics: Option<&'static str>,
}

#[doc(hidden)]
#[linkme::distributed_slice]
pub static CASES: [Case];

/// What the attribute writes beside a function.
#[doc(hidden)]
#[macro_export]
macro_rules! case {
    ($test:ident $(needs($($need:path),+ $(,)?))?) => {
        $crate::case!(@ $test, [$($(&$need),+)?], None);
    };
    ($test:ident $(needs($($need:path),+ $(,)?))? should_panic $((expected = $message:literal))?) => {
        $crate::case!(@ $test, [$($(&$need),+)?], Some(concat!($($message)?)));
    };
    (@ $test:ident, $needs:expr, $panics:expr) => {
        const _: () = {
            #[$crate::linkme::distributed_slice($crate::CASES)]
            #[linkme(crate = $crate::linkme)]
            static CASE: $crate::Case = $crate::Case {
                module: module_path!(),
                function: stringify!($test),
                run: $test,
                needs: &$needs,
                panics: $panics,
            };
        };
    };
}

/// Lists or runs the tests of this binary, as the command line asks.
pub fn run() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut cases: Vec<&Case> = CASES.iter().collect();
    cases.sort_by_key(|case| (case.module, case.function));
    let mut notes = BTreeSet::new();
    let trials = cases.into_iter().map(|case| trial(case, &arguments, &mut notes)).collect();
    notes.iter().for_each(|note| eprintln!("{note}"));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One test: ignored if a need of it is missing, failing at once if that need is required. Notes say what is missing.
fn trial(case: &'static Case, arguments: &Arguments, notes: &mut BTreeSet<String>) -> Trial {
    // Of `suite::golden`, what libtest shows: `golden`.
    let path = case.module.split_once("::").map_or(String::new(), |(_, module)| format!("{module}::")) + case.function;
    let needs: Vec<&str> = case.needs.iter().map(|need| need.name).collect();
    let kind = if needs.is_empty() { String::new() } else { format!("needs {}", needs.join(" and ")) };
    let run = Trial::test(&path, || match case.panics {
        None => {
            (case.run)();
            Ok(())
        }
        Some(message) => panics(case.run, message),
    })
    .with_kind(&kind);
    // Nextest starts one process for each test: only what that test needs is looked for. Whether it is ignored plays no part.
    if (Arguments { ignored: false, ..arguments.clone() }).is_filtered_out(&run) {
        return run;
    }
    let missing: Vec<(&Need, &str)> = case.needs.iter().filter_map(|need| Some((*need, need.missing()?))).collect();
    if let Some((need, missing)) = missing.iter().find(|(need, _)| need.is_required()) {
        let message = format!("{} is set, but {} is missing: {missing}", need.required_by, need.name);
        return Trial::test(path, || Err(message.into())).with_kind(kind);
    }
    for (need, missing) in &missing {
        notes.insert(format!("Tests that need {} are ignored: {missing}. {}=1 makes them fail.", need.name, need.required_by));
    }
    run.with_ignored_flag(!missing.is_empty())
}

/// Runs a test that has to panic with a message that contains this one.
fn panics(run: fn(), expected: &str) -> Result<(), Failed> {
    let Err(payload) = std::panic::catch_unwind(run) else { return Err("the test did not panic as expected".into()) };
    let message = payload.downcast_ref::<String>().map_or_else(|| payload.downcast_ref().copied().unwrap_or(""), String::as_str);
    if message.contains(expected) {
        Ok(())
    } else {
        Err(format!("panicked with {message:?}, which does not contain {expected:?}").into())
    }
}
