//! Drawing a digit with mouse, finger or pen.

use leptos::html;
use leptos::prelude::*;
use web_sys::{HtmlCanvasElement, ImageData, PointerEvent};

use super::photo::drawn;
use crate::parts::context;
use crate::state::{Arena, Origin, Subject};

/// Edge of the paper, in its own pixels.
const PAPER: u32 = 280;
/// Width of the pen, in the paper's pixels: two of a 28-pixel digit.
const PEN: f64 = 22.0;

/// A sheet of paper; every stroke that ends becomes the image under attack.
#[component]
pub fn Draw(
    /// The paper as it was left.
    kept: StoredValue<Option<ImageData>, LocalStorage>,
) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let paper = NodeRef::<html::Canvas>::new();
    // The pointer that draws, and where it was: a second finger, or the palm beside a pen, leaves no ink.
    let last = StoredValue::new(None::<(i32, (f64, f64))>);
    let empty = RwSignal::new(true);
    let wipe = move || {
        if let Some(context) = paper.get_untracked().as_ref().and_then(context) {
            context.set_fill_style_str("#000");
            context.fill_rect(0.0, 0.0, f64::from(PAPER), f64::from(PAPER));
        }
        empty.set(true);
        kept.set_value(None);
    };
    Effect::new(move |_| {
        let Some(context) = paper.get().as_ref().and_then(context) else { return };
        match kept.get_value() {
            Some(left) => empty.set(context.put_image_data(&left, 0.0, 0.0).is_err()),
            None => wipe(),
        }
    });
    let begin = move |event: PointerEvent| {
        let Some(paper) = paper.get_untracked().filter(|_| last.get_value().is_none() && event.button() == 0) else { return };
        event.prevent_default();
        // Strokes that leave the paper go on; a pointer that is already gone cannot be held.
        _ = paper.set_pointer_capture(event.pointer_id());
        let point = place(&paper, &event);
        last.set_value(Some((event.pointer_id(), point)));
        stroke(&paper, point, point);
    };
    let go_on = move |event: PointerEvent| {
        let (Some((pointer, from)), Some(paper)) = (last.get_value(), paper.get_untracked()) else { return };
        if pointer != event.pointer_id() {
            return;
        }
        event.prevent_default();
        let to = place(&paper, &event);
        stroke(&paper, from, to);
        last.set_value(Some((pointer, to)));
    };
    let end = move |event: PointerEvent| {
        if last.get_value().is_none_or(|(pointer, _)| pointer != event.pointer_id()) {
            return;
        }
        last.set_value(None);
        empty.set(false);
        let set = untrack(|| arena.dataset());
        let Some(paper) = paper.get_untracked() else { return };
        let edge = f64::from(PAPER);
        kept.set_value(context(&paper).and_then(|context| context.get_image_data(0.0, 0.0, edge, edge).ok()));
        if let Some(image) = drawn(&paper, set) {
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
                <button type="button" class="plain" disabled=move || empty.get() on:click=move |_| wipe()>"Wipe"</button>
            </div>
        </div>
    }
}

/// Where on the paper a pointer is, whatever size it is shown at.
fn place(paper: &HtmlCanvasElement, event: &PointerEvent) -> (f64, f64) {
    let shown = paper.get_bounding_client_rect();
    let scale = f64::from(PAPER) / shown.width().max(1.0);
    ((f64::from(event.client_x()) - shown.left()) * scale, (f64::from(event.client_y()) - shown.top()) * scale)
}

fn stroke(paper: &HtmlCanvasElement, from: (f64, f64), to: (f64, f64)) {
    let Some(context) = context(paper) else { return };
    context.set_stroke_style_str("#fff");
    context.set_line_width(PEN);
    context.set_line_cap("round");
    context.begin_path();
    context.move_to(from.0, from.1);
    // A dot is a line of almost no length.
    context.line_to(to.0 + 0.01, to.1);
    context.stroke();
}
