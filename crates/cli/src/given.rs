//! Attacked images from a file: made elsewhere, judged here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use clap::ValueEnum;
use riposte::data::Dataset;

use crate::arrays::{self, Array, Values};
use crate::file;
use crate::models::sha256;

/// What the numbers of an image file mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PixelRange {
    /// From 0 to 1
    Unit,
    /// From 0 to 255
    Levels,
}

/// Images in the place of an attack's.
#[derive(Debug)]
pub struct Given {
    /// `[image, channel, height, width]` in `[0, 1]`.
    pixels: Vec<f32>,
    shape: [usize; 3],
    /// Number of the first one in the test set.
    pub first: usize,
    /// Of the file, hexadecimal.
    pub sha256: String,
    labels: Option<Vec<i64>>,
}

/// Names under which files hold attacked images.
const NAMES: [&str; 6] = ["attacked", "adversarial", "x_adv", "adv", "images", ""];

impl Given {
    /// Reads the images of `path`, which are of `shape` (channels, height, width) each, and which stand for the test images from number
    /// `first` on, or from the first of the file's `numbers`.
    ///
    /// # Errors
    /// If the file is damaged, has no such images, does not tell how its numbers are meant and `range` is `None`, has numbers out of
    /// range or that are none, or stands for other test images.
    pub fn read(path: &Path, shape: [usize; 3], range: Option<PixelRange>, first: Option<usize>) -> Result<Self> {
        let arrays = arrays::read(path)?;
        let read = || -> Result<Self> {
            let array = images(&arrays, shape)?;
            let levels = scale(&array.values, range)? == PixelRange::Levels;
            let mut pixels = channels_first(array, shape)?;
            if levels {
                pixels.iter_mut().for_each(|pixel| *pixel /= 255.0);
            }
            let count = array.shape[0];
            ensure!(count > 0, "it has no images");
            let first = first_number(integers(&arrays, "numbers", count)?.as_deref(), first)?;
            let labels = integers(&arrays, "labels", count)?;
            Ok(Self { pixels, shape, first, sha256: sha256(&file::read(path)?), labels })
        };
        read().with_context(|| format!("cannot take the images of `{}`", path.display()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.iter().product::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Checks the labels of the first `images`, if the file has any.
    ///
    /// # Errors
    /// If they are not those of the test images.
    pub fn check_labels(&self, test: &Dataset, images: usize) -> Result<()> {
        for (index, label) in self.labels.iter().flatten().take(images).enumerate() {
            let (number, expected) = (self.first + index, test.label(self.first + index));
            ensure!(
                *label == expected as i64,
                "the file's label of test image {number} is {label}, and the dataset's {expected}: is it of another dataset, or in another \
                 order?"
            );
        }
        Ok(())
    }

    /// The images that stand for the test images `inputs`, `[image, channel, height, width]`.
    ///
    /// # Panics
    /// If there is none for one of them.
    pub fn tensor(&self, inputs: Range<usize>, device: &Device) -> Tensor<4> {
        let [channels, height, width] = self.shape;
        let pixels = self.pixels_of(inputs.clone()).to_vec();
        Tensor::from_data(TensorData::new(pixels, [inputs.len(), channels, height, width]), device)
    }

    /// The largest change of a pixel of test image number `input`.
    ///
    /// # Panics
    /// If there is no image for it.
    pub fn perturbation(&self, input: usize, test: &Dataset) -> f32 {
        let natural = test.images().to_f32([input]);
        let changes = natural.iter().zip(self.pixels_of(input..input + 1)).map(|(natural, given)| (given - natural).abs());
        changes.fold(0.0, f32::max)
    }

    fn pixels_of(&self, inputs: Range<usize>) -> &[f32] {
        let size: usize = self.shape.iter().product();
        &self.pixels[(inputs.start - self.first) * size..(inputs.end - self.first) * size]
    }
}

/// The array that holds the images: by its name, or the only one of their size.
fn images(arrays: &BTreeMap<String, Array>, shape: [usize; 3]) -> Result<&Array> {
    let size: usize = shape.iter().product();
    let fits = |array: &&Array| array.shape.len() > 1 && array.shape[1..].iter().product::<usize>() == size;
    let named = NAMES.iter().find_map(|name| arrays.get(*name).filter(fits));
    let mut fitting = arrays.values().filter(fits);
    match (named, fitting.next(), fitting.next()) {
        (Some(array), ..) | (None, Some(array), None) => Ok(array),
        (None, ..) => {
            let found: Vec<String> = arrays.iter().map(|(name, array)| format!("`{name}` {:?}", array.shape)).collect();
            let [channels, height, width] = shape;
            bail!(
                "of its arrays ({}) one named `attacked` should hold images of {channels} x {height} x {width}",
                found.join(", ")
            )
        }
    }
}

fn scale(values: &Values, asked: Option<PixelRange>) -> Result<PixelRange> {
    let floats = values.floats();
    let [low, high] =
        floats.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| [low.min(*value), high.max(*value)]);
    ensure!(floats.iter().all(|value| value.is_finite()), "a pixel is not a finite number");
    let is_float = matches!(values, Values::F32(_));
    let range = match asked {
        Some(range) => range,
        None if is_float && high <= 1.0 => PixelRange::Unit,
        None if high > 2.0 => PixelRange::Levels,
        None => bail!(
            "its pixels reach from {low} to {high}: say with --pixels unit or --pixels levels which range they are meant in"
        ),
    };
    let most = if range == PixelRange::Unit { 1.0 } else { 255.0 };
    ensure!(low >= 0.0 && high <= most, "its pixels reach from {low} to {high}, outside 0 to {most}");
    Ok(range)
}

/// The pixels with the channels before height and width.
fn channels_first(array: &Array, shape: [usize; 3]) -> Result<Vec<f32>> {
    let [channels, height, width] = shape;
    let pixels = array.values.floats();
    match array.shape[1..] {
        [c, h, w] if [c, h, w] == shape => Ok(pixels),
        [h, w, c] if [c, h, w] == shape => {
            let plane = height * width;
            let image = |image: &[f32]| -> Vec<f32> {
                (0..channels)
                    .flat_map(|channel| (0..plane).map(move |at| image[at * channels + channel]).collect::<Vec<_>>())
                    .collect()
            };
            Ok(pixels.chunks_exact(plane * channels).flat_map(image).collect())
        }
        [h, w] if [1, h, w] == shape => Ok(pixels),
        [_] if channels == 1 => Ok(pixels),
        _ => bail!(
            "its images have the shape {:?}, neither channels, height, width nor height, width, channels of {channels} x {height} x {width}",
            &array.shape[1..]
        ),
    }
}

/// What the array `name` says of each of `count` images; `None` if there is no such array.
fn integers(arrays: &BTreeMap<String, Array>, name: &str, count: usize) -> Result<Option<Vec<i64>>> {
    let Some(array) = arrays.get(name) else { return Ok(None) };
    let found = array.values.integers().filter(|values| values.len() == count);
    found
        .map(Some)
        .with_context(|| format!("its array `{name}` {:?} is not {count} whole numbers, one for each image", array.shape))
}

/// The test image that the first of the images stands for.
fn first_number(numbers: Option<&[i64]>, asked: Option<usize>) -> Result<usize> {
    let Some(numbers) = numbers else { return Ok(asked.unwrap_or(0)) };
    ensure!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "its `numbers` do not follow each other");
    let first = usize::try_from(numbers[0]).context("its `numbers` begin below 0")?;
    match asked.filter(|asked| *asked != first) {
        Some(asked) => bail!("its `numbers` begin with {first}, and --first says {asked}"),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [3, 1, 2];

    /// Two images of 3 x 1 x 2 in a file, by an array of this shape.
    fn given(name: &str, shape: &[usize], values: Values, range: Option<PixelRange>) -> Result<Given> {
        let path = std::env::temp_dir().join(format!("riposte-given-{}-{name}.npz", std::process::id()));
        let array = Array { shape: shape.to_vec(), values };
        let numbers = Array { shape: vec![2], values: Values::I64(vec![7, 8]) };
        arrays::write(&path, &BTreeMap::from([("attacked", array), ("numbers", numbers)])).unwrap();
        let given = Given::read(&path, SHAPE, range, None);
        std::fs::remove_file(&path).unwrap();
        given
    }

    #[test]
    fn channels_may_come_first_or_last() {
        let first: Vec<f32> = (0..12).map(|value| value as f32 / 20.0).collect();
        let a = given("first", &[2, 3, 1, 2], Values::F32(first.clone()), None).unwrap();
        // Of each image pixel after pixel: channel 0, 1, 2.
        let order = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11];
        let b = given("last", &[2, 1, 2, 3], Values::F32(order.map(|at| first[at]).to_vec()), None).unwrap();
        assert_eq!((a.pixels.as_slice(), a.first, a.len()), (first.as_slice(), 7, 2));
        assert_eq!(a.pixels, b.pixels);
        assert!(given("flat", &[2, 6], Values::F32(first), None).unwrap_err().root_cause().to_string().contains("shape [6]"));
    }

    #[test]
    fn the_range_of_pixels_is_told_apart_or_asked_for() {
        let levels = given("u8", &[2, 3, 1, 2], Values::U8((0..12).map(|value| value * 20).collect()), None).unwrap();
        assert_eq!(levels.pixels[1], 20.0 / 255.0);
        let float = given("255", &[2, 3, 1, 2], Values::F32(vec![51.0; 12]), None).unwrap();
        assert_eq!(float.pixels, vec![0.2; 12]);
        for (name, values) in [("dark", Values::U8(vec![1; 12])), ("over", Values::F32(vec![1.5; 12]))] {
            let error = given(name, &[2, 3, 1, 2], values.clone(), None).unwrap_err();
            assert!(error.root_cause().to_string().contains("--pixels unit"), "{error:#}");
            assert_eq!(given(name, &[2, 3, 1, 2], values, Some(PixelRange::Levels)).unwrap().len(), 2);
        }
        for values in [vec![-0.1; 12], vec![f32::NAN; 12], vec![300.0; 12]] {
            assert!(given("bad", &[2, 3, 1, 2], Values::F32(values), None).is_err());
        }
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused() {
        assert_eq!(first_number(None, Some(5)).unwrap(), 5);
        assert_eq!(first_number(Some(&[3, 4]), Some(3)).unwrap(), 3);
        assert!(first_number(Some(&[3, 5]), None).is_err() && first_number(Some(&[3, 4]), Some(0)).is_err());
    }

    #[test]
    fn numbers_and_labels_are_one_whole_number_for_each_image_or_an_error() {
        let of = |values: Values, length: usize| BTreeMap::from([("labels".to_owned(), Array { shape: vec![length], values })]);
        assert_eq!(integers(&of(Values::I64(vec![7, 8]), 2), "labels", 2).unwrap(), Some(vec![7, 8]));
        assert_eq!(integers(&BTreeMap::new(), "labels", 2).unwrap(), None);
        for wrong in [of(Values::I64(vec![7]), 1), of(Values::F32(vec![7.0, 8.0]), 2)] {
            assert!(integers(&wrong, "labels", 2).unwrap_err().to_string().contains("2 whole numbers"));
        }
        assert!(given("none", &[0, 3, 1, 2], Values::F32(Vec::new()), None).is_err());
    }
}
