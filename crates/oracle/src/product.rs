//! Matrix products: their bounds, whatever the right side is.
//!
//! z = s·(x·y + b) with n terms has γ(n)·R, where R = (|x||y| + |b| + |z|)/2; the bias is a term. Terms with an x of 0 are
//! exact and are not counted. Errors that x and y carry become E_x|y| + |x|E_y. Each of the products may be flushed. The
//! bound of s·(…) is s times that, and two roundings more: of s, and of the product with it.
//!
//! **Half precision.** The roundings of the n inputs and n weights of a product are independent of each other and of
//! mean 0, so the error Σ(δxᵢ·yᵢ + xᵢ·δyᵢ) exceeds c·√Σ((sx·y)² + (x·sy)²) with the probability that
//! [`rounding`](crate::rounding) derives c from, by the same inequality; and it is never above twice the worst case
//! Σ(sx·|y| + |x|·sy), of which the smaller is taken. Rows of equal inputs have equal roundings, which are not
//! independent: the worst case.
//!
//! **Admitted**: every order of the sum, blocked, as a tree or in lanes; fused or not; wider sums, rounded at the end; the
//! bias first or last; the scale on either side or on the result (n roundings more, of which Σxᵢ² ≤ 2R² makes two terms
//! more; γ has that to spare).
//!
//! **Accused**: products in TF32; sums kept in f16 or bf16; Strassen's and Winograd's products, which have no elementwise
//! bound.
//!
//! Bounds need three digits, so the product of magnitudes with a matrix of weights is one in f32, the most expensive part
//! of a bound.

use crate::array::matrix;
use crate::rounding::{Carried, is_constant};
use crate::sum::nonzero;
use crate::{Array, Bounded, FLUSHED, Rounding, Rounds, UNIT};

/// What of a number of the right side is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// Itself.
    Value,
    /// |y|
    Size,
    /// E_y, but for the store
    Error,
    /// s of its store
    Store,
    /// y²
    SquaredSize,
    /// s²
    SquaredStore,
}

/// The right side of a product.
pub(crate) trait Right {
    /// x·f(y), for rows of x.
    fn times(&self, x: &[f64], of: Of) -> Vec<f64>;

    /// Whether that is not 0 throughout.
    fn has(&self, of: Of) -> bool;
}

/// b and s of z = s·(x·y + b).
#[derive(Clone, Copy, Default)]
pub(crate) struct Around<'a> {
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) scale: Option<f64>,
}

/// The bounds of z, but for its store.
pub(crate) fn errors(
    rounding: &Rounding,
    x: &Bounded,
    y: &impl Right,
    z: &Array,
    around: Around<'_>,
) -> Vec<f64> {
    let carried = rounding.carried(x);
    let (weighted, counts) = weigh(rounding, &x.value, carried.rest().as_deref(), around.bias.is_some());
    let mut errors = y.times(&weighted, Of::Size);
    let sizes: Vec<f64> = x.value.values.iter().map(|x| x.abs()).collect();
    if y.has(Of::Error) {
        add(&mut errors, y.times(&sizes, Of::Error));
    }
    complete(rounding, &mut errors, z, &counts, around);
    let scale = around.scale.unwrap_or(1.0);
    let stores = stores(rounding, &sizes, &carried, x.value.width(), y);
    add(&mut errors, stores.into_iter().map(|error| scale * error));
    add_own_stores(rounding, &mut errors, z, around.bias);
    errors
}

/// γ(n)/2·|x| and the errors that x carries; and n of each row: the x that are not 0, and the bias.
fn weigh(rounding: &Rounding, x: &Array, carried: Option<&[f64]>, bias: bool) -> (Vec<f64>, Vec<f64>) {
    let mut weighted: Vec<f64> = x.values.iter().map(|x| x.abs()).collect();
    let mut counts = Vec::new();
    for row in weighted.chunks_mut(x.width().max(1)) {
        let count = nonzero(row) + f64::from(u8::from(bias));
        let factor = rounding.of_terms(count) / 2.0;
        row.iter_mut().for_each(|term| *term *= factor);
        counts.push(count);
    }
    if let Some(carried) = carried {
        add(&mut weighted, carried.iter().copied());
    }
    (weighted, counts)
}

