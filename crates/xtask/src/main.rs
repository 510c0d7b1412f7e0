//! Set-up and orchestration: `cargo xtask demo`, `cargo xtask dist`, `cargo xtask test`, and the hooks of trunk's build.

mod cases;
mod content;
mod finish;
mod package;
mod page;
mod single;
mod site;
mod test;
mod toolchain;
mod tools;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use riposte_data::fetch::Library;
use riposte_spec::dataset::DatasetId;

use crate::cases::Arena;
use crate::finish::{Budgets, Profile};
use crate::page::Page;

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
        page: Page,
        /// Port to serve on.
        #[arg(long, default_value_t = 8321)]
        port: u16,
        /// Do not open a browser.
        #[arg(long)]
        no_open: bool,
    },
    /// Build the static site, ready for any web server, at any path.
    Dist {
        #[command(flatten)]
        page: Page,
        /// Write the whole site as one file, too, which can be opened without a server: `riposte.html` in its folder.
        #[arg(long)]
        single_file: bool,
    },
    /// Build the element that the Python module shows in notebooks, with the project's own digits unless other data sets are named: before the
    /// wheel is built.
    Element {
        #[command(flatten)]
        page: Page,
        /// File of the element.
        #[arg(long, default_value = page::ELEMENT)]
        file: PathBuf,
    },
    /// Build the element as a package for npm, with the project's own digits unless other data sets are named: `npm pack` there packs it.
    Npm {
        #[command(flatten)]
        page: Page,
    },
    /// Build what tests and times the kernels in a browser: a page of its own.
    Checks {
        /// Folder of that page. What else is in it is deleted.
        #[arg(long, default_value = "target/checks")]
        out: PathBuf,
        /// With Burn's own operations beside the kernels, and functions that time both.
        #[arg(long)]
        stock: bool,
    },
    /// Check the formatting, then run the native tests and the tests in a real browser.
    Test {
        #[command(flatten)]
        page: Page,
        /// Which of them to run; all unless given.
        #[arg(long, value_enum)]
        only: Vec<test::Part>,
    },
    /// Fight the duels over the project's own images anew, which come with it as prepared cases of the page (`static/cases`).
    Cases,
    /// What trunk calls while it builds the page (`web/Trunk.toml`).
    #[command(subcommand)]
    Hook(Hook),
}

/// The arguments come from trunk's environment.
#[derive(Subcommand)]
enum Hook {
    /// Put models, packed images and the manifest of both into the site.
    Pack {
        #[arg(long, env = "TRUNK_STAGING_DIR")]
        site: PathBuf,
        #[arg(long, env = "RIPOSTE_DATA")]
        data: Option<PathBuf>,
        #[arg(long, env = "RIPOSTE_MIRROR")]
        mirror: Option<String>,
        #[arg(long, env = "RIPOSTE_MODELS", default_value = "static/models")]
        models: PathBuf,
        #[arg(long, env = "RIPOSTE_DATASETS", value_delimiter = ',')]
        datasets: Vec<DatasetId>,
        /// The native program, which fights the duels of the prepared cases; without it there are those that come with the project.
        #[arg(long, env = "RIPOSTE_BINARY")]
        program: Option<PathBuf>,
    },
    /// Check what a visitor downloads against its budgets, and name files by their content.
    Finish {
        #[arg(long, env = "TRUNK_STAGING_DIR")]
        site: PathBuf,
        #[arg(long, env = "TRUNK_PROFILE", value_enum)]
        profile: Profile,
        #[arg(long, env = "RIPOSTE_BUDGETS", value_enum, default_value_t = Budgets::Kept)]
        budgets: Budgets,
        #[arg(long, env = "RIPOSTE_ADDRESS")]
        address: Option<String>,
    },
}

fn main() -> Result<()> {
    let root = root();
    match Cli::parse().command {
        Command::Demo { page, port, no_open } => page.serve(&root, port, !no_open),
        Command::Dist { page, single_file } => {
            let site = page.build(&root)?;
            if single_file { single::write(&site, single::Page::Main, &[], &site.join("riposte.html")) } else { Ok(()) }
        }
        Command::Element { page, file } => {
            let site = page.as_package("target/element").build(&root)?;
            single::write(&site, single::Page::Frame, &[], &root.join(file))
        }
        Command::Npm { page } => package::make(&root, &page.as_package("target/npm").build(&root)?),
        Command::Checks { out, stock } => page::checks(&root, &root.join(out), stock),
        Command::Test { page, only } => test::run(&root, &page, &only),
        Command::Cases => Arena::new(&root, Some(test::riposte(&root)?), None).keep_all(&root.join("static/models")),
        Command::Hook(Hook::Pack { site, data, mirror, models, datasets, program }) => {
            let arena = Arena::new(&root, program, data.clone());
            site::fill(&site, &Library::new(data, mirror.as_deref())?, &root.join(models), &datasets, &arena)
        }
        Command::Hook(Hook::Finish { site, profile, budgets, address }) => {
            finish::finish(&site, profile, budgets, address.as_deref())
        }
    }
}

/// The repository: cargo says at run time where the package lies. What the compiler was told can be out of date, where a build cache is
/// shared between checkouts.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.ancestors().nth(2).expect("crates/xtask lies two folders deep").to_path_buf()
}
