//! The formulas of `regression` and `shared`, written down once more, term by term and without lanes.

use super::*;

/// `y`, `e` and `M` of an element.
type Element = [f64; 3];

const CONFIDENCE: f64 = 5.0;

/// `[s, what |s| may be, o, what |o| may be]` of the elements of some rows; none where there is nothing to fit.
fn by_formula(rows: &[Vec<Element>], shared_rows: bool) -> Option<[f64; 4]> {
    let elements: Vec<Element> = rows.iter().flatten().copied().filter(|[_, _, m]| *m > 0.0).collect();
    let n = elements.len() as f64;
    let sum = |term: &dyn Fn(Element) -> f64| elements.iter().map(|&element| term(element)).sum::<f64>();
    let w = |m: f64| 1.0 / (m * m);
    let (weight, typical) = (sum(&|[_, _, m]| w(m)), sum(&|[y, _, m]| w(m) * y * y));
    if n < 3.0 || typical <= 0.0 || elements.iter().all(|[_, e, _]| *e == 0.0) {
        return None;
    }
    let around = |mean: f64| sum(&|[y, _, m]| w(m) * (y - mean) * (y - mean));
    let mean = sum(&|[y, _, m]| w(m) * y) / weight;
    // Values that are constant have a line through the origin: means of 0, and no variance of the constant.
    let constant = around(mean) <= 1e-12 * typical;
    let (y_mean, e_mean, inverse_weight) =
        if constant { (0.0, 0.0, 0.0) } else { (mean, sum(&|[_, e, m]| w(m) * e) / weight, 1.0 / weight) };
    let spread = around(y_mean);
    let s = sum(&|[y, e, m]| w(m) * (y - y_mean) * (e - e_mean)) / spread;
    let q = |[y, e, m]: Element| {
        let d = y - y_mean;
        let rest = 1.0 - w(m) * (inverse_weight + d * d / spread);
        if rest > 1e-9 { w(m) * (e - e_mean - s * d) / rest } else { w(m) * UNIT * m / 3f64.sqrt() }
    };
    let var_s = sum(&|element| (q(element) * (element[0] - y_mean) / spread).powi(2));
    let of_offset =
        |element: Element| q(element) * (inverse_weight - y_mean * (element[0] - y_mean) / spread);
    let var_o = sum(&|element| of_offset(element).powi(2));
    let degrees = if constant { n - 1.0 } else { n - 2.0 };
    let t = (degrees * ((3.0 * CONFIDENCE * CONFIDENCE / degrees).exp() - 1.0)).sqrt();
    let bounds = CONFIDENCE * UNIT;
    let chance_s = (t * var_s.sqrt()).min(bounds / spread.sqrt());
    let chance_o = (t * var_o.sqrt()).min(bounds * (inverse_weight + y_mean * y_mean / spread).sqrt());
    let [shared_s, shared_o] =
        if shared_rows { by_rows(rows, y_mean, spread, inverse_weight) } else { [0.0, 0.0] };
    let allowed_o = 2.0 * UNIT * (typical / weight).sqrt() + chance_o + UNIT * shared_o;
    Some([s, 2.0 * UNIT + chance_s + UNIT * shared_s, e_mean - s * y_mean, allowed_o])
}

/// What the errors that rows share add to scale and offset, in units.
fn by_rows(rows: &[Vec<Element>], y_mean: f64, spread: f64, inverse_weight: f64) -> [f64; 2] {
    let (mut scale, mut shift_on_scale, mut shift) = (0.0, 0.0, 0.0);
    for row in rows {
        let row: Vec<Element> = row.iter().copied().filter(|[_, _, m]| *m > 0.0).collect();
        if row.is_empty() {
            continue;
        }
        let sum =
            |term: &dyn Fn(f64, f64) -> f64| row.iter().map(|&[y, _, m]| term(y - y_mean, m)).sum::<f64>();
        let least = |of: &dyn Fn(Element) -> f64| row.iter().map(|&e| of(e)).fold(f64::INFINITY, f64::min);
        let (share, bound) = (least(&|[y, _, m]| m / y.abs()), least(&|[_, _, m]| m));
        let within = sum(&|d, m| d.abs() / m);
        scale += (sum(&|d, m| d * d / (m * m)) * share).min(within).powi(2);
        shift_on_scale += (sum(&|d, m| d / (m * m)) * bound).powi(2);
        shift += (sum(&|_, m| 1.0 / (m * m)) * bound).powi(2);
    }
    let scale: f64 = (scale.sqrt() + f64::sqrt(shift_on_scale)) / spread;
    [scale, shift.sqrt() * inverse_weight + y_mean.abs() * scale]
}

#[track_caller]
fn assert_by_formula(rows: &[Vec<Element>], shared_rows: bool) {
    let shape = Shape::new([rows.len(), rows[0].len()]).unwrap();
    let column = |of: fn(&Element) -> f64| rows.iter().flatten().map(of).collect::<Vec<f64>>();
    let [y, m] = [column(|e| e[0]), column(|e| e[2])];
    // The error is what is left of the element that was rounded, as it is in the comparison.
    let actual = column(|e| e[0] + e[1]);
    let rounded: Vec<Vec<Element>> =
        rows.iter().map(|row| row.iter().map(|&[y, e, m]| [y, (y + e) - y, m]).collect()).collect();
    let budget = RoundingBudget { shared_rows, confidence: CONFIDENCE, ..budget(vec![Slice::Tensor]) };
    let found = systematic(&budget, &shape, &actual, &y, &m);
    let found = found.first().map(|f| [f.scale, f.scale_allowed, f.offset, f.offset_allowed]);
    let Some(expected) = by_formula(&rounded, shared_rows) else { return assert_eq!(found, None) };
    for (quantity, (found, expected)) in found.unwrap().into_iter().zip(expected).enumerate() {
        let near = (found - expected).abs() <= 1e-9 * expected.abs() + 1e-22;
        assert!(near, "quantity {quantity} of {shape}, shared {shared_rows}: {found:e} for {expected:e}");
    }
}

