//! The verdict of an act in one sentence, and the run retold in three.

use leptos::prelude::*;
use riposte_protocol::Verdict;
use riposte_spec::attack::Norm;
use riposte_spec::counter::{Course, Ending};
use riposte_spec::outcome::Outcome;
use riposte_spec::post_train::Exit;

use super::class_name;
use crate::state::{Arena, Subject};
use crate::trace::{Found, Phase};
use crate::words::{duration, strength, thousands};

/// How a sentence sounds.
#[derive(Clone, Copy, PartialEq)]
pub enum Tone {
    Good,
    Bad,
    Plain,
}

pub type Sentence = Option<(Tone, String)>;

/// The sentence at the top of an act; none before there is a verdict.
#[component]
pub fn Headline(#[prop(into)] says: Signal<Sentence>) -> impl IntoView {
    move || {
        says.get().map(|(tone, words)| {
            let look = match tone {
                Tone::Good => "headline good",
                Tone::Bad => "headline bad",
                Tone::Plain => "headline",
            };
            view! { <p class=look>{words}</p> }
        })
    }
}

/// Of act 1: before the attack what the classifier says of the image, after it whether that changed.
pub fn of_attack(arena: Arena) -> Sentence {
    let natural = arena.natural.get()?;
    let class = arena.class()?;
    let Some(end) = arena.runs.attacked.end() else {
        return match truth(arena) {
            Some(truth) if truth == natural.class => {
                Some((Tone::Good, format!("Not attacked here yet: it says {}, and that is right.", says(arena, truth))))
            }
            Some(truth) => Some((
                Tone::Bad,
                format!("Not attacked here yet, and wrong: it says {}, and {}.", says(arena, natural.class), shows(arena, truth)),
            )),
            None => Some((Tone::Plain, format!("Not attacked here yet: it says {}.", says(arena, natural.class)))),
        };
    };
    if arena.is_mistaken_untouched() && end.prediction.class == natural.class {
        return Some((
            Tone::Bad,
            format!("Wrong without any attack: it says {}, and {}.", says(arena, natural.class), shows(arena, class)),
        ));
    }
    Some(fall(arena, "The classifier", end.prediction.class, class))
}

/// Of act 2: what the defense made of the answer.
pub fn of_riposte(arena: Arena) -> Sentence {
    let (verdict, found) = (arena.runs.riposted.verdict.get()?, arena.runs.riposted.found.get()?);
    Some(defense(arena, &verdict, &found))
}

/// Of act 3: how the defense stood against an attacker who knows it.
pub fn of_counter(arena: Arena) -> Sentence {
    let class = arena.class()?;
    let (ending, course) = arena.runs.countered.end()?;
    let tone = match ending {
        Ending::Held => Tone::Good,
        Ending::Unneeded | Ending::NoNeighbor | Ending::WrongPair | Ending::CopiesAgree => Tone::Bad,
    };
    Some((tone, told(arena, &course, class)))
}

fn told(arena: Arena, course: &Course, class: usize) -> String {
    let sentence = course.sentence(class, |class| says(arena, class)).replace('\'', "\u{2019}");
    match truth(arena) {
        Some(_) => sentence,
        None => {
            format!("{sentence} (What the image shows was not said: \u{201c}right\u{201d} is the answer from before the attack.)")
        }
    }
}

fn fall(arena: Arena, who: &str, now: usize, class: usize) -> (Tone, String) {
    match (now == class, truth(arena).is_some()) {
        (true, true) => (Tone::Good, format!("{who} holds: it says {}, and that is right.", says(arena, now))),
        (true, false) => (Tone::Good, format!("{who} holds: it still says {}.", says(arena, now))),
        (false, true) => (Tone::Bad, format!("{who} is fooled: it says {}, and {}.", says(arena, now), shows(arena, class))),
        (false, false) => {
            (Tone::Bad, format!("{who} is fooled: it says {}, where it said {}.", says(arena, now), says(arena, class)))
        }
    }
}

fn defense(arena: Arena, verdict: &Verdict, found: &Found) -> (Tone, String) {
    let (before, after) = (verdict.base.class, verdict.adapted.class);
    let answer = says(arena, after);
    let idle = why_idle(found);
    let Some(truth) = truth(arena) else {
        return (
            Tone::Plain,
            match (verdict.riposted, before == after) {
                (false, _) => format!("The defense did not act: {idle}. The answer stays {answer}."),
                (true, true) => format!("The defense keeps the answer: {answer}."),
                (true, false) => format!("The defense changes the answer from {} to {answer}.", says(arena, before)),
            },
        );
    };
    let shows = shows(arena, truth);
    match Outcome::of(truth, found.original.class, found.neighbor.class, after) {
        Outcome::Answered => (Tone::Good, format!("Saved: the defense says {answer}, and {shows}.")),
        Outcome::Failed if !verdict.riposted => {
            (Tone::Bad, format!("The defense did not act: {idle}. It says {answer}, and {shows}."))
        }
        Outcome::Failed => (Tone::Bad, format!("The defense fails: it says {answer}, and {shows}.")),
        Outcome::NoNeighbor => (Tone::Bad, format!("The defense did not act: {idle}. It says {answer}, and {shows}.")),
        Outcome::Spoiled => (Tone::Bad, format!("It spoiled a right answer: the defense says {answer}, and {shows}.")),
        Outcome::NotFooled if verdict.riposted => {
            (Tone::Good, format!("Not needed, and no harm done: the answer was right and stays right, {answer}."))
        }
        Outcome::NotFooled => (Tone::Good, format!("Not needed: {idle}, and the answer is right, {answer}.")),
    }
}

