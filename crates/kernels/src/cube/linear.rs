//! Linear layers: launches of the matrix product.

use burn::backend::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::kernels::activation::ActivationKind;
use super::kernels::product::{Layouts, ProductExtentsLaunch, product};
use super::launch::{Finish, Parts, Signal, buffer, element, finish, optional, slope, width};
use super::plan::{Plan, Problem};
use super::{contiguous, fit, pass_fits, thin};
use crate::{Activation, LayerBackward, LayerGradients, LinearBackwardOps, LinearOps, Maybe, stock};

impl LinearOps for CubeBackend {
    fn linear_act(x: CubeTensor, weight: CubeTensor, bias: Maybe<Self>, activation: Activation) -> CubeTensor {
        let bias = bias.into_option();
        if !fit([Some(&x)], [Some(&weight), bias.as_ref()]) {
            return stock::linear_act::<Self>(x, weight, bias.into(), activation);
        }
        let ([x, weight], bias) = ([x, weight].map(into_contiguous), bias.map(into_contiguous));
        outputs(&x, &weight, bias.as_ref(), activation)
            .unwrap_or_else(|| stock::linear_act::<Self>(x, weight, bias.into(), activation))
    }
}

impl LinearBackwardOps for CubeBackend {
    fn linear_act_backward(pass: LayerBackward<Self>) -> LayerGradients<Self> {
        if !pass_fits(&pass) {
            return stock::linear_act_backward(pass);
        }
        let pass = contiguous(pass);
        gradients(&pass).unwrap_or_else(|| stock::linear_act_backward(pass))
    }
}

/// One product `[rows, columns]` over `terms`, its factors stored as `layouts` say.
struct Product<'a> {
    a: &'a CubeTensor,
    /// The output of the activation that `a`, a gradient, passes backward.
    output: Option<&'a CubeTensor>,
    b: &'a CubeTensor,
    layouts: Layouts,
    problem: Problem,
    /// Of the product.
    dtype: DType,
}

impl Product<'_> {
    /// `None` where the problem exceeds the device's limits.
    fn plan(&self) -> Option<Plan> {
        self.problem.plan(&self.a.client.properties().hardware)
    }

    /// `act(a b + bias)` and, if wanted, the row sums of a.
    fn launch(
        &self,
        plan: &Plan,
        bias: Option<&CubeTensor>,
        row_sums: bool,
        activation: Activation,
    ) -> (CubeTensor, Option<CubeTensor>) {
        let Problem { rows, columns, terms, .. } = self.problem;
        let shape = [rows as usize, columns as usize];
        let sums = plan.output(self.dtype, self.a, shape);
        let row_sums = row_sums.then(|| plan.output(DType::F32, self.a, [rows as usize]));
        let whole = plan.splits == 1 || self.output.is_some();
        let applied = if whole { activation } else { Activation::None };
        let vectors = |steps_contiguous, extent| width(if steps_contiguous { terms } else { extent } as usize);
        unsafe {
            product::launch_unchecked(
                &self.a.client,
                plan.count(),
                plan.units(),
                vectors(self.layouts.a_steps_contiguous, rows),
                vectors(self.layouts.b_steps_contiguous, columns),
                width(columns as usize),
                buffer(self.a),
                self.output.map(buffer).into(),
                buffer(self.b),
                optional(bias.filter(|_| plan.splits == 1)),
                buffer(&sums),
                row_sums.as_ref().map(buffer).into(),
                ProductExtentsLaunch::new(rows, columns, terms, plan.chunk),
                slope(applied),
                self.layouts,
                plan.tile,
                ActivationKind::from(applied),
                [element(self.a), element(self.b), element(&sums)],
            );
        }
        let rest = match self.output {
            Some(_) => Finish::stored(self.dtype),
            None => Finish { dtype: self.dtype, bias, inner: 1, activation },
        };
        finish(Parts { sums, row_sums }, plan.splits, shape, rest)
    }
}

/// Tensors contiguous, x f32 or f16, weight and bias f32; `None` where the problem exceeds the device's limits.
fn outputs(x: &CubeTensor, weight: &CubeTensor, bias: Option<&CubeTensor>, activation: Activation) -> Option<CubeTensor> {
    let [batch, terms] = x.meta.shape().dims();
    let [out, _] = weight.meta.shape().dims();
    if thin::suits(batch, x.dtype) {
        return Some(thin::forward(x, weight, bias, activation));
    }
    let product = Product {
        a: x,
        output: None,
        b: weight,
        layouts: Layouts { a_steps_contiguous: true, b_steps_contiguous: true },
        problem: problem(batch, out, terms),
        dtype: x.dtype,
    };
    Some(product.launch(&product.plan()?, bias, false, activation).0)
}

/// Tensors contiguous, the weight f32, the others all f32 or all f16; `None` where a problem exceeds the device's limits.
fn gradients(pass: &LayerBackward<CubeBackend>) -> Option<LayerGradients<CubeBackend>> {
    let [batch, out] = pass.gradient.meta.shape().dims();
    let output = pass.output.clone();
    let signal = Signal::new(pass.gradient.clone(), output, pass.activation, 0);
    let x = match &pass.weight {
        Some(weight) if thin::suits(batch, signal.gradient.dtype) => {
            Some(thin::data(&signal.gradient, signal.output.as_ref(), weight, signal.activation))
        }
        Some(weight) => {
            let product = Product {
                a: &signal.gradient,
                output: signal.output.as_ref(),
                b: weight,
                layouts: Layouts { a_steps_contiguous: true, b_steps_contiguous: false },
                problem: problem(batch, weight.meta.shape()[1], out),
                dtype: signal.gradient.dtype,
            };
            Some(product.launch(&product.plan()?, None, false, signal.activation).0)
        }
        None => None,
    };
    let (weight, bias) = match &pass.x {
        Some(x) => {
            let product = Product {
                a: &signal.gradient,
                output: signal.output.as_ref(),
                b: x,
                layouts: Layouts { a_steps_contiguous: false, b_steps_contiguous: false },
                problem: problem(out, x.meta.shape()[1], batch),
                dtype: DType::F32,
            };
            let (weight, bias) = product.launch(&product.plan()?, None, pass.bias, signal.activation);
            (Some(weight), bias)
        }
        None => (None, pass.bias.then(|| signal.sums(&[0]))),
    };
    Some(LayerGradients { x, weight, bias })
}

fn problem(rows: usize, columns: usize, terms: usize) -> Problem {
    Problem { rows: rows as u32, columns: columns as u32, terms: terms as u32, run: 1, copies: 1 }
}