/// Rows around `center` with errors within `share` of their bounds, which differ a hundredfold.
fn rows(seed: u64, [height, width]: [usize; 2], center: f64, share: f64) -> Vec<Vec<Element>> {
    let mut random = noise(seed ^ 0x5851_f42d).skip(5);
    let mut next = move || random.next().unwrap();
    let element = |_| {
        let (y, m) = (center + next(), 10f64.powf(1.0 + next()));
        [y, share * UNIT * m * next(), m]
    };
    let mut elements = (0..height * width).map(element);
    (0..height).map(|_| elements.by_ref().take(width).collect()).collect()
}

#[test]
fn coefficients_and_what_they_may_be_are_those_of_the_formulas() {
    for shape in [[1, 3], [1, 4], [2, 2], [5, 1], [3, 7], [16, 33], [64, 8]] {
        for (seed, center) in [0.0, 0.5, -3.0, 40.0].into_iter().enumerate() {
            // Large errors leave the bound to the bounds' own size, small ones to the residuals.
            for share in [1.0, 0.1, 1e-3] {
                let rows = rows(seed as u64, shape, center, share);
                assert_by_formula(&rows, false);
                assert_by_formula(&rows, shape[1] > 1);
            }
        }
    }
}

/// Of every index on its own, wherever its rows lie.
#[test]
fn an_axis_is_its_worst_index() {
    let [outer, indices, inner, width] = [2, 3, 2, 5];
    for (seed, shared_rows) in (20..30).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut rows = rows(seed, [outer * indices * inner, width], 0.5, 0.5);
        // Rows that differ in what they share.
        rows.iter_mut().enumerate().for_each(|(row, elements)| {
            elements.iter_mut().for_each(|element| element[2] *= 1.0 + row as f64);
        });
        let shape = Shape::new([outer, indices, inner, width]).unwrap();
        let column = |of: fn(&Element) -> f64| rows.iter().flatten().map(of).collect::<Vec<f64>>();
        let [y, actual, m] = [column(|e| e[0]), column(|e| e[0] + e[1]), column(|e| e[2])];
        let budget = RoundingBudget { shared_rows, confidence: CONFIDENCE, ..budget(vec![Slice::Axis(1)]) };
        let found = systematic(&budget, &shape, &actual, &y, &m)[0];
        let of_index = |index: usize| {
            let is_of = |row: &usize| row / inner % indices == index;
            let rounded = |&[y, e, m]: &Element| [y, (y + e) - y, m];
            let chosen = (0..rows.len()).filter(is_of).map(|row| rows[row].iter().map(rounded).collect());
            let [s, s_allowed, o, o_allowed] = by_formula(&chosen.collect::<Vec<_>>(), shared_rows).unwrap();
            (index, (s.abs() / s_allowed).max(o.abs() / o_allowed))
        };
        let (index, used) = (0..indices).map(of_index).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(found.index, Some(index), "seed {seed}");
        assert!((found.used - used).abs() <= 1e-9 * used, "seed {seed}: {} for {used}", found.used);
    }
}

#[test]
fn constant_values_have_a_line_through_the_origin() {
    for shape in [[1, 3], [4, 9]] {
        let mut rows = rows(3, shape, 0.0, 0.2);
        rows.iter_mut().flatten().for_each(|element| element[0] = 1.5);
        assert_by_formula(&rows, false);
        assert_by_formula(&rows, true);
    }
}

#[test]
fn an_element_that_the_line_goes_through_has_the_bound_of_its_own() {
    for (place, bound, others) in [(0, 1e-7, 1.0), (5, 1e-7, 1.0), (11, 10.0, 1e9)] {
        let mut rows = rows(4, [3, 4], 0.5, 0.5);
        rows.iter_mut()
            .flatten()
            .for_each(|element| (element[1], element[2]) = (element[1] * others, element[2] * others));
        let element = &mut rows[place / 4][place % 4];
        (element[1], element[2]) = (UNIT * bound / 10.0, bound);
        assert_by_formula(&rows, false);
    }
}

#[test]
fn elements_that_take_no_part_change_nothing() {
    // Errors so small that the residuals bound them, and not the bounds' own size: their number counts.
    let rows = rows(6, [4, 9], 0.5, 1e-3);
    let mut more = rows.clone();
    more.iter_mut().for_each(|row| row.push([7.0, UNIT, 0.0]));
    more.push(vec![[7.0, UNIT, 0.0]; 10]);
    for shared_rows in [false, true] {
        assert_eq!(by_formula(&rows, shared_rows), by_formula(&more, shared_rows));
        assert_by_formula(&more, shared_rows);
    }
}

#[test]
fn two_elements_and_values_of_zero_have_no_line() {
    assert_by_formula(&rows(7, [1, 2], 0.5, 0.5), false);
    let mut zeros = rows(8, [2, 4], 0.0, 0.5);
    zeros.iter_mut().flatten().for_each(|element| element[0] = 0.0);
    assert_eq!(by_formula(&zeros, false), None);
    assert_by_formula(&zeros, false);
}