/// Why no copy adapted.
pub fn why_idle(found: &Found) -> String {
    match found.original.class == found.neighbor.class {
        true => "no other class is within its reach".to_owned(),
        false => format!("the nearest other class is more than {} logit behind", Exit::LEAD),
    }
}

/// The run in three sentences, and why it matters.
#[component]
pub fn Story() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let [_, riposte, counter] = arena.wiring.acts();
    let sentences = move || {
        let mut sentences = vec![attack_story(arena)?];
        if riposte {
            sentences.push(riposte_story(arena));
        }
        if counter {
            sentences.push(counter_story(arena));
        }
        Some(sentences.into_iter().map(|sentence| view! { <li>{sentence}</li> }).collect_view())
    };
    view! {
        <Show when=move || arena.runs.attacked.phase.get() == Phase::Done>
            <div class="act story">
                <h2>"What just happened"</h2>
                <ol>{sentences}</ol>
                <h3>"Why it matters"</h3>
                <p>
                    "Whatever decides by looking at images, a filter, a scanner, a car, can be led astray by changes that people overlook. A
                    defense that adapts to each image wins some answers back. It also spoils a few, and whoever knows of it can aim at the
                    adapting itself. So of every defense, ask two things: how often does it help, and against whom was that measured?"
                </p>
            </div>
        </Show>
    }
}

fn attack_story(arena: Arena) -> Option<String> {
    let (end, class) = (arena.runs.attacked.end()?, arena.class()?);
    let attack = arena.attack.get();
    let largest = strength(&attack, arena.dataset());
    let steps = arena.steps_taken(end.index);
    let steps = if steps == 1 { "one step".to_owned() } else { format!("{steps} steps") };
    let image = match arena.subject.with(|subject| subject.as_ref().is_some_and(Subject::is_own)) {
        true => "your picture".to_owned(),
        false => format!("an image of {}", says(arena, class)),
    };
    let attacked = match attack.norm {
        Norm::LInfinity => format!("The attack changed {image}, no pixel of it by more than {largest}"),
        Norm::L2 => format!("The attack changed {image} by no more than {largest} in Euclidean length"),
    };
    if end.index == 0 && arena.is_mistaken_untouched() {
        return Some(format!(
            "The classifier took {image} for {} before any attack, so none was made.",
            says(arena, end.prediction.class)
        ));
    }
    Some(if end.prediction.class == class {
        format!("{attacked}, and after {steps} the classifier still took it for {}.", says(arena, class))
    } else {
        format!("{attacked}; after {steps} the classifier took it for {}.", says(arena, end.prediction.class))
    })
}

fn riposte_story(arena: Arena) -> String {
    let trace = arena.runs.riposted;
    let Some((verdict, found)) = trace.verdict.get().zip(trace.found.get()) else {
        return "The defense has not answered yet: that is act II.".to_owned();
    };
    let input = if arena.on_attacked.get() { "the attacked image" } else { "the untouched image" };
    if !verdict.riposted {
        let idle = why_idle(&found);
        return format!(
            "The defense searched around {input} for another class: {idle}, so it let the classifier\u{2019}s answer stand."
        );
    }
    let (first, second) = (says(arena, found.original.class), says(arena, found.neighbor.class));
    if verdict.work.iterations == 0 {
        return format!(
            "The defense pushed {input} on until {first} became {second}; without iterations it trained nothing, and the classifier\u{2019}s \
             answer stands."
        );
    }
    let (samples, time) = (thousands(verdict.work.samples), duration(verdict.work.seconds));
    format!(
        "The defense could not know whether {input} had been changed: it pushed it on until {first} became {second}, trained a copy on {samples} \
         draws of images of these two classes in {time}, and the copy answered {}.",
        says(arena, verdict.adapted.class)
    )
}

fn counter_story(arena: Arena) -> String {
    let Some(((_, course), class)) = arena.runs.countered.end().zip(arena.class()) else {
        return "Nobody who knows of the defense has attacked it yet: that is act III.".to_owned();
    };
    let sentence = told(arena, &course, class);
    format!("Then the attacker knew that it adapts, and could try it out. {sentence}")
}

/// What the visitor or the data set says that the image shows.
fn truth(arena: Arena) -> Option<usize> {
    arena.subject.with(|subject| subject.as_ref().and_then(|subject| subject.truth))
}

fn says(arena: Arena, class: usize) -> String {
    format!("\u{201c}{}\u{201d}", class_name(arena, class))
}

fn shows(arena: Arena, class: usize) -> String {
    format!("the image shows {}", says(arena, class))
}
