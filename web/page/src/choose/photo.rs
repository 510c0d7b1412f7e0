//! From a file or a canvas to a picture.

use leptos::prelude::*;
use riposte_data::photo::{self, Ink, Photo};
use riposte_protocol::Picture;
use riposte_spec::dataset::DatasetId;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, HtmlCanvasElement, HtmlImageElement, ImageBitmap, ImageData, Url};

use super::draw::Stroke;
use crate::parts::context;

/// Longest edge of what is read of a file: shrunk by the browser to this, then by means of whole areas, as its own smoothing looks at
/// few pixels when it shrinks a lot at once.
const READ: f64 = photo::READ as f64;

/// The picture in a file, upright; or a sentence that says why not.
pub async fn read(file: &File) -> Result<Photo, String> {
    if !is_canvas_true() {
        return Err(format!(
            "This browser gives pages noise in the place of what a canvas shows, against fingerprinting, and \u{201c}{}\u{201d} can be read in no \
             other way: let this site read canvases, or draw the digit.",
            file.name()
        ));
    }
    let refused =
        || format!("\u{201c}{}\u{201d} is not a picture that this browser can read. Try a PNG, a JPEG or a WebP.", file.name());
    let source = Source::open(file).await.ok_or_else(refused)?;
    let (width, height) = source.size();
    let scale = (READ / width.max(height)).min(1.0);
    let canvas = new_canvas((width * scale).max(1.0) as u32, (height * scale).max(1.0) as u32)
        .ok_or("This browser gave the page no canvas.")?;
    source.draw(&canvas).and_then(|()| colors(&canvas)).ok_or_else(refused)
}

/// Whether what is read from a canvas is what was painted on it.
fn is_canvas_true() -> bool {
    const EDGE: u32 = 16;
    // Noise may spare plain pictures.
    let painted: Vec<u8> =
        (0..EDGE * EDGE * 4).map(|place| if place % 4 == 3 { 255 } else { (place * 37 % 251) as u8 }).collect();
    let read = || {
        let canvas = new_canvas(EDGE, EDGE)?;
        let data = ImageData::new_with_u8_clamped_array(Clamped(&painted), EDGE).ok()?;
        context(&canvas)?.put_image_data(&data, 0.0, 0.0).ok()?;
        Some(context(&canvas)?.get_image_data(0.0, 0.0, f64::from(EDGE), f64::from(EDGE)).ok()?.data().to_vec())
    };
    read() == Some(painted.clone())
}

/// The digit in a photo as the test images are, with the ink that was found; `None` where there is none.
pub fn digit(photo: &Photo, light_ground: bool, set: DatasetId) -> Option<(Ink, Picture)> {
    let (ink, pixels) = photo.digit(light_ground, set)?;
    Some((ink, picture(pixels, set)))
}

/// What a pen of a width drew on a square of paper, as the test images are; `None` where it drew nothing.
pub fn drawn(strokes: &[Stroke], pen: f32, paper: usize, set: DatasetId) -> Option<Picture> {
    let [_, edge, _] = set.image_shape();
    Some(picture(Ink::of_strokes(strokes, pen, paper).centered(edge)?, set))
}

/// The middle square of a photo, in the dataset's shape.
pub fn middle(photo: &Photo, set: DatasetId) -> Picture {
    picture(photo.scene(set), set)
}

fn picture(pixels: Vec<f32>, set: DatasetId) -> Picture {
    let [channels, height, width] = set.image_shape();
    Picture { channels, height, width, pixels }
}

/// What a canvas can draw.
enum Source {
    Bitmap(ImageBitmap),
    /// Shapes (SVG), of which a browser makes no bitmap by itself.
    Shapes(HtmlImageElement),
}

impl Source {
    async fn open(file: &File) -> Option<Self> {
        if file.type_() == "image/svg+xml" {
            let address = Url::create_object_url_with_blob(file).ok()?;
            let image = HtmlImageElement::new().ok()?;
            image.set_src(&address);
            let decoded = JsFuture::from(image.decode()).await;
            _ = Url::revoke_object_url(&address);
            return decoded.ok().map(|_| Self::Shapes(image));
        }
        let bitmap = JsFuture::from(window().create_image_bitmap_with_blob(file).ok()?).await.ok()?;
        bitmap.dyn_into().ok().map(Self::Bitmap)
    }

    fn size(&self) -> (f64, f64) {
        let (width, height) = match self {
            Self::Bitmap(bitmap) => (bitmap.width(), bitmap.height()),
            Self::Shapes(image) => (image.natural_width(), image.natural_height()),
        };
        // Shapes may have no size of their own; they are as sharp at any.
        if width == 0 || height == 0 { (READ, READ) } else { (f64::from(width), f64::from(height)) }
    }

    fn draw(self, canvas: &HtmlCanvasElement) -> Option<()> {
        let context = context(canvas)?;
        let (width, height) = (f64::from(canvas.width()), f64::from(canvas.height()));
        context.set_image_smoothing_enabled(true);
        _ = js_sys::Reflect::set(&context, &"imageSmoothingQuality".into(), &JsValue::from_str("high"));
        match self {
            Self::Bitmap(bitmap) => {
                let drawn = context.draw_image_with_image_bitmap_and_dw_and_dh(&bitmap, 0.0, 0.0, width, height);
                bitmap.close();
                drawn.ok()
            }
            Self::Shapes(image) => context.draw_image_with_html_image_element_and_dw_and_dh(&image, 0.0, 0.0, width, height).ok(),
        }
    }
}

fn colors(canvas: &HtmlCanvasElement) -> Option<Photo> {
    let (width, height) = (canvas.width() as usize, canvas.height() as usize);
    let data = context(canvas)?.get_image_data(0.0, 0.0, width as f64, height as f64).ok()?.data();
    Some(Photo::of_rgba(width, height, &data))
}

fn new_canvas(width: u32, height: u32) -> Option<HtmlCanvasElement> {
    let canvas: HtmlCanvasElement = document().create_element("canvas").ok()?.dyn_into().ok()?;
    canvas.set_width(width);
    canvas.set_height(height);
    Some(canvas)
}
