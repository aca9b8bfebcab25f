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

use super::{Elements, Layout, Line};

/// What shared errors may add to the coefficients, in rounding units.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedError {
    pub(super) scale: f64,
    pub(super) offset: f64,
}

impl SharedError {
    pub(super) const NONE: Self = Self { scale: 0.0, offset: 0.0 };
}

/// For every index of the slice. Empty where a slice has one element of each row: those share nothing.
pub(super) fn of_rows(
    elements: &Elements<'_>,
    layout: Layout,
    row: usize,
    lines: &[Option<Line>],
) -> Vec<SharedError> {
    // A run that is not shorter than a row is made of whole rows.
    if row < 2 || layout.run < row {
        return Vec::new();
    }
    let mut squares = vec![Squares::default(); layout.indices];
    let rows_in_run = layout.run / row;
    for (position, points) in elements.runs(row).enumerate() {
        let index = position / rows_in_run % layout.indices;
        if let Some(line) = &lines[index] {
            squares[index].add(&Row::of(points, line.center()));
        }
    }
    let error = |(squares, line): (&Squares, &Option<Line>)| {
        line.as_ref().map_or(SharedError::NONE, |line| squares.error(line))
    };
    squares.iter().zip(lines).map(error).collect()
}

/// Sums over the elements of one row.
struct Row {
    weight: f64,
    weight_d: f64,
    weight_dd: f64,
    within_budget: f64,
    least_share: f64,
    least_bound: f64,
}

impl Row {
    fn of(points: impl Iterator<Item = super::Point>, center: f64) -> Self {
        let none = Self {
            weight: 0.0,
            weight_d: 0.0,
            weight_dd: 0.0,
            within_budget: 0.0,
            least_share: f64::INFINITY,
            least_bound: f64::INFINITY,
        };
        points.fold(none, |row, point| {
            let d = point.y - center;
            let weighted = point.weight * d;
            Self {
                weight: row.weight + point.weight,
                weight_d: row.weight_d + weighted,
                weight_dd: row.weight_dd + weighted * d,
                within_budget: row.within_budget + weighted.abs() * point.bound,
                least_share: row.least_share.min(point.bound / point.y.abs()),
                least_bound: row.least_bound.min(point.bound),
            }
        })
    }
}

/// Sums of squares over the rows of one index.
#[derive(Clone, Copy, Debug, Default)]
struct Squares {
    scale: f64,
    shift_on_scale: f64,
    shift: f64,
}

impl Squares {
    fn add(&mut self, row: &Row) {
        if row.weight > 0.0 {
            // `min` passes over NaN, which is an infinite share of nothing.
            self.scale += (row.weight_dd * row.least_share).min(row.within_budget).powi(2);
            self.shift_on_scale += (row.weight_d * row.least_bound).powi(2);
            self.shift += (row.weight * row.least_bound).powi(2);
        }
    }

    fn error(&self, line: &Line) -> SharedError {
        let scale = (self.scale.sqrt() + self.shift_on_scale.sqrt()) * line.inverse_spread();
        let offset = self.shift.sqrt() * line.inverse_weight() + line.center().abs() * scale;
        SharedError { scale, offset }
    }
}
