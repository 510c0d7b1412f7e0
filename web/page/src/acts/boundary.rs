//! The boundary between the classes, in the plane through the image, the attacked image and its neighbor.

use leptos::prelude::*;
use riposte_protocol::{Event, Picture, Plane, Request};

use super::{class_name, is_hidden};
use crate::parts::{Ink, PhaseLine, PictureCanvas, Scrubber};
use crate::state::Arena;
use crate::trace::Phase;

/// Points along an edge, of small networks and of those that take a processor long.
const SIZES: [usize; 2] = [48, 24];

/// A color for each of ten classes: Paul Tol's bright scheme, and three more.
const COLORS: [[u8; 3]; 10] = [
    [0x44, 0x77, 0xaa],
    [0xee, 0x66, 0x77],
    [0x22, 0x88, 0x33],
    [0xcc, 0xbb, 0x44],
    [0x66, 0xcc, 0xee],
    [0xaa, 0x33, 0x77],
    [0xbb, 0xbb, 0xbb],
    [0x99, 0x55, 0x11],
    [0xee, 0x88, 0x33],
    [0x11, 0x44, 0x55],
];

/// What is computed so far.
#[derive(Clone, Copy)]
struct Slice {
    phase: RwSignal<Phase>,
    run: RwSignal<Option<u32>>,
    plane: RwSignal<Option<Plane>>,
    size: RwSignal<usize>,
    /// Of each row, the lowest first: the classes that the static model says, and those that the copy says.
    rows: RwSignal<Vec<Vec<Vec<u8>>>>,
}

#[component]
pub fn Boundary() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let slice = Slice {
        phase: RwSignal::new(Phase::Idle),
        run: RwSignal::new(None),
        plane: RwSignal::new(None),
        size: RwSignal::new(SIZES[0]),
        rows: RwSignal::default(),
    };
    // Another riposte is another plane.
    Effect::new(move |_| {
        arena.runs.riposted.run.track();
        slice.reset(arena);
    });
    let riposted = move || arena.runs.riposted.verdict.with(|verdict| verdict.as_ref().is_some_and(|verdict| verdict.riposted));
    let offered = Memo::new(move |_| riposted() && arena.on_attacked.get());
    let running = move || matches!(slice.phase.get(), Phase::Running(_));
    let begun = Memo::new(move |_| slice.rows.with(|rows| !rows.is_empty()));
    view! {
        <Show when=move || offered.get()>
            <div class="boundary">
                <h3>"Where the classes meet"</h3>
                <p class="note">
                    "The images "<i class="math">"x"</i>", "<i class="math">"x\u{2032}"</i>" and "<i class="math">"x\u{2033}"</i>" lie in one plane of the space
                    of all images. Each point of it is an image, too: its color is the class that it is seen as."
                </p>
                <div class="action">
                    <button
                        type="button"
                        class="plain"
                        hidden=is_hidden(arena)
                        on:click=move |_| if running() { arena.wiring.cancel(slice.run.get_untracked()) } else { slice.start(arena) }
                    >
                        {move || if running() { "Stop drawing" } else if begun.get() { "Draw it again" } else { "Draw the boundary" }}
                    </button>
                    <PhaseLine phase=slice.phase done=Signal::derive(move || slice.told(arena))/>
                </div>
                <Show when=move || begun.get()>
                    <div class="maps">
                        <Map slice of=0 title="The static classifier"/>
                        <Map slice of=1 title="The adapted copy"/>
                    </div>
                    <Legend slice/>
                    <Scrubber playhead=arena.runs.attacked.playhead unit="Step" total=Signal::derive(move || arena.attack_steps())/>
                </Show>
            </div>
        </Show>
    }
}

