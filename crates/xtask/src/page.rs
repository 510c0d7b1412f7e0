//! The page: trunk builds and serves it. Here is only what trunk must be given.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use riposte_spec::dataset::DatasetId;

use crate::toolchain::Toolchain;
use crate::tools::{self, Tool};

/// Where the Python package has the element.
pub const ELEMENT: &str = "crates/python/riposte/element.html";

#[derive(Args)]
pub struct Page {
    /// Folder of what is built. What else is in it is deleted. [default: dist; target/npm for npm, target/element for Python]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder that holds `mnist/` with the four official files and `cifar10/` with the binary batches; found or downloaded otherwise.
    #[arg(long, env = "RIPOSTE_DATA")]
    data: Option<PathBuf>,
    /// Folder of the models: weights (safetensors), each with its card (JSON).
    #[arg(long, default_value = "static/models")]
    models: PathBuf,
    /// Data sets of the site, of those that have a model and images at hand [default: all].
    #[arg(long = "dataset", value_delimiter = ',', value_name = "NAME")]
    datasets: Vec<DatasetId>,
    /// The native program, which fights the duels that the page shows at once; built where none is named.
    #[arg(long, env = "RIPOSTE_BINARY")]
    program: Option<PathBuf>,
    /// Address that the site will have: other sites show a picture of a link only where they are told a whole address of it.
    #[arg(long, env = "RIPOSTE_ADDRESS")]
    address: Option<String>,
    /// Keep the names of functions, for a profiler: larger files, over their budgets. Compiles the page anew.
    #[arg(long)]
    names: bool,
}

impl Page {
    /// As part of a package: without images of others, and in the folder `out`, unless something else was asked for.
    pub fn as_package(mut self, out: &str) -> Self {
        if self.datasets.is_empty() {
            self.datasets.push(DatasetId::Digits);
        }
        self.out.get_or_insert_with(|| out.into());
        self
    }

    /// Builds the site and returns its folder.
    pub fn build(&self, root: &Path) -> Result<PathBuf> {
        let out = root.join(self.out.as_deref().unwrap_or(Path::new("dist")));
        ensure_replaceable(&out, "riposte.js")?;
        run(self.trunk(root, "build")?.arg("--dist").arg(&out))?;
        println!("The site is in {}.", out.display());
        Ok(out)
    }

    /// Builds the site and serves it until the program is ended.
    pub fn serve(&self, root: &Path, port: u16, open: bool) -> Result<()> {
        // A server would come up even if nothing could be built.
        let out = self.build(root)?;
        let mut trunk = self.trunk(root, "serve")?;
        trunk.arg("--dist").arg(out).args(["--no-autoreload", "--address", "127.0.0.1", "--port"]).arg(port.to_string());
        if open {
            trunk.arg("--open");
        }
        run(&mut trunk)
    }

    fn trunk(&self, root: &Path, command: &str) -> Result<Command> {
        let mut trunk = trunk(root, "web", command)?;
        // The hooks read these.
        trunk.env("RIPOSTE_MODELS", root.join(&self.models));
        // Before trunk: in its environment cargo would compile with other flags.
        trunk.env(
            "RIPOSTE_BINARY",
            match &self.program {
                Some(program) => std::path::absolute(program)?,
                None => crate::test::riposte(root)?,
            },
        );
        if let Some(data) = &self.data {
            trunk.env("RIPOSTE_DATA", std::path::absolute(data)?);
        }
        if !self.datasets.is_empty() {
            let names: Vec<String> = self.datasets.iter().map(ToString::to_string).collect();
            trunk.env("RIPOSTE_DATASETS", names.join(","));
        }
        if let Some(address) = &self.address {
            trunk.env("RIPOSTE_ADDRESS", address);
        }
        if self.names {
            trunk.env("RIPOSTE_BUDGETS", "waived");
            for profile in ["PAGE", "ENGINE"] {
                trunk.env(format!("CARGO_PROFILE_{profile}_STRIP"), "debuginfo");
            }
        }
        Ok(trunk)
    }
}

/// Builds the page of `web/checks`, no part of the site.
pub fn checks(root: &Path, out: &Path, stock: bool) -> Result<()> {
    ensure_replaceable(out, "riposte-checks.js")?;
    let mut trunk = trunk(root, "web/checks", "build")?;
    trunk.arg("--dist").arg(out);
    if stock {
        trunk.args(["--features", "stock"]);
    }
    run(&mut trunk)
}

/// Trunk in a folder of its configuration, with the programs it calls, which are installed first where they are missing.
fn trunk(root: &Path, folder: &str, command: &str) -> Result<Command> {
    let tools = tools::folder(root);
    let program = Tool::trunk().ready(root, &tools)?;
    Tool::wasm_bindgen(root)?.ready(root, &tools)?;
    let mut trunk = Command::new(program);
    trunk
        .current_dir(root.join(folder))
        .args([command, "--release", "--locked", "--skip-version-check"])
        .env("XTASK", std::env::current_exe()?)
        // `web/.cargo/config.toml` has the flags.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Cargo would take a relative folder from where it runs.
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        trunk.env("CARGO_TARGET_DIR", root.join(target));
    }
    // Of all words that mean yes, trunk knows this one.
    if std::env::var_os("NO_COLOR").is_some() {
        trunk.env("NO_COLOR", "true");
    }
    let toolchain = Toolchain::find(&root.join("web"))?;
    toolchain.prepare(&mut trunk);
    let first = [tools.join("bin")].into_iter().chain(toolchain.programs());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: OsString = std::env::join_paths(first.chain(std::env::split_paths(&path)))?;
    trunk.env("PATH", path);
    Ok(trunk)
}

/// Trunk deletes whatever is in the folder it writes to: refuses one that holds something else than a site built before.
fn ensure_replaceable(folder: &Path, mark: &str) -> Result<()> {
    // A build that was ended leaves `.stage`.
    let foreign = folder.read_dir().is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name() != ".stage"));
    ensure!(
        !foreign || folder.join(mark).is_file(),
        "{} holds something else than a site built before, which would be deleted: name another folder with --out",
        folder.display()
    );
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} could not be started", command.get_program().display()))?;
    ensure!(status.success(), "{} failed", Path::new(command.get_program()).display());
    Ok(())
}
