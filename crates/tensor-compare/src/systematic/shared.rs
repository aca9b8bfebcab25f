//! Errors that the elements of a row share.
//!
//! The elements of a LayerNorm row are computed from one mean and one variance, whose errors scale and shift the whole
//! row: the errors of a tensor of few rows are not independent, and averaging over elements does not remove them,
//! averaging over rows does. What a row `r` shares is unknown but bounded: a scale of at most `u·ρ_r`, `ρ_r` the least
//! `M/|y|` of the row, and a shift of at most `u·m_r`, `m_r` its least `M`, or some element would be out of its
//! budget. To first order in the coefficients of the regression (`d = y − ȳ`; rows are independent of each other, so
//! their contributions add as squares),
//!
//! ```text
//! scale  += u·√Σ_r(W_r·ρ_r)² / ΣW_r + u·√Σ_r(D_r·m_r)² / ΣW_r      W_r = Σ_row w·d²,  D_r = Σ_row w·d
//! offset += u·√Σ_r(V_r·m_r)² / ΣV_r + |ȳ|·(what scale gets)        V_r = Σ_row w,     since o = ē − s·ȳ
//! ```
//!
//! `W_r·ρ_r` is at most `Σ_row w·|d|·M`, all that errors within the budget can do: so a row of zeros, which has no
//! scale, does not excuse every other.

use super::points::{Point, Points, Terms};
use super::regression::{Line, SharedError};
use super::sums::{Layout, sums};

/// For every index of the slice. Empty where a slice has one element of each row: those share nothing.
pub(super) fn of_rows(
    points: &Points,
    layout: Layout,
    row: usize,
    lines: &[Option<Line>],
) -> Vec<SharedError> {
    // A run that is not shorter than a row is made of whole rows.
    if row < 2 || layout.run < row {
        return Vec::new();
    }
    let (rows, rows_in_run) = (Layout::of_rows(row, points.length()), layout.run / row);
    let line = |row: usize| row / rows_in_run % layout.indices;
    let centers: Vec<Row> = (0..rows.indices)
        .map(|row| Row { center: lines[line(row)].as_ref().map_or(0.0, Line::center) })
        .collect();
    let mut squares = vec![Squares::default(); layout.indices];
    for (position, sums) in sums(points, rows, &centers).iter().enumerate() {
        squares[line(position)].add(sums, least(points, position * row, row));
    }
    let error = |(squares, line): (&Squares, &Option<Line>)| {
        line.as_ref().map_or(SharedError::NONE, |line| squares.error(line))
    };
    squares.iter().zip(lines).map(error).collect()
}

/// Over the points of one row: `[V_r, D_r, W_r, Σw·|d|·M]`.
#[derive(Clone, Copy)]
struct Row {
    center: f64,
}

impl Terms<4> for Row {
    #[inline(always)]
    fn of(self, Point { y, bound, weight, .. }: Point) -> [f64; 4] {
        let d = y - self.center;
        let weighted = weight * d;
        [weight, weighted, weighted * d, weighted.abs() * bound]
    }
}

/// `[ρ_r, m_r]`
fn least(points: &Points, start: usize, row: usize) -> [f64; 2] {
    let range = points.range(start, row);
    (0..row).map(|index| range.at(index)).fold([f64::INFINITY; 2], |[share, bound], point| {
        let [of_value, own] =
            if point.weight > 0.0 { [point.bound / point.y.abs(), point.bound] } else { [f64::INFINITY; 2] };
        [share.min(of_value), bound.min(own)]
    })
}

/// Sums of squares over the rows of one index.
#[derive(Clone, Copy, Debug, Default)]
struct Squares {
    scale: f64,
    shift_on_scale: f64,
    shift: f64,
}

impl Squares {
    fn add(
        &mut self,
        &[weight, weight_d, weight_dd, within_budget]: &[f64; 4],
        [least_share, least_bound]: [f64; 2],
    ) {
        if weight > 0.0 {
            // `min` passes over NaN, which is an infinite share of nothing.
            self.scale += (weight_dd * least_share).min(within_budget).powi(2);
            self.shift_on_scale += (weight_d * least_bound).powi(2);
            self.shift += (weight * least_bound).powi(2);
        }
    }

    fn error(&self, line: &Line) -> SharedError {
        let scale = (self.scale.sqrt() + self.shift_on_scale.sqrt()) * line.inverse_spread();
        let offset = self.shift.sqrt() * line.inverse_weight() + line.center().abs() * scale;
        SharedError { scale, offset }
    }
}
