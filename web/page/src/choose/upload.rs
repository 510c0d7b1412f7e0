//! A visitor's own picture: cropped to a square, resized, shown as the classifier sees it.

use leptos::prelude::*;
use riposte_protocol::{DatasetEntry, Picture};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DragEvent, File, HtmlCanvasElement, ImageBitmap};

use crate::parts::{Ink, PictureCanvas, context};
use crate::state::{Arena, Origin};

/// A file field that also takes a dropped file.
#[component]
pub fn Upload() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let trouble = RwSignal::new(None::<String>);
    let busy = RwSignal::new(false);
    let invert = RwSignal::new(false);
    let seen = RwSignal::new(None::<(Picture, String)>);
    let gray = Memo::new(move |_| arena.dataset().channels == 1);
    let show = move || {
        let Some((image, name)) = seen.get_untracked() else { return };
        let pixels = image.pixels.iter().map(|value| if invert.get_untracked() { 1.0 - value } else { *value }).collect();
        let dataset = untrack(|| arena.dataset().id);
        arena.choose(Origin::Uploaded(name), Picture { pixels, ..image }, None, dataset);
    };
    let take = move |file: File| {
        busy.set(true);
        trouble.set(None);
        let set = untrack(|| arena.dataset());
        spawn_local(async move {
            let read = read(&file, &set).await;
            if busy.try_set(false).is_some() {
                return;
            }
            match read {
                Ok(image) => {
                    // Digits are light ink on dark; a photo of paper is the other way round.
                    let mean = image.pixels.iter().sum::<f32>() / image.pixels.len() as f32;
                    invert.set(gray.get_untracked() && mean > 0.5);
                    seen.set(Some((image, file.name())));
                    show();
                }
                Err(sentence) => trouble.set(Some(sentence)),
            }
        });
    };
    let drop_file = move |event: DragEvent| {
        event.prevent_default();
        if let Some(file) = event.data_transfer().and_then(|data| data.files()).and_then(|files| files.get(0)) {
            take(file);
        }
    };
    let shown = move || {
        arena.subject.with(|subject| {
            subject.as_ref().filter(|subject| matches!(subject.origin, Origin::Uploaded(_))).map(|subject| subject.image.clone())
        })
    };
    view! {
        <div class="upload">
            <label class="drop" on:dragover=|event: DragEvent| event.prevent_default() on:drop=drop_file>
                <input
                    type="file"
                    accept="image/*"
                    on:change:target=move |event| {
                        if let Some(file) = event.target().files().and_then(|files| files.get(0)) {
                            take(file);
                        }
                        // So that the same file can be taken again.
                        event.target().set_value("");
                    }
                />
                <span>{move || if busy.get() { "Reading the picture\u{2026}" } else { "Choose a picture, or drop one here" }}</span>
                <span class="hint">"It stays on your device."</span>
            </label>
            {move || trouble.get().map(|sentence| view! { <p class="trouble" role="alert">{sentence}</p> })}
            {move || shown().map(|image| view! {
                <div class="seen">
                    <PictureCanvas
                        picture=Signal::stored(Some(image))
                        ink=Signal::stored(Ink::Image)
                        label=Signal::stored("Your picture as the classifier sees it".to_owned())
                    />
                    <div>
                        <p class="hint">"As the classifier sees it: the middle square, resized."</p>
                        <label class="tick" hidden=move || !gray.get()>
                            <input type="checkbox" prop:checked=move || invert.get() on:change:target=move |event| {
                                invert.set(event.target().checked());
                                show();
                            }/>
                            "Dark ink on light paper"
                        </label>
                    </div>
                </div>
            })}
        </div>
    }
}

/// The picture in a file, in the dataset's shape; or a sentence that says why not.
async fn read(file: &File, set: &DatasetEntry) -> Result<Picture, String> {
    let sentence =
        || format!("\u{201c}{}\u{201d} is not a picture that this browser can read. Try a PNG, a JPEG or a WebP.", file.name());
    let promise = window().create_image_bitmap_with_blob(file).map_err(|_| sentence())?;
    let bitmap: ImageBitmap =
        JsFuture::from(promise).await.ok().and_then(|bitmap| bitmap.dyn_into().ok()).ok_or_else(sentence)?;
    let (width, height) = (f64::from(bitmap.width()), f64::from(bitmap.height()));
    let edge = width.min(height);
    // Half-way size first: the browser's own smoothing looks at few source pixels when it shrinks a lot at once.
    let middle = f64::from(256.max(4 * set.width as u32)).min(edge.max(1.0));
    let square = new_canvas(middle as u32, middle as u32).ok_or("This browser gave the page no canvas.")?;
    let drawn = context(&square).map(|context| {
        context.set_image_smoothing_enabled(true);
        // Transparency becomes white, as on paper.
        context.set_fill_style_str("#fff");
        context.fill_rect(0.0, 0.0, middle, middle);
        context.draw_image_with_image_bitmap_and_sw_and_sh_and_dx_and_dy_and_dw_and_dh(
            &bitmap,
            (width - edge) / 2.0,
            (height - edge) / 2.0,
            edge,
            edge,
            0.0,
            0.0,
            middle,
            middle,
        )
    });
    bitmap.close();
    match drawn {
        Some(Ok(())) => shrink(&square, set).ok_or_else(sentence),
        _ => Err(sentence()),
    }
}

/// A canvas as a picture in the dataset's shape: each pixel the mean of the area it covers.
pub fn shrink(canvas: &HtmlCanvasElement, set: &DatasetEntry) -> Option<Picture> {
    let (width, height) = (canvas.width() as usize, canvas.height() as usize);
    let data = context(canvas)?.get_image_data(0.0, 0.0, width as f64, height as f64).ok()?.data();
    let mut pixels = Vec::with_capacity(set.channels * set.height * set.width);
    for channel in 0..set.channels {
        for row in 0..set.height {
            for column in 0..set.width {
                let rows = row * height / set.height..((row + 1) * height).div_ceil(set.height);
                let columns = column * width / set.width..((column + 1) * width).div_ceil(set.width);
                let mut sum = 0.0;
                let count = rows.len() * columns.len();
                for y in rows {
                    for x in columns.clone() {
                        let at = 4 * (y * width + x);
                        sum += level(&data[at..at + 3], channel, set.channels);
                    }
                }
                pixels.push(sum / count as f32);
            }
        }
    }
    Some(Picture { channels: set.channels, height: set.height, width: set.width, pixels })
}

/// One channel of a color in [0, 1]; of a gray picture, its luma.
fn level(rgb: &[u8], channel: usize, channels: usize) -> f32 {
    let value = |index: usize| f32::from(rgb[index]) / 255.0;
    if channels == 1 { 0.299 * value(0) + 0.587 * value(1) + 0.114 * value(2) } else { value(channel.min(2)) }
}

fn new_canvas(width: u32, height: u32) -> Option<HtmlCanvasElement> {
    let canvas: HtmlCanvasElement = document().create_element("canvas").ok()?.dyn_into().ok()?;
    canvas.set_width(width);
    canvas.set_height(height);
    Some(canvas)
}
