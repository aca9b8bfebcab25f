//! LayerNorm over rows.

use crate::rows::{Confidence, absolute, are_finite, dot, rows, size, sum_of};
use crate::{FLUSHED, UNIT};

/// n = (x − μ)/√(v + ε) and y = n·g + b over rows of as many elements as there are weights, and the errors that x
/// carries; of weights and biases the sizes are given. The bounds of n and of y.
pub fn layer_norm(
    confidence: Confidence,
    x: &[f64],
    carried: Option<&[f32]>,
    epsilon: f64,
    [weight, bias]: [&[f32]; 2],
) -> Option<[Vec<f32>; 2]> {
    let width = weight.len();
    rows(width, x.len(), &[carried.map(<[f32]>::len)]);
    rows(width, bias.len(), &[Some(width)]);
    pulp::Arch::new().dispatch(LayerNorm { confidence, x, carried, epsilon, weight, bias })
}

struct LayerNorm<'a> {
    confidence: Confidence,
    x: &'a [f64],
    carried: Option<&'a [f32]>,
    epsilon: f64,
    weight: &'a [f32],
    bias: &'a [f32],
}

impl pulp::WithSimd for LayerNorm<'_> {
    type Output = Option<[Vec<f32>; 2]>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        let Self { x, carried, weight, bias, .. } = self;
        let width = weight.len();
        let mut row = Row::new(self.confidence, self.epsilon, width);
        let (mut normalized, mut output) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let bounds = normalized.chunks_exact_mut(width).zip(output.chunks_exact_mut(width));
        for (index, ((errors, of_y), x)) in bounds.zip(x.chunks_exact(width)).enumerate() {
            row.bound(x, carried.map(|carried| &carried[index * width..][..width]), errors);
            // What `bound` leaves in `centred` is |n|.
            for ((of_y, error), (n, (g, b))) in
                of_y.iter_mut().zip(&mut *errors).zip(row.centred.iter().zip(weight.iter().zip(bias)))
            {
                *of_y = (2.0 * n + *error) * g + 2.0 * (b + FLUSHED);
                *error += FLUSHED;
            }
        }
        (are_finite(&normalized) && are_finite(&output)).then_some([normalized, output])
    }
}

/// What is computed of one row, in memory that all rows share.
struct Row {
    confidence: Confidence,
    epsilon: f64,
    terms: Vec<f32>,
    /// |x − μ|, later |n|.
    centred: Vec<f32>,
    squares: Vec<f32>,
}

impl Row {
    fn new(confidence: Confidence, epsilon: f64, width: usize) -> Self {
        let [terms, centred, squares] = [const { Vec::new() }; 3].map(|mut row: Vec<f32>| {
            row.resize(width, 0.0);
            row
        });
        Self { confidence, epsilon, terms, centred, squares }
    }

