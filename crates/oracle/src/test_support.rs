//! What the tests of operations share.

use crate::{Array, Bounded, HalfFormat, Rounding, Rounds, Storage, UNIT};

/// One false alarm with a probability of 10⁻⁹ in a run of a million elements.
pub(crate) fn rules() -> Rounding {
    Rounding::of_f32((2.0 * (2.0 * 1e6_f64 / 1e-9).ln() / 3.0).sqrt())
}

pub(crate) fn stored_rules(rounds: &[Rounds]) -> Rounding {
    let storage = Storage { format: HalfFormat::F16, rounds: rounds.iter().copied().collect() };
    Rounding { storage: Some(storage), ..rules() }
}

/// The largest share of its bound that an element uses.
pub(crate) fn used(found: &Array<f32>, bounded: &Bounded) -> f64 {
    found.assert_like(&bounded.value);
    let errors = bounded.error.as_deref().unwrap_or_default();
    let shares =
        found.values.iter().zip(&bounded.value.values).zip(errors).map(|((&found, exact), bound)| {
            let error = (f64::from(found) - exact).abs();
            if error == 0.0 { 0.0 } else { error / (UNIT * bound) }
        });
    shares.fold(0.0, |largest, share| if share > largest || share.is_nan() { share } else { largest })
}

/// About normal numbers.
pub(crate) fn normal(shape: &[usize], seed: u64) -> Array<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let count = shape.iter().product();
    Array::new(shape, (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect())
}
