//! Devices: what this machine has, and which one a run takes.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use burn::tensor::DeviceType;
use riposte::spec::duel;
use serde::{Serialize, Serializer};

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A real GPU when there is one, else the CPU.
    Auto,
    Cpu,
    Gpu {
        api: Api,
        index: usize,
    },
}

/// Ways to reach a GPU, in the order in which `auto` tries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Cuda,
    Metal,
    Vulkan,
    /// Vulkan, Metal or DirectX 12 through WGSL.
    Wgpu,
}

/// What kind of hardware a device is. Software adapters compute right and slowly: `auto` never takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cpu,
    DiscreteGpu,
    IntegratedGpu,
    VirtualGpu,
    Software,
    Unknown,
}

impl Kind {
    /// As records have it.
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::DiscreteGpu => "discrete-gpu",
            Self::IntegratedGpu => "integrated-gpu",
            Self::VirtualGpu => "virtual-gpu",
            Self::Software => "software",
            Self::Unknown => "unknown",
        }
    }
}

/// A device of this machine.
#[derive(Debug, Clone)]
pub struct Found {
    /// What `--device` takes: `cpu`, `wgpu:0`.
    pub id: String,
    pub kind: Kind,
    /// As the hardware names itself.
    pub name: String,
    pub device: Device,
}

impl Serialize for Found {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.recorded().serialize(serializer)
    }
}

impl Found {
    /// As records have it.
    pub fn recorded(&self) -> duel::Device {
        duel::Device { id: self.id.clone(), kind: self.kind.name().to_owned(), name: self.name.clone() }
    }

    /// Whether it is the CPU engine, which runs post-trainings in parallel over the cores.
    pub fn is_cpu(&self) -> bool {
        self.kind == Kind::Cpu
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Cpu => f.write_str(&self.name),
            _ => write!(f, "{} ({})", self.name, self.id),
        }
    }
}

/// The device for `choice`; says on standard error which one `auto` took.
///
/// # Errors
/// If there is no such device, or this build cannot reach it; the sentence names the cargo feature.
pub fn open(choice: Choice) -> Result<Found> {
    match choice {
        Choice::Cpu => Ok(cpu()),
        Choice::Auto => {
            let found = automatic();
            let reason = if found.is_cpu() { "no GPU found" } else { "found by --device auto" };
            eprintln!("Device: {found}; {reason}.");
            Ok(found)
        }
        Choice::Gpu { api, index } => {
            let device = nth(api, index)?;
            let kind = kind_of(api, &device);
            Ok(Found { id: format!("{api}:{index}"), kind, name: name_of(&device), device })
        }
    }
}

/// All devices that this build reaches, the CPU first. Opens each of them to ask for its name.
pub fn all() -> Vec<Found> {
    let mut found = vec![cpu()];
    for api in Api::ALL {
        for (index, device) in list(api).unwrap_or_default().into_iter().enumerate() {
            let (kind, name) = (kind_of(api, &device), name_of(&device));
            found.push(Found { id: format!("{api}:{index}"), kind, name, device });
        }
    }
    found
}

/// What `auto` takes: discrete before integrated, CUDA before the other ways to the same card.
pub fn automatic() -> Found {
    for kind in [Kind::DiscreteGpu, Kind::IntegratedGpu] {
        for api in Api::ALL {
            let devices = list(api).unwrap_or_default();
            if let Some((index, device)) = devices.into_iter().enumerate().find(|(_, device)| kind_of(api, device) == kind) {
                return Found { id: format!("{api}:{index}"), kind, name: name_of(&device), device };
            }
        }
    }
    cpu()
}

/// Limits the CPU engine to `threads` threads, before anything computes.
///
/// # Errors
/// If the threads cannot be started, or this process has begun with another number.
pub fn limit_threads(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    ensure!(threads <= MOST_THREADS, "--threads {threads} are too many: {MOST_THREADS} is the most");
    let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global() else { return Ok(()) };
    match rayon::current_num_threads() {
        begun if begun == threads => Ok(()),
        begun => Err(error).with_context(|| format!("cannot compute on {threads} threads: this process has begun with {begun}")),
    }
}

/// More than any machine has cores: each thread holds memory of its own.
const MOST_THREADS: usize = 1024;

