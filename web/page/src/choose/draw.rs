//! Drawing a digit with mouse, finger or pen.

use leptos::html;
use leptos::prelude::*;
use riposte_protocol::Picture;
use web_sys::{HtmlCanvasElement, PointerEvent};

use crate::choose::upload::shrink;
use crate::parts::context;
use crate::state::{Arena, Origin};

/// Edge of the paper, in its own pixels.
const PAPER: u32 = 280;
/// Width of the pen, in the paper's pixels: two of a 28-pixel digit.
const PEN: f64 = 22.0;

/// A sheet of paper; every stroke that ends becomes the image under attack.
#[component]
pub fn Draw() -> impl IntoView {
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
    };
    Effect::new(move |_| {
        if paper.get().is_some() {
            wipe();
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
        if let Some(image) = paper.get_untracked().and_then(|paper| shrink(&paper, &set)).map(center_by_mass) {
            arena.choose(Origin::Drawn, image, None, set.id);
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

/// MNIST's own recipe: the ink fitted into a box of 20/28 of the edge, its center of mass in the middle.
fn center_by_mass(image: Picture) -> Picture {
    let (height, width) = (image.height, image.width);
    let ink: Vec<(usize, usize)> = (0..height)
        .flat_map(|row| (0..width).map(move |column| (row, column)))
        .filter(|&(row, column)| image.at(0, row, column) > 0.1)
        .collect();
    let Some(&(first, _)) = ink.first() else { return image };
    let last = ink.last().map_or(first, |&(row, _)| row);
    let left = ink.iter().map(|&(_, column)| column).min().unwrap_or(0);
    let right = ink.iter().map(|&(_, column)| column).max().unwrap_or(0);
    let extent = (last - first + 1).max(right - left + 1) as f32;
    let scale = extent / (20.0 / 28.0 * width as f32);
    let mass: f32 = image.pixels.iter().sum();
    let moment =
        |of: &dyn Fn(usize) -> f32| image.pixels.iter().enumerate().map(|(index, value)| value * of(index)).sum::<f32>() / mass;
    let (row_mean, column_mean) = (moment(&|index| (index / width) as f32), moment(&|index| (index % width) as f32));
    let (row_middle, column_middle) = ((height - 1) as f32 / 2.0, (width - 1) as f32 / 2.0);
    let pixels = (0..height * width)
        .map(|index| {
            let row = row_mean + (((index / width) as f32) - row_middle) * scale;
            let column = column_mean + (((index % width) as f32) - column_middle) * scale;
            between(&image, row, column)
        })
        .collect();
    Picture { pixels, ..image }
}

/// Bilinear interpolation; black outside.
fn between(image: &Picture, row: f32, column: f32) -> f32 {
    let (top, left) = (row.floor(), column.floor());
    let value = |row: f32, column: f32| {
        let inside = row >= 0.0 && column >= 0.0 && row < image.height as f32 && column < image.width as f32;
        if inside { image.at(0, row as usize, column as usize) } else { 0.0 }
    };
    let (down, right) = (row - top, column - left);
    let upper = value(top, left) * (1.0 - right) + value(top, left + 1.0) * right;
    let lower = value(top + 1.0, left) * (1.0 - right) + value(top + 1.0, left + 1.0) * right;
    upper * (1.0 - down) + lower * down
}
