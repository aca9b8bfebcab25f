//! The two layers that hold parameters. All GPT-2 is made of them and of embeddings.

use ndarray::{ArcArray1, ArcArray2, Array3, ArrayView1, ArrayView2, ArrayView3, ArrayViewMut1, Zip};
use ordered_product::matmul;

use crate::Scope;
use crate::functions::sum;

#[cfg(test)]
mod tests;

/// An affine map of the last axis, stored as Hugging Face's `Conv1D` stores it.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[in, out]`: `x · W` needs no transpose. (PyTorch's `nn.Linear` stores `[out, in]`.)
    pub weight: ArcArray2<f32>,
    /// `[out]`.
    pub bias: ArcArray1<f32>,
}

/// Normalizes the last axis to mean 0 and variance 1, then scales and shifts each channel.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// `[D]`.
    pub weight: ArcArray1<f32>,
    /// `[D]`.
    pub bias: ArcArray1<f32>,
    /// Added to the variance.
    pub epsilon: f64,
}

impl Linear {
    /// `x · W + b`: `[B, S, in] → [B, S, out]`.
    pub fn forward(&self, x: ArrayView3<'_, f32>) -> Array3<f32> {
        let mut out = matmul_last_axis(x, self.weight.view());
        out += &self.bias;
        out
    }
}

impl LayerNorm {
    /// `normalize(x) · weight + bias`: `[B, S, D] → [B, S, D]`. Shows `{name}.normalized` and `{name}`.
    pub fn forward(&self, x: ArrayView3<'_, f32>, name: &str, scope: &mut Scope<'_>) -> Array3<f32> {
        let mut out = self.normalize(x);
        scope.see(&format!("{name}.normalized"), &out);
        out *= &self.weight;
        out += &self.bias;
        scope.see(name, &out);
        out
    }

    /// `(x − mean) / √(variance + epsilon)`, with the biased variance (divided by D). Two passes in f64, rounded once.
    pub fn normalize(&self, x: ArrayView3<'_, f32>) -> Array3<f32> {
        let mut out = Array3::zeros(x.dim());
        Zip::from(out.rows_mut()).and(x.rows()).par_for_each(|out, x| normalize_row(x, self.epsilon, out));
        out
    }
}

fn normalize_row(x: ArrayView1<'_, f32>, epsilon: f64, out: ArrayViewMut1<'_, f32>) {
    let width = x.len() as f64;
    let mean = sum(x, |x| x) / width;
    let variance = sum(x, |x| (x - mean).powi(2)) / width;
    let scale = 1.0 / (variance + epsilon).sqrt();
    Zip::from(out).and(x).for_each(|out, &x| *out = ((f64::from(x) - mean) * scale) as f32);
}

/// `x · W` over the last axis: `[B, S, in] · [in, out] → [B, S, out]`.
pub(crate) fn matmul_last_axis(x: ArrayView3<'_, f32>, weight: ArrayView2<'_, f32>) -> Array3<f32> {
    let (batch, new, width) = x.dim();
    let rows = x.to_shape((batch * new, width)).expect("merging axes, copying where needed");
    matmul(rows.view(), weight)
        .into_shape_with_order((batch, new, weight.ncols()))
        .expect("splitting the first axis of an array in C order")
}
