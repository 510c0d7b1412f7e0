//! What is going on: the device, downloads, the phase of a run.

use leptos::prelude::*;
use riposte_protocol::{DevicePreference, Notice};

use crate::client::Engine;
use crate::state::{Arena, Load};
use crate::trace::Phase;
use crate::words::megabytes;

/// The device in use, downloads on their way, and the way on after a failure.
#[component]
pub fn DeviceLine() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let (engine, download) = arena.wiring.with_client(|client| (client.engine(), client.download()));
    let lost = engine.clone();
    // A lost engine says so itself, and nothing can be tried again before there is another.
    let failed = move || match arena.load.get() {
        Load::Failed { message, retry } if !matches!(lost.get(), Engine::Lost { .. }) => Some((message, retry)),
        _ => None,
    };
    let download_line = move || {
        let file = download.get()?;
        let share = 100.0 * file.received as f64 / file.total.max(1) as f64;
        Some(view! {
            <span class="download">
                <progress max="100" value=share aria-label=format!("Downloading {}", file.what)></progress>
                {format!("Downloading {}: {} of {}", file.what, megabytes(file.received), megabytes(file.total))}
            </span>
        })
    };
    let device_line = move || {
        match engine.get() {
        Engine::Starting => view! { <span class="lamp waiting"></span>"The engine is starting" }.into_any(),
        Engine::Ready(device) => {
            view! {
                <span class="lamp ready"></span>
                <span>"Computing on " <b>{device.kind.name()}</b> {(!device.name.is_empty()).then(|| format!(" ({})", device.name))}</span>
                {device.reason.map(|reason| view! { <span class="reason">{reason}</span> })}
            }
            .into_any()
        }
        Engine::Lost { message, had_gpu } => view! {
            <span class="lamp lost"></span>
            <span>{message}</span>
            <WaysOn had_gpu/>
        }
        .into_any(),
    }
    };
    view! {
        <div class="device">
            <p role="status">{device_line}</p>
            {download_line}
        </div>
        {move || failed().map(|(message, retry)| view! {
            <p class="trouble" role="alert">
                <span>{message}</span>
                {retry.then(|| view! { <button type="button" class="small" on:click=move |_| arena.open(true)>"Try again"</button> })}
            </p>
        })}
    }
}

/// From a lost engine to another one.
#[component]
fn WaysOn(had_gpu: bool) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let restart = move |device| arena.wiring.with_client(|client| client.restart(device));
    view! {
        <button type="button" class="small" on:click=move |_| restart(None)>"Start it again"</button>
        {had_gpu.then(|| view! {
            <button type="button" class="small" on:click=move |_| restart(Some(DevicePreference::Cpu))>"Go on with the processor"</button>
        })}
    }
}

/// What a run is doing, for everyone and for screen readers; its failure as a sentence.
#[component]
pub fn PhaseLine(
    phase: RwSignal<Phase>,
    /// What is said when it is done.
    #[prop(into)]
    done: Signal<String>,
) -> impl IntoView {
    let words = move || match phase.get() {
        Phase::Idle => String::new(),
        Phase::Running(notice) => match notice {
            Some(Notice::CompilingShaders) => "Compiling shaders: the first run on a device takes longer.",
            Some(Notice::Downloading) => "Fetching the training images.",
            Some(Notice::Drawing) => "Drawing the training images.",
            Some(Notice::SearchingNeighbor) => "Looking for the neighbor class.",
            Some(Notice::PostTraining) => "Training the copy.",
            Some(Notice::Countering) => "Attacker and defense take turns.",
            None => "Running.",
        }
        .to_owned(),
        Phase::Done => done.get(),
        Phase::Cancelled => "Stopped.".to_owned(),
        Phase::Failed { message, .. } => message,
    };
    let engine = expect_context::<Arena>().wiring.with_client(|client| client.engine());
    let failed = move || matches!(phase.get(), Phase::Failed { .. });
    // Where the run ended because the engine did, the way on is here too: the line above may be far out of sight.
    let ways_on = move || match engine.get() {
        Engine::Lost { had_gpu, .. } if failed() => Some(view! { <WaysOn had_gpu/> }),
        _ => None,
    };
    view! {
        <p class="phase" class:trouble=failed role="status" aria-live="polite">
            {words}
        </p>
        {ways_on}
    }
}