/// The plane as one of the two sees it, with the images in it.
#[component]
fn Map(slice: Slice, of: usize, title: &'static str) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let picture = Memo::new(move |_| {
        let size = slice.size.get();
        // What is still to come is gray.
        let mut pixels = vec![0.5; 3 * size * size];
        slice.rows.with(|rows| {
            for (row, classes) in rows.iter().enumerate() {
                for (column, class) in classes[of].iter().enumerate() {
                    for (channel, value) in COLORS[usize::from(*class) % COLORS.len()].into_iter().enumerate() {
                        pixels[(channel * size + size - 1 - row) * size + column] = f32::from(value) / 255.0;
                    }
                }
            }
        });
        Some(Picture { channels: 3, height: size, width: size, pixels })
    });
    let attacked = move || arena.runs.attacked.end().map(|end| end.image);
    let mark = move |look: &'static str, name: &'static str, image: Signal<Option<Picture>>| {
        let place = move || Some(Plane::share(slice.plane.get()?.place_of(&image.get()?)));
        move || {
            place().map(|[left, bottom]| {
                view! {
                    <span class=format!("spot {look}") style:left=format!("{:.2}%", 100.0 * left) style:bottom=format!("{:.2}%", 100.0 * bottom)>
                        <i class="math">{name}</i>
                    </span>
                }
            })
        }
    };
    let original = Signal::derive(move || arena.subject.with(|subject| subject.as_ref().map(|subject| subject.image.clone())));
    let neighbor = Signal::derive(move || arena.runs.riposted.found.get().map(|found| found.image));
    let step = Signal::derive(move || arena.runs.attacked.shown().map(|step| step.image));
    let label = move || format!("{title}: the plane colored by class. {}", slice.told(arena));
    view! {
        <figure>
            <div class="map">
                <PictureCanvas picture ink=Signal::stored(Ink::Image) label=Signal::derive(label)/>
                {mark("", "x", original)}
                {mark("", "x\u{2032}", Signal::derive(attacked))}
                {mark("", "x\u{2033}", neighbor)}
                {mark("moving", "", step)}
            </div>
            <figcaption>{title}</figcaption>
        </figure>
    }
}

/// The classes that occur, each with its color.
#[component]
fn Legend(slice: Slice) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let occurring = Memo::new(move |_| {
        let mut classes: Vec<u8> = slice.rows.with(|rows| rows.iter().flatten().flatten().copied().collect());
        classes.sort_unstable();
        classes.dedup();
        classes
    });
    let entry = move |class: u8| {
        let [red, green, blue] = COLORS[usize::from(class) % COLORS.len()];
        view! {
            <li>
                <i class="swatch" style:background=format!("rgb({red} {green} {blue})")></i>
                {class_name(arena, usize::from(class))}
            </li>
        }
    };
    view! {
        <ul class="legend">{move || occurring.get().into_iter().map(entry).collect_view()}</ul>
        <p class="hint">"The dot is the image under attack, step by step. To the right it moves towards x\u{2032}, upwards towards x\u{2033}."</p>
    }
}

impl Slice {
    fn reset(self, arena: Arena) {
        if matches!(self.phase.get_untracked(), Phase::Running(_)) {
            arena.wiring.cancel(self.run.get_untracked());
        }
        self.run.set(None);
        self.phase.set(Phase::Idle);
        self.rows.update(Vec::clear);
    }

    fn start(self, arena: Arena) {
        self.reset(arena);
        let plane = untrack(|| {
            let image = arena.subject.get()?.image;
            Plane::through(&image, &arena.runs.attacked.end()?.image, &arena.runs.riposted.found.get()?.image)
        });
        let Some((plane, adapted)) = plane.zip(arena.runs.riposted.run.get_untracked()) else {
            let message = "The three images lie on one line: there is no plane through them.".to_owned();
            return self.phase.set(Phase::Failed { message, retry: false });
        };
        let heavy = untrack(|| arena.model_entry()).card.architecture.is_heavy();
        let size = SIZES[usize::from(heavy)];
        self.plane.set(Some(plane.clone()));
        self.size.set(size);
        self.phase.set(Phase::Running(None));
        let model = arena.model.get_untracked();
        let run = arena.wiring.run(
            move |run| Request::Slice { run, model, adapted, plane: Box::new(plane), size },
            move |event| {
                if self.run.try_get_untracked().flatten() != event.run() {
                    return;
                }
                match event {
                    Event::Row { classes, .. } => self.rows.update(|rows| rows.push(classes.clone())),
                    Event::Sliced { .. } => self.phase.set(Phase::Done),
                    Event::Cancelled { .. } => self.phase.set(Phase::Cancelled),
                    Event::Failed { message, retry, .. } => {
                        self.phase.set(Phase::Failed { message: message.clone(), retry: *retry })
                    }
                    _ => {}
                }
            },
        );
        self.run.set(Some(run));
    }

    /// What both say where the attacked image lies.
    fn told(self, arena: Arena) -> String {
        let (Some(verdict), Phase::Done) = (arena.runs.riposted.verdict.get(), self.phase.get()) else { return String::new() };
        let (base, adapted) = (class_name(arena, verdict.base.class), class_name(arena, verdict.adapted.class));
        if base == adapted {
            format!("At x\u{2032} both say \u{201c}{base}\u{201d}: the boundary did not move past it.")
        } else {
            format!(
                "At x\u{2032} the static classifier says \u{201c}{base}\u{201d}, and the copy, whose boundary has moved, \u{201c}{adapted}\u{201d}."
            )
        }
    }
}
