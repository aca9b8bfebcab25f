//! Distance between floats in units in the last place: how many representable values lie between them, plus one.
//!
//! The bits of a float, read as sign and magnitude, are mapped to a two's complement integer that grows with the
//! value: neighbours are 1 apart, across 0 as well, and both zeros are 0. Meaningful for finite values; infinity would be
//! the neighbour of the largest one, and NaN anything.

macro_rules! distance {
    ($name:ident, $signed:ty, $unsigned:ty, $format:literal) => {
        #[doc = concat!("Distance of two ", $format, "s, given their bits.")]
        #[inline(always)]
        pub(crate) fn $name(a: $unsigned, b: $unsigned) -> $unsigned {
            // The negative zero is the smallest integer, and its distance to the bits of −x is x's magnitude.
            let monotone = |bits: $unsigned| {
                let bits = bits.cast_signed();
                if bits < 0 { <$signed>::MIN.wrapping_sub(bits) } else { bits }
            };
            monotone(a).abs_diff(monotone(b))
        }
    };
}

distance!(distance_16, i16, u16, "binary16 or bfloat16");
distance!(distance_32, i32, u32, "binary32");
distance!(distance_64, i64, u64, "binary64");

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use proptest::prelude::*;

    use super::{distance_16, distance_32, distance_64};

    #[test]
    fn zeros_are_the_same_and_neighbours_one_apart_across_them() {
        assert_eq!(distance_32(0.0f32.to_bits(), (-0.0f32).to_bits()), 0);
        let least = f32::from_bits(1);
        assert_eq!(distance_32(least.to_bits(), (-0.0f32).to_bits()), 1);
        assert_eq!(distance_32(least.to_bits(), (-least).to_bits()), 2);
        assert_eq!(distance_64(f64::MAX.to_bits(), f64::MIN.to_bits()), 2 * f64::MAX.to_bits());
        assert_eq!(distance_32(f32::MAX.to_bits(), f32::MIN.to_bits()), 2 * f32::MAX.to_bits());
        assert_eq!(distance_16(f16::MAX.to_bits(), f16::MIN.to_bits()), 2 * f16::MAX.to_bits());
        assert_eq!(distance_16(bf16::MAX.to_bits(), bf16::MIN.to_bits()), 2 * bf16::MAX.to_bits());
    }

    #[test]
    fn a_unit_in_the_last_place_of_one_is_epsilon() {
        assert_eq!(distance_32(1f32.to_bits(), (1.0 + 3.0 * f32::EPSILON).to_bits()), 3);
        assert_eq!(distance_64(1f64.to_bits(), (1.0 - f64::EPSILON).to_bits()), 2);
    }

    proptest! {
        #[test]
        fn each_step_up_adds_one(bits in any::<u32>(), steps in 0u32..40) {
            let start = f32::from_bits(bits);
            let end = (0..steps).fold(start, |value, _| value.next_up());
            prop_assume!(start.is_finite() && end.is_finite());
            // The two zeros are one step of `next_up` for both: it goes from −least to −0 and on to +least.
            prop_assert_eq!(distance_32(start.to_bits(), end.to_bits()), steps);
            prop_assert_eq!(distance_32(end.to_bits(), start.to_bits()), steps);
        }

        #[test]
        fn distances_add_up(values in any::<[f64; 3]>()) {
            let mut values = values;
            prop_assume!(values.iter().all(|value| value.is_finite()));
            values.sort_by(f64::total_cmp);
            let [low, middle, high] = values.map(f64::to_bits);
            prop_assert_eq!(distance_64(low, high), distance_64(low, middle) + distance_64(middle, high));
        }
    }
}
