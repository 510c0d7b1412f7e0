//! Pictures: images as the classifier sees them, and signed changes.

use leptos::html;
use leptos::prelude::*;
use riposte_data::photo;
use riposte_protocol::{Ink, Picture};
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{CanvasRenderingContext2d, ContextAttributes2d, HtmlCanvasElement, ImageData};

/// A picture on a canvas, one canvas pixel for each of its own.
#[component]
pub fn PictureCanvas(
    #[prop(into)] picture: Signal<Option<Picture>>,
    #[prop(into)] ink: Signal<Ink>,
    /// What a screen reader says; empty: the picture is described elsewhere.
    #[prop(into)]
    label: Signal<String>,
) -> impl IntoView {
    let canvas = NodeRef::<html::Canvas>::new();
    // With the graphics device the browser loses what its canvases show, and leaves it to the page to draw it again.
    let restored = RwSignal::new(());
    Effect::new(move |_| {
        restored.track();
        let Some(canvas) = canvas.get() else { return };
        match picture.get() {
            Some(picture) => paint(&canvas, &picture, ink.get()),
            None => canvas.set_width(canvas.width()),
        }
    });
    let described = move || !label.with(String::is_empty);
    view! {
        <canvas
            class="picture"
            node_ref=canvas
            width="1"
            height="1"
            on:contextrestored=move |_: web_sys::Event| restored.set(())
            role=move || described().then_some("img")
            aria-label=move || described().then(|| label.get())
            aria-hidden=move || (!described()).then_some("true")
        ></canvas>
    }
}

/// A picture with a caption under it.
#[component]
pub fn Figure(
    #[prop(into)] picture: Signal<Option<Picture>>,
    #[prop(into, default = Signal::stored(Ink::Image))] ink: Signal<Ink>,
    #[prop(into)] label: Signal<String>,
    /// The name in the field's notation: `x`, `δ`, `x′`.
    symbol: &'static str,
    children: Children,
) -> impl IntoView {
    view! {
        <figure class="figure">
            <div class="plate" class:empty=move || picture.with(Option::is_none)>
                <PictureCanvas picture ink label/>
                {move || picture.with(Option::is_none).then(|| view! { <span class="symbol math" aria-hidden="true">{symbol}</span> })}
            </div>
            <figcaption><i class="math" aria-hidden="true">{symbol}</i> <span>{children()}</span></figcaption>
        </figure>
    }
}

/// A PNG of the picture, each of its pixels a square of `scale`. Made without a canvas, which a browser's protection against
/// fingerprinting may fill with noise when it is read.
pub fn png_of(picture: &Picture, ink: Ink, scale: usize) -> Vec<u8> {
    photo::png(picture.width, picture.height, &picture.rgba(ink), scale)
}

/// Where a canvas is drawn on: in the processor's memory, as these are small, and some are read back.
pub fn context(canvas: &HtmlCanvasElement) -> Option<CanvasRenderingContext2d> {
    let options = ContextAttributes2d::new();
    options.set_will_read_frequently(true);
    canvas.get_context_with_context_options("2d", &options).ok()??.dyn_into().ok()
}

fn paint(canvas: &HtmlCanvasElement, picture: &Picture, ink: Ink) {
    let (width, height) = (picture.width, picture.height);
    if (canvas.width(), canvas.height()) != (width as u32, height as u32) {
        canvas.set_width(width as u32);
        canvas.set_height(height as u32);
    }
    let painted = ImageData::new_with_u8_clamped_array(Clamped(&picture.rgba(ink)), width as u32)
        .and_then(|data| context(canvas).map_or(Ok(()), |context| context.put_image_data(&data, 0.0, 0.0)));
    // The sizes fit by construction.
    debug_assert!(painted.is_ok());
}