/// Adds γ(n)/2·(|z| + |b|) and the flushes, and scales.
fn complete(rounding: &Rounding, errors: &mut [f64], z: &Array, counts: &[f64], around: Around<'_>) {
    let width = z.width().max(1);
    for ((errors, z), &count) in errors.chunks_mut(width).zip(z.values.chunks(width)).zip(counts) {
        let (factor, flushed) = (rounding.of_terms(count) / 2.0, (count + 1.0) * FLUSHED);
        for (error, b) in errors.iter_mut().zip(around.bias.unwrap_or_default()) {
            *error += factor * f64::from(b.abs());
        }
        for (error, z) in errors.iter_mut().zip(z) {
            *error = match around.scale {
                None => *error + flushed + factor * z.abs(),
                Some(scale) => scale.abs() * (*error + flushed) + 2.0 * FLUSHED + (factor + 2.0) * z.abs(),
            };
        }
    }
}

/// What the stores of x and y do to x·y.
fn stores(rounding: &Rounding, x: &[f64], carried: &Carried<'_>, width: usize, y: &impl Right) -> Vec<f64> {
    let (of_x, of_y) = (carried.stored, y.has(Of::Store));
    if of_x.is_none() && !of_y {
        return Vec::new();
    }
    let squared = |numbers: &[f64]| numbers.iter().map(|number| number * number).collect::<Vec<_>>();
    let (mut worst, mut squares, mut both) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(stored) = of_x {
        worst = y.times(stored, Of::Size);
        squares = y.times(&squared(stored), Of::SquaredSize);
    }
    if of_y {
        join(&mut worst, y.times(x, Of::Store));
        join(&mut squares, y.times(&squared(x), Of::SquaredStore));
    }
    if let (Some(stored), true) = (of_x, of_y) {
        both = y.times(stored, Of::Store);
    }
    let rows = x.len().checked_div(width).unwrap_or(0);
    let columns = worst.len().checked_div(rows).unwrap_or(0).max(1);
    for (index, (worst, squares)) in worst.chunks_mut(columns).zip(squares.chunks(columns)).enumerate() {
        let equal = of_x.is_some_and(|stored| is_constant(&stored[index * width..][..width]));
        for (worst, squares) in worst.iter_mut().zip(squares) {
            let chance = if equal { f64::INFINITY } else { rounding.confidence * squares.sqrt() };
            *worst = (2.0 * *worst).min(chance);
        }
    }
    add(&mut worst, both.into_iter().map(|error| 4.0 * UNIT * error));
    worst
}

/// Stores of the bias, and of the sum before it is scaled.
fn add_own_stores(rounding: &Rounding, errors: &mut [f64], z: &Array, bias: Option<&[f32]>) {
    if let (Some(format), Some(bias)) = (rounding.half(Rounds::Weights), bias) {
        for row in errors.chunks_mut(z.width().max(1)) {
            add(row, bias.iter().map(|&b| 2.0 * format.store(f64::from(b))));
        }
    }
    if let Some(format) = rounding.half(Rounds::Intermediates) {
        add(errors, z.values.iter().map(|&z| 2.0 * format.rounding(z)));
    }
}

fn add(to: &mut [f64], from: impl IntoIterator<Item = f64>) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// As `add`, to nothing as to zeros.
fn join(to: &mut Vec<f64>, from: Vec<f64>) {
    if to.is_empty() {
        *to = from;
    } else {
        add(to, from);
    }
}

/// Rows brought into f32's range: each of them divided by a power of two or about that, so that nothing that counts
/// becomes 0 and no sum of products with f32 overflows. The rows, and what to multiply them with.
pub(crate) fn scaled_rows(x: &[f64], width: usize) -> (Vec<f32>, Vec<f64>) {
    /// More terms than any sum has.
    const ROOM: f64 = (1_u64 << 32) as f64;
    let (mut rows, mut scales) = (Vec::with_capacity(x.len()), Vec::new());
    for row in matrix(x, width).rows() {
        let largest = row.iter().copied().fold(0.0, f64::max);
        let scale = if largest > 0.0 { largest * ROOM } else { 1.0 };
        #[expect(clippy::cast_possible_truncation, reason = "bounds need three digits")]
        rows.extend(row.iter().map(|x| (x / scale) as f32));
        scales.push(scale);
    }
    (rows, scales)
}