    /// The bounds of n, without a flush.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "bounds are f32")]
    fn bound(&mut self, x: &[f64], carried: Option<&[f32]>, errors: &mut [f32]) {
        let width = x.len() as f64;
        let mean = sum_of(x, |x| x) / width;
        let variance = sum_of(x, |x| (x - mean) * (x - mean)) / width;
        let inverse = (1.0 / (variance + self.epsilon).sqrt()) as f32;
        for ((term, centred), &x) in self.terms.iter_mut().zip(&mut self.centred).zip(x) {
            *term = size(x);
            *centred = absolute(x - mean);
        }
        for (square, centred) in self.squares.iter_mut().zip(&self.centred) {
            *square = centred * centred;
        }
        let (width, mean, variance) = (width as f32, absolute(mean), variance as f32);

        let shared = self.confidence.total(&self.terms, Some(mean * width)) / width + 3.0 * mean;
        let updating = self.confidence.of_terms(width) * (variance * (variance + mean * mean)).sqrt();
        let squared = self.confidence.total(&self.squares, None) / width;
        let spread = squared.max(updating) + 5.0 * variance + UNIT * shared * shared;
        let relative = spread * inverse * inverse / 2.0 + 1.0 + 5.0;
        for ((error, term), centred) in errors.iter_mut().zip(&self.terms).zip(&mut self.centred) {
            *error = *centred * (1.0 + relative) + term + (shared + FLUSHED);
            *centred *= inverse;
        }
        if let Some(carried) = carried {
            let of_variance = UNIT / 2.0 * inverse * dot(carried, carried);
            let common = (dot(&self.centred, carried) + of_variance) / width;
            let mean = sum_of(carried, |error| error) / width;
            for ((error, carried), normalized) in errors.iter_mut().zip(carried).zip(&self.centred) {
                *error += carried + mean + normalized * common;
            }
        }
        for error in errors {
            *error *= inverse;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f64; 4] = [1.0, -2.0, 4.0, 0.5];
    const EPSILON: f64 = 1e-5;

    fn found(x: &[f64], carried: Option<&[f32]>, weight: &[f32], bias: &[f32]) -> Option<[Vec<f32>; 2]> {
        layer_norm(Confidence::new(5.0).unwrap(), x, carried, EPSILON, [weight, bias])
    }

    /// The derivation, word for word, in f64; four terms or fewer cost 2(n + 1).
    fn expected(x: &[f64; 4], carried: [f64; 4], weight: f64, bias: f64) -> [[f64; 2]; 4] {
        let unit = f64::from(UNIT);
        let mean = x.iter().sum::<f64>() / 4.0;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4.0;
        let r = 1.0 / (variance + EPSILON).sqrt();
        let reach = (x.iter().map(|x| x.abs()).sum::<f64>() + mean.abs() * 4.0) / 2.0;
        let shared = 10.0 * reach / 4.0 + 3.0 * mean.abs();
        let updating = 10.0 * (variance * (variance + mean * mean)).sqrt();
        let spread = (10.0 * variance).max(updating) + 5.0 * variance + unit * shared * shared;
        let relative = spread * r * r / 2.0 + 6.0;
        let n = x.map(|x| (x - mean).abs() * r);
        let mean_carried = carried.iter().sum::<f64>() / 4.0;
        let squares = carried.iter().map(|error| error * error).sum::<f64>();
        let common = ((0..4).map(|i| n[i] * carried[i]).sum::<f64>() + unit / 2.0 * r * squares) / 4.0;
        std::array::from_fn(|i| {
            let centred = n[i] / r;
            let own = centred * (1.0 + relative) + x[i].abs() + shared;
            let error = (own + carried[i] + mean_carried + n[i] * common) * r;
            [error, (2.0 * n[i] + error) * weight + 2.0 * bias]
        })
    }

    #[test]
    fn bounds_are_those_of_the_derivation() {
        for carried in [None, Some([1.0_f32, 20.0, 3.0, 0.0])] {
            let errors = carried.unwrap_or_default().map(f64::from);
            let [normalized, output] =
                found(&X, carried.as_ref().map(<[f32; 4]>::as_slice), &[3.0; 4], &[0.25; 4])
                    .unwrap_or_default();
            for (index, expected) in expected(&X, errors, 3.0, 0.25).into_iter().enumerate() {
                for (found, expected) in [normalized[index], output[index]].into_iter().zip(expected) {
                    assert!((f64::from(found) / expected - 1.0).abs() < 1e-5, "{index}: {found}, {expected}");
                }
            }
        }
    }

    #[test]
    fn rows_have_nothing_to_do_with_each_other() {
        let other = [1e3, -7.0, 1e-3, 0.0];
        let both: Vec<f64> = X.into_iter().chain(other).collect();
        let carried: Vec<f32> = (1_u8..=8).map(f32::from).collect();
        let (weight, bias) = ([1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0]);
        let together = found(&both, Some(&carried), &weight, &bias).unwrap_or_default();
        for (row, x) in [X, other].iter().enumerate() {
            let alone = found(x, Some(&carried[4 * row..][..4]), &weight, &bias).unwrap_or_default();
            assert_eq!(
                alone.map(Vec::into_boxed_slice),
                together.clone().map(|all| all[4 * row..][..4].into())
            );
        }
    }

    #[test]
    fn what_f32_does_not_hold_is_left_to_f64() {
        for wrong in [1e30, f64::INFINITY, f64::NAN] {
            assert_eq!(found(&[1.0, 2.0, 3.0, wrong], None, &[1.0; 4], &[0.0; 4]), None, "{wrong}");
        }
    }
}
