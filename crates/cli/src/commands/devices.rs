//! `riposte devices`: what this machine has.

use anyhow::Result;
use serde::Serialize;

use crate::args::DevicesArgs;
use crate::device::{self, Found, Kind};
use crate::output;

#[derive(Debug, Serialize)]
struct Listing {
    devices: Vec<Found>,
    /// What `--device auto` takes.
    auto: String,
}

/// # Errors
/// If standard output cannot be written.
pub fn run(args: DevicesArgs) -> Result<()> {
    let listing = Listing { devices: device::all(), auto: device::automatic().id };
    if args.json {
        return output::json(&listing);
    }
    for found in &listing.devices {
        let mark = if found.id == listing.auto { "  <- auto" } else { "" };
        output::line(&format!("{:<10} {:<15} {}{mark}", found.id, kind(found.kind), found.name))?;
    }
    let absent: Vec<&str> = [("cuda", cfg!(feature = "cuda")), ("vulkan", cfg!(feature = "vulkan")), ("metal", cfg!(feature = "metal"))]
        .into_iter()
        .filter_map(|(name, built)| (!built).then_some(name))
        .collect();
    if !absent.is_empty() {
        output::line(&format!("Not in this build: {} (cargo features of these names)", absent.join(", ")))?;
    }
    Ok(())
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Cpu => "CPU",
        Kind::DiscreteGpu => "discrete GPU",
        Kind::IntegratedGpu => "integrated GPU",
        Kind::VirtualGpu => "virtual GPU",
        Kind::Software => "software",
        Kind::Unknown => "unknown kind",
    }
}
