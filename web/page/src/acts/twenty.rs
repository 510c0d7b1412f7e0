//! Twenty images at once: a tally, thumbnails, and what can be taken away of them.

use leptos::prelude::*;
use riposte_protocol::name_of;
use riposte_spec::outcome::Outcome;
use riposte_spec::summary::wilson_interval;

use super::{all_controls, class_name, is_set};
use crate::parts::{Ink, PictureCanvas};
use crate::record::{records_as_json, records_as_table};
use crate::share::{Copied, copied, save_text};
use crate::state::{Arena, Subject};
use crate::sweep::{Entry, Progress, Tally};

#[component]
pub fn Twenty() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let [_, defends, _] = arena.wiring.acts();
    let shown = defends && all_controls(arena);
    shown.then(|| view! { <Panel/> })
}

#[component]
fn Panel() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let sweep = arena.sweep;
    let running = move || sweep.progress.get() == Progress::Running;
    let tally = Memo::new(move |_| sweep.entries.with(|entries| Tally::of(entries)));
    let begun = Memo::new(move |_| sweep.entries.with(|entries| !entries.is_empty()));
    let status = move || {
        let (asked, done) = (sweep.entries.with(Vec::len), tally.get().images);
        match sweep.progress.get() {
            Progress::Idle => String::new(),
            Progress::Void => "The settings are others now: the table of those before is gone.".to_owned(),
            Progress::Running if asked == 0 => "Fetching the images.".to_owned(),
            Progress::Running => format!("{done} of {asked} images are done."),
            Progress::Done => format!("All {done} images are done."),
            Progress::Stopped => format!("Stopped after {done} images."),
            Progress::Failed(message) => message,
        }
    };
    let label = move || match sweep.progress.get() {
        Progress::Running => "Stop",
        Progress::Idle | Progress::Void => "Attack and defend the next 20",
        Progress::Done => "Twenty more",
        Progress::Stopped | Progress::Failed(_) => "Go on",
    };
    view! {
        <section class="act twenty" aria-labelledby="twenty">
            <header>
                <h2 id="twenty">"Twenty at once"</h2>
                <p>"One image may be luck. The same attack and the same defense, with the settings above, on one test image after the other."</p>
            </header>
            <div class="stage wide">
                <div class="action">
                    <button
                        type="button"
                        class="run"
                        class:stop=running
                        disabled=move || !running() && !is_set(arena)
                        on:click=move |_| if running() { arena.stop_sweep() } else { arena.start_sweep() }
                    >
                        {label}
                    </button>
                    <p class="phase" role="status">{status}</p>
                </div>
                <Show when=move || begun.get()>
                    <TallyTable tally/>
                    <Thumbnails/>
                    <Show when=move || tally.with(|tally| tally.images != 0)><TakeAway/></Show>
                </Show>
            </div>
        </section>
    }
}

/// Counts, each a share of what it is counted among, with its interval.
#[component]
fn TallyTable(tally: Memo<Tally>) -> impl IntoView {
    let rows = move || {
        let tally = tally.get();
        let [before, after] = tally.right();
        [
            ("Seen rightly before the attack", tally.natural, tally.images),
            ("Seen wrongly under the attack", tally.fooled, tally.images),
            ("Saved by the defense, of these", tally.saved, tally.fooled),
            ("Spoiled by the defense, of the others", tally.spoiled, tally.images - tally.fooled),
            ("Right under attack without the defense", before, tally.images),
            ("Right under attack with it", after, tally.images),
        ]
        .into_iter()
        .map(|(what, count, of)| {
            let [low, high] = wilson_interval(count, of).map(|share| 100.0 * share);
            let interval = if of == 0 { "\u{2013}".to_owned() } else { format!("{low:.0} to {high:.0}\u{202f}%") };
            view! {
                <tr>
                    <th scope="row">{what}</th>
                    <td class="count">{format!("{count} of {of}")}</td>
                    <td class="value">{interval}</td>
                </tr>
            }
        })
        .collect_view()
    };
    view! {
        <table class="tally">
            <caption>"So far"</caption>
            <thead><tr><th scope="col" class="visually-hidden">"What"</th><th scope="col">"Images"</th><th scope="col">"95\u{202f}% interval"</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
}

#[component]
fn Thumbnails() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let count = Memo::new(move |_| arena.sweep.entries.with(Vec::len));
    let thumbnail = move |place: usize| {
        let entry = arena.sweep.entries.with_untracked(|entries| entries[place].clone());
        let ended = Memo::new(move |_| {
            arena.sweep.entries.with(|entries| entries.get(place).and_then(|entry: &Entry| entry.record.as_ref()?.outcome()))
        });
        let sample = entry.sample;
        let number = sample.number;
        let name = class_name(arena, sample.label);
        let told = move || {
            let how = ended.get().map_or_else(|| "not done yet".to_owned(), |outcome| name_of(outcome).to_lowercase());
            format!("{name}, test image {number}: {how}")
        };
        let described = told.clone();
        let subject = Subject::test(sample.clone(), arena.dataset());
        view! {
            <li>
                <button
                    type="button"
                    class=move || ended.get().map_or("thumbnail waiting", look)
                    title=told
                    aria-label=described
                    on:click=move |event| {
                        arena.choose(subject.clone());
                        super::show_first_act(&event);
                    }
                >
                    <PictureCanvas picture=Signal::stored(Some(sample.image)) ink=Signal::stored(Ink::Image) label=Signal::stored(String::new())/>
                    <span class="sign" aria-hidden="true">{move || ended.get().map(sign)}</span>
                </button>
            </li>
        }
    };
    view! {
        <p class="what">"Each image, with how it ended: \u{2713} saved, \u{2717} not saved, ! spoiled, no mark: not needed. A click puts it into act I."</p>
        <ul class="swept">{move || (0..count.get()).map(thumbnail).collect_view()}</ul>
    }
}

fn look(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "thumbnail saved",
        Outcome::Failed | Outcome::NoNeighbor => "thumbnail lost",
        Outcome::Spoiled => "thumbnail spoiled",
        Outcome::NotFooled => "thumbnail held",
    }
}

fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "\u{2713}",
        Outcome::Failed | Outcome::NoNeighbor => "\u{2717}",
        Outcome::Spoiled => "!",
        Outcome::NotFooled => "",
    }
}

/// Buttons that copy and save the records.
#[component]
fn TakeAway() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let said = RwSignal::new(Copied::Nothing);
    let copy = move |_| copied(untrack(|| records_as_table(arena)), "The table was copied.", said);
    let save = move |_| {
        if let Some(text) = untrack(|| records_as_json(arena)) {
            said.set(save_text(&text, "riposte-records.json", "The records were saved."));
        }
    };
    view! {
        <div class="share">
            <button type="button" class="plain" on:click=copy>"Copy table"</button>
            <button type="button" class="plain" on:click=save>"Save records (JSON)"</button>
            {move || said.get().view()}
        </div>
    }
}
