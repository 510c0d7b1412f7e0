//! Drawing a digit with mouse, finger or pen.

use leptos::html;
use leptos::prelude::*;
use web_sys::{HtmlCanvasElement, PointerEvent};

use super::photo::drawn;
use crate::parts::context;
use crate::state::{Arena, Origin, Subject};

/// Edge of the paper, in its own pixels.
const PAPER: u32 = 280;
/// Width of the pen, in the paper's pixels: two of a 28-pixel digit.
const PEN: f32 = 22.0;

/// The places that the pen went through from where it was put down to where it was lifted, in the paper's pixels.
pub type Stroke = Vec<[f32; 2]>;

/// A sheet of paper; every stroke that ends becomes the image under attack.
#[component]
pub fn Draw(
    /// What is on the paper. It is not read from the canvas: a browser's protection against fingerprinting may give noise instead.
    strokes: StoredValue<Vec<Stroke>>,
) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let paper = NodeRef::<html::Canvas>::new();
    // The pointer that draws: a second finger, or the palm beside a pen, leaves no ink.
    let pen = StoredValue::new(None::<i32>);
    let empty = RwSignal::new(strokes.with_value(Vec::is_empty));
    let wipe = move || {
        if let Some(context) = paper.get_untracked().as_ref().and_then(context) {
            context.set_fill_style_str("#000");
            context.fill_rect(0.0, 0.0, f64::from(PAPER), f64::from(PAPER));
        }
    };
    Effect::new(move |_| {
        let Some(paper) = paper.get() else { return };
        wipe();
        // As it was drawn, piece by piece: a whole stroke at once would be shaded otherwise where the pieces meet.
        strokes.with_value(|strokes| {
            for stroke in strokes {
                ink(&paper, &stroke[..1]);
                stroke.windows(2).for_each(|way| ink(&paper, way));
            }
        });
    });
    let clear = move |_| {
        wipe();
        strokes.set_value(Vec::new());
        empty.set(true);
    };
    let begin = move |event: PointerEvent| {
        let Some(paper) = paper.get_untracked().filter(|_| pen.get_value().is_none() && event.button() == 0) else { return };
        event.prevent_default();
        // Strokes that leave the paper go on; a pointer that is already gone cannot be held.
        _ = paper.set_pointer_capture(event.pointer_id());
        pen.set_value(Some(event.pointer_id()));
        let point = place(&paper, &event);
        strokes.update_value(|strokes| strokes.push(vec![point]));
        ink(&paper, &[point]);
    };
    let go_on = move |event: PointerEvent| {
        let Some(paper) = paper.get_untracked().filter(|_| pen.get_value() == Some(event.pointer_id())) else { return };
        event.prevent_default();
        let to = place(&paper, &event);
        strokes.update_value(|strokes| {
            let Some(stroke) = strokes.last_mut() else { return };
            stroke.push(to);
            ink(&paper, &stroke[stroke.len().saturating_sub(2)..]);
        });
    };
    let end = move |event: PointerEvent| {
        if pen.get_value() != Some(event.pointer_id()) {
            return;
        }
        pen.set_value(None);
        empty.set(false);
        let set = untrack(|| arena.dataset());
        if let Some(image) = strokes.with_value(|strokes| drawn(strokes, PEN, PAPER as usize, set)) {
            arena.choose(Subject { dataset: set, origin: Origin::Drawn, image, truth: None });
        }
    };
    view! {
        <div class="draw">
            <canvas
                class="paper"
                node_ref=paper
                width=PAPER
                height=PAPER
                role="img"
                aria-label="Paper to draw on with mouse, finger or pen. With a keyboard, pick or upload an image instead."
                on:pointerdown=begin
                on:pointermove=go_on
                on:pointerup=end
                on:pointercancel=end
            ></canvas>
            <div class="pages">
                <span>{move || if empty.get() { "Draw a digit, large." } else { "Centered and resized as the test images are." }}</span>
                <button type="button" class="plain" disabled=move || empty.get() on:click=clear>"Wipe"</button>
            </div>
        </div>
    }
}

/// Where on the paper a pointer is, whatever size it is shown at.
fn place(paper: &HtmlCanvasElement, event: &PointerEvent) -> [f32; 2] {
    let shown = paper.get_bounding_client_rect();
    let scale = f64::from(PAPER) / shown.width().max(1.0);
    let at = |client: i32, edge: f64| ((f64::from(client) - edge) * scale) as f32;
    [at(event.client_x(), shown.left()), at(event.client_y(), shown.top())]
}

/// Shows what the pen leaves on its way.
fn ink(paper: &HtmlCanvasElement, way: &[[f32; 2]]) {
    let (Some(context), Some((first, rest))) = (context(paper), way.split_first()) else { return };
    context.set_stroke_style_str("#fff");
    context.set_line_width(f64::from(PEN));
    context.set_line_cap("round");
    context.set_line_join("round");
    context.begin_path();
    context.move_to(f64::from(first[0]), f64::from(first[1]));
    // A dot is a line of almost no length.
    context.line_to(f64::from(first[0]) + 0.01, f64::from(first[1]));
    for place in rest {
        context.line_to(f64::from(place[0]), f64::from(place[1]));
    }
    context.stroke();
}
