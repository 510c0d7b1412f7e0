//! What the method asks of a model: images in, logits out.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, Transaction};
use riposte_spec::class::argmax;

/// An image classifier.
///
/// Normalization is part of the classifier, so that `epsilon` is in pixel units for every model and every attack.
pub trait Classifier: Module {
    /// Logits `[batch, class]` of images `[batch, channel, height, width]` with pixels in `[0, 1]`: f32, or f16 for images in f16.
    fn forward(&self, images: Tensor<4>) -> Tensor<2>;

    /// Number of classes.
    fn classes(&self) -> usize;

    /// Its parts, of which the later ones can adapt without the first; `None` of a classifier that adapts as a whole.
    fn stages(&self) -> Option<&dyn Stages> {
        None
    }

    /// The device that holds the parameters, without autodiff.
    fn device(&self) -> Device {
        let devices = self.devices();
        devices.into_iter().next().expect("a classifier has parameters").without_autodiff()
    }
}

/// A network in three parts, one after the other: what [`Parameters`](riposte_spec::post_train::Parameters) can name apart.
pub trait Stages {
    /// Feature maps `[batch, channel, height, width]` of images in `[0, 1]`: of the first layer alone, by way of which YOPO perturbs images.
    fn first(&self, images: Tensor<4>) -> Tensor<4>;

    /// Feature maps `[batch, channel, height, width]` of the trunk, of the first layer's: the rest of the trunk.
    fn after_first(&self, maps: Tensor<4>) -> Tensor<4>;

    /// Feature maps `[batch, channel, height, width]` of images in `[0, 1]`: all that comes before the last stage.
    fn trunk(&self, images: Tensor<4>) -> Tensor<4> {
        self.after_first(self.first(images))
    }

    /// Features `[batch, feature]` of the trunk's feature maps.
    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2>;

    /// Logits `[batch, class]` of the last stage's features: the last linear layer.
    fn head(&self, features: Tensor<2>) -> Tensor<2>;

    /// Logits `[batch, class]` of images `[batch, channel, height, width]` in `[0, 1]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.head(self.last_stage(self.trunk(images)))
    }
}

/// The predicted class of each row of `logits` `[batch, class]`, read back from the device.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn predictions(logits: Tensor<2>) -> crate::Result<Vec<usize>> {
    let [_, classes] = logits.dims();
    let values = read(logits).await?;
    Ok(values.chunks_exact(classes).map(argmax).collect())
}

/// Reads a tensor back as `f32`, row-major. This and [`read_pairs`] are the core's only ways from the device to the host.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> crate::Result<Vec<f32>> {
    let data = tensor.into_data_async().await.map_err(|error| crate::Error::Device(error.to_string()))?;
    data.convert::<f32>().try_into_vec().map_err(|error| crate::Error::Device(error.to_string()))
}

/// Reads pairs of tensors back in one go, each as [`read`] does: one wait, however many there are.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn read_pairs<const A: usize, const B: usize>(pairs: Vec<(Tensor<A>, Tensor<B>)>) -> crate::Result<Vec<[Vec<f32>; 2]>> {
    let all = pairs.into_iter().fold(Transaction::default(), |all, (first, second)| all.register(first).register(second));
    let data = all.execute_async().await.map_err(|error| crate::Error::Device(error.to_string()))?;
    let values =
        |data: &TensorData| data.clone().convert::<f32>().try_into_vec().map_err(|error| crate::Error::Device(error.to_string()));
    data.as_chunks::<2>().0.iter().map(|[first, second]| Ok([values(first)?, values(second)?])).collect()
}
