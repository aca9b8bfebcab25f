//! Sums of f64, in lanes that run side by side and are joined in one order.

const LANES: usize = 8;

/// Σ term(xᵢ).
pub(crate) fn sum(values: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += term(value);
    }
    join(lanes)
}

/// Σ xᵢyᵢ.
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += x * y;
        }
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *lane += x * y;
    }
    join(lanes)
}

/// How many are not 0.
#[expect(clippy::cast_precision_loss, reason = "a count is far below 2⁵³")]
pub(crate) fn nonzero(values: &[f64]) -> f64 {
    values.iter().filter(|&&value| value != 0.0).count() as f64
}

fn join(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results")]
mod tests {
    use super::*;

    #[test]
    fn sums_have_every_term_once() {
        for length in [0_u8, 1, 7, 8, 9, 29] {
            let values: Vec<f64> = (1..=length).map(f64::from).collect();
            let expected = f64::from(length) * (f64::from(length) + 1.0) / 2.0;
            assert_eq!(sum(&values, |x| x), expected, "{length}");
            assert_eq!(dot(&values, &vec![2.0; values.len()]), 2.0 * expected, "{length}");
            assert_eq!(nonzero(&values), f64::from(length));
        }
        assert_eq!(nonzero(&[0.0, -0.0, 1e-310, f64::NAN]), 2.0);
    }
}
