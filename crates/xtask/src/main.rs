//! Set-up and orchestration: `cargo xtask demo`, `cargo xtask dist`, `cargo xtask test`.

mod bundle;
mod checks;
mod pack;
mod serve;
mod site;
mod test;
mod wasm;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Builds, serves and tests the project.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page, serve it on this machine and open it in a browser.
    Demo {
        #[command(flatten)]
        site: SiteArgs,
        /// Port to serve on; 0 takes a free one.
        #[arg(long, default_value_t = 8321)]
        port: u16,
        /// Do not open a browser.
        #[arg(long)]
        no_open: bool,
    },
    /// Build the static site, ready for any web server, at any path.
    Dist {
        #[command(flatten)]
        site: SiteArgs,
    },
    /// Build what tests and times the kernels in a browser: `checks.js` and `checks.wasm`.
    Checks {
        #[arg(long, default_value = "target/checks")]
        out: PathBuf,
        /// With Burn's own operations beside the kernels, and functions that time both.
        #[arg(long)]
        stock: bool,
    },
    /// Check the formatting, then run the native tests and the tests in a real browser.
    Test {
        #[command(flatten)]
        site: SiteArgs,
        /// Which of them to run; all unless given.
        #[arg(long, value_enum)]
        only: Vec<test::Part>,
    },
}

#[derive(Args)]
struct SiteArgs {
    /// Folder of the finished site.
    #[arg(long, default_value = "dist")]
    out: PathBuf,
    /// Folder that holds `mnist/` with the four official files and `cifar10/` with the binary batches; found or downloaded otherwise.
    #[arg(long, env = "RIPOSTE_DATA")]
    data: Option<PathBuf>,
    /// Folder of the models: weights (safetensors), each with its card (JSON).
    #[arg(long, default_value = "static/models")]
    models: PathBuf,
    /// Keep the names of functions, for a profiler: larger files, over their budgets.
    #[arg(long)]
    names: bool,
}

fn main() -> Result<()> {
    let root = root();
    match Cli::parse().command {
        Command::Demo { site, port, no_open } => {
            let folder = site.build(&root)?;
            serve::serve(&folder, port, !no_open)
        }
        Command::Dist { site } => site.build(&root).map(drop),
        Command::Checks { out, stock } => checks::build(&root, &root.join(out), stock),
        Command::Test { site, only } => test::run(&root, &site, &only),
    }
}

impl SiteArgs {
    /// Builds the site and returns its folder.
    fn build(&self, root: &Path) -> Result<PathBuf> {
        let out = root.join(&self.out);
        site::build(root, &out, self.data.as_deref(), &root.join(&self.models), self.names)?;
        Ok(out)
    }
}

/// The repository: cargo says at run time where the package lies. What the compiler was told can be out of date, where a build cache is
/// shared between checkouts.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.ancestors().nth(2).expect("crates/xtask lies two folders deep").to_path_buf()
}
