//! A plane through an image space, and what classifiers say at its points.

use burn::tensor::{Tensor, TensorData};
use riposte::Classifier;
use riposte::classifier::read;
use riposte::models::Model;
use riposte::spec::class::argmax;
use riposte_protocol::{Event, Picture, Plane, RunId};

use super::Engine;
use crate::trouble::Trouble;
use crate::worker::post;

/// Tells the classes row by row, as each is computed.
pub async fn run(engine: &Engine, run: RunId, models: &[&Model], plane: &Plane, size: usize) -> Result<(), Trouble> {
    for row in 0..size {
        let points: Vec<Picture> = (0..size).map(|column| plane.point(plane.place(column, row, size))).collect();
        let mut classes = Vec::with_capacity(models.len());
        for model in models {
            let logits = read(model.forward(batch(engine, &points)?)).await?;
            classes.push(logits.chunks_exact(model.classes()).map(|logits| argmax(logits) as u8).collect());
        }
        post(&Event::Row { run, row, classes });
        engine.go_on(run).await?;
    }
    Ok(())
}

/// `[picture, channel, height, width]`
fn batch(engine: &Engine, pictures: &[Picture]) -> Result<Tensor<4>, Trouble> {
    let Some(Picture { channels, height, width, .. }) = pictures.first() else {
        return Err(Trouble::last("A slice has at least one point.".to_owned()));
    };
    let shape = [pictures.len(), *channels, *height, *width];
    let pixels: Vec<f32> = pictures.iter().flat_map(|picture| picture.pixels.iter().copied()).collect();
    Ok(Tensor::from_data(TensorData::new(pixels, shape), engine.device()?))
}