/// Threads that a run on the CPU uses.
pub fn threads(limit: Option<usize>) -> usize {
    limit.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

impl Api {
    const ALL: [Self; 4] = [Self::Cuda, Self::Metal, Self::Vulkan, Self::Wgpu];
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cuda => "cuda",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
        })
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown =
            || format!("`{text}` is not a device: use auto, cpu, wgpu, vulkan, metal or cuda, with a number as in cuda:1");
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            _ => {}
        }
        let (name, index) = text.split_once(':').map_or((text, "0"), |(name, index)| (name, index));
        let api = Api::ALL.into_iter().find(|api| api.to_string() == name).ok_or_else(unknown)?;
        Ok(Self::Gpu { api, index: index.parse().map_err(|_| unknown())? })
    }
}

fn cpu() -> Found {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let name = format!("CPU with {cores} {}", if cores == 1 { "core" } else { "cores" });
    Found { id: "cpu".to_owned(), kind: Kind::Cpu, name, device: Device::flex() }
}

fn nth(api: Api, index: usize) -> Result<Device> {
    let devices = list(api)?;
    let count = devices.len();
    match devices.into_iter().nth(index) {
        Some(device) => Ok(device),
        None if count == 0 => bail!("{api} finds no device on this machine; `riposte devices` lists what there is"),
        None => bail!("there is no device {api}:{index}: {api} finds {count}, numbered from 0; see `riposte devices`"),
    }
}

/// The devices that an API reaches, in a stable order.
fn list(api: Api) -> Result<Vec<Device>> {
    match api {
        #[cfg(feature = "cuda")]
        Api::Cuda => Ok(Device::enumerate(DeviceType::Cuda).into_iter().collect()),
        #[cfg(feature = "metal")]
        Api::Metal => Ok(Device::enumerate(DeviceType::Metal).into_iter().collect()),
        #[cfg(feature = "vulkan")]
        Api::Vulkan => Ok(Device::enumerate(DeviceType::Vulkan).into_iter().collect()),
        #[cfg(feature = "wgpu")]
        Api::Wgpu => Ok(Device::enumerate(DeviceType::Wgpu).into_iter().collect()),
        #[allow(unreachable_patterns, reason = "reachable unless every feature is on")]
        other => bail!("this build has no {other}: build it with `cargo build --release --features {other}`"),
    }
}

fn kind_of(api: Api, device: &Device) -> Kind {
    match api {
        Api::Cuda => Kind::DiscreteGpu,
        #[cfg(feature = "wgpu")]
        _ => graphics_kind(api, device),
        #[cfg(not(feature = "wgpu"))]
        _ => {
            let _ = device;
            Kind::Unknown
        }
    }
}

/// Devices do not say their kind, but two handles to one device are equal, and handles are made by kind.
#[cfg(feature = "wgpu")]
fn graphics_kind(api: Api, device: &Device) -> Kind {
    use burn::tensor::DeviceKind;
    let is = |kind: DeviceKind| {
        *device
            == match api {
                #[cfg(feature = "vulkan")]
                Api::Vulkan => Device::vulkan(kind),
                #[cfg(feature = "metal")]
                Api::Metal => Device::metal(kind),
                _ => Device::wgpu(kind),
            }
    };
    /// More cards of one kind than a machine has.
    const CARDS: usize = 64;
    if is(DeviceKind::Cpu) {
        Kind::Software
    } else if (0..CARDS).any(|index| is(DeviceKind::DiscreteGpu(index))) {
        Kind::DiscreteGpu
    } else if (0..CARDS).any(|index| is(DeviceKind::IntegratedGpu(index))) {
        Kind::IntegratedGpu
    } else if (0..CARDS).any(|index| is(DeviceKind::VirtualGpu(index))) {
        Kind::VirtualGpu
    } else {
        Kind::Unknown
    }
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn name_of(device: &Device) -> String {
    device.identity().map_or_else(|| format!("{device:?}"), |identity| identity.name)
}

#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
fn name_of(device: &Device) -> String {
    format!("{device:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse_with_and_without_a_number() {
        assert_eq!("auto".parse(), Ok(Choice::Auto));
        assert_eq!("cpu".parse(), Ok(Choice::Cpu));
        assert_eq!("cuda:1".parse(), Ok(Choice::Gpu { api: Api::Cuda, index: 1 }));
        assert_eq!("wgpu".parse(), Ok(Choice::Gpu { api: Api::Wgpu, index: 0 }));
        for text in ["", "gpu", "cuda:", "cuda:x", "cpu:0", "wgpu:-1"] {
            assert!(text.parse::<Choice>().is_err(), "`{text}` was taken");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_the_build_lacks_names_the_feature() {
        let error = open("cuda:0".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
