//! What GPT-2 computes without parameters: attention, softmax, the activation, argmax.

use std::f32::consts::PI;

use ndarray::parallel::prelude::*;
use ndarray::{
    Array1, Array2, Array3, Array4, ArrayView1, ArrayView2, ArrayView3, ArrayView4, ArrayViewMut1,
    ArrayViewMut2, ArrayViewMut4, Axis, Zip, s,
};
use ordered_product::matmul_into;

#[cfg(test)]
mod tests;

/// Below this, dividing by a temperature has no meaning left: the largest logit takes all.
pub const GREEDY_TEMPERATURE: f32 = 1e-6;

/// The tanh form of GELU, which GPT-2 was trained with (not the erf form): `x/2 · (1 + tanh u)` with
/// `u = √(2/π) · (x + 0.044715·x³)`.
///
/// Since `(1 + tanh u)/2 = 1/(1 + e⁻²ᵘ)`, it needs one exponential and no tanh, and cancels nothing where `tanh u` is
/// near −1.
pub fn gelu_new(x: f32) -> f32 {
    let u = (2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3));
    x / (1.0 + (-2.0 * u).exp())
}

/// The additive mask of a step, `[B, S, K]` with `K = past + new`: 0 where the key's position is at most the
/// query's, −∞ at later ones.
pub fn causal_mask(batch: usize, past: usize, new: usize) -> Array3<f32> {
    let mut mask = Array3::zeros((batch, new, past + new));
    for (query, mut row) in mask.axis_iter_mut(Axis(1)).enumerate() {
        row.slice_mut(s![.., past + query + 1..]).fill(f32::NEG_INFINITY);
    }
    mask
}

/// `q · kᵀ · scale` of each head: `[B, S, H, Dh] · [B, K, H, Dh] → [B, H, S, K]`.
pub fn attention_scores(q: ArrayView4<'_, f32>, keys: ArrayView4<'_, f32>, scale: f32) -> Array4<f32> {
    let (batch, new, heads, _) = q.dim();
    let mut scores = Array4::zeros((batch, heads, new, keys.len_of(Axis(1))));
    for_each_head(heads_first(q), heads_first(keys), scores.view_mut(), |q, k, out| {
        matmul_into(q, k.t(), out);
    });
    scores *= scale;
    scores
}

/// `softmax(scores + mask)` over the keys: `[B, H, S, K]`, with a mask `[B, S, K]` that all heads share.
pub fn attention_probs(mut scores: Array4<f32>, mask: ArrayView3<'_, f32>) -> Array4<f32> {
    let heads = scores.len_of(Axis(1));
    for head in 0..heads {
        Zip::from(scores.index_axis_mut(Axis(1), head).lanes_mut(Axis(2)))
            .and(mask.lanes(Axis(2)))
            .par_for_each(|mut row, mask| {
                row += &mask;
                softmax(row);
            });
    }
    scores
}

/// `probs · values` of each head, heads merged: `[B, H, S, K] · [B, K, H, Dh] → [B, S, H·Dh]`.
pub fn attention_context(probs: ArrayView4<'_, f32>, values: ArrayView4<'_, f32>) -> Array3<f32> {
    let (batch, heads, new, _) = probs.dim();
    let head_dim = values.len_of(Axis(3));
    let mut context = Array4::zeros((batch, new, heads, head_dim));
    let by_head = context.view_mut().permuted_axes([0, 2, 1, 3]);
    for_each_head(probs, heads_first(values), by_head, matmul_into);
    context
        .into_shape_with_order((batch, new, heads * head_dim))
        .expect("merging the two last axes of an array in C order")
}

/// Softmax in place. The maximum is subtracted first; the sum is kept in f64.
pub fn softmax(mut row: ArrayViewMut1<'_, f32>) {
    // `f32::max` ignores NaN, but NaN − maximum is NaN again, so that none is lost.
    let maximum = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.mapv_inplace(|x| (x - maximum).exp());
    let total = sum(row.view(), |x| x);
    row.mapv_inplace(|x| (f64::from(x) / total) as f32);
}

/// `softmax(logits / temperature)` of each row, `[B, V]`. A temperature below [`GREEDY_TEMPERATURE`] means argmax:
/// probability 1 for the token that [`argmax`] takes, 0 for the others.
pub fn probabilities(logits: ArrayView2<'_, f32>, temperature: f32) -> Array2<f32> {
    if temperature < GREEDY_TEMPERATURE {
        let mut probs = Array2::zeros(logits.dim());
        for (mut row, logits) in probs.rows_mut().into_iter().zip(logits.rows()) {
            row[argmax(logits)] = 1.0;
        }
        return probs;
    }
    let mut probs = logits.mapv(|logit| logit / temperature);
    probs.rows_mut().into_iter().for_each(softmax);
    probs
}

/// Index of the greatest logit, the lowest one on ties. NaN counts as the greatest, as in PyTorch and NumPy, so that
/// it cannot hide. 0 for an empty row.
pub fn argmax(logits: ArrayView1<'_, f32>) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        let beaten = logit > logits[best] || (logit.is_nan() && !logits[best].is_nan());
        if beaten {
            best = index;
        }
    }
    best
}

/// [`argmax`] of each row: `[B, V] → [B]`.
pub fn greedy(logits: ArrayView2<'_, f32>) -> Array1<i64> {
    logits.rows().into_iter().map(|row| argmax(row) as i64).collect()
}

/// Sum of `term` over a row, in f64, as eight interleaved partial sums.
pub(crate) fn sum(row: ArrayView1<'_, f32>, term: impl Fn(f64) -> f64) -> f64 {
    const PARTIAL_SUMS: usize = 8;
    let mut partial = [0.0; PARTIAL_SUMS];
    for chunk in row.axis_chunks_iter(Axis(0), PARTIAL_SUMS) {
        for (partial, &x) in partial.iter_mut().zip(chunk) {
            *partial += term(x.into());
        }
    }
    partial.iter().sum()
}

/// `[B, S, H, Dh] → [B, H, S, Dh]`, without copying.
fn heads_first(x: ArrayView4<'_, f32>) -> ArrayView4<'_, f32> {
    x.permuted_axes([0, 2, 1, 3])
}

/// Calls `product` on the matrices of each batch row and head, in parallel.
fn for_each_head(
    a: ArrayView4<'_, f32>,
    b: ArrayView4<'_, f32>,
    mut out: ArrayViewMut4<'_, f32>,
    product: impl Fn(ArrayView2<'_, f32>, ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>) + Sync,
) {
    (out.outer_iter_mut(), a.outer_iter(), b.outer_iter()).into_par_iter().for_each(|(mut out, a, b)| {
        (out.outer_iter_mut(), a.outer_iter(), b.outer_iter())
            .into_par_iter()
            .for_each(|(out, a, b)| product(a, b, out));
    });
}
