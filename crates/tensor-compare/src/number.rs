//! What the pass needs to know about an element type.

use half::{bf16, f16};

use crate::ulp::{distance_16, distance_32, distance_64};

/// One element type, read from little-endian bytes.
pub(crate) trait Number: Copy + Default {
    /// The bytes of one element.
    type Bytes: Copy + Sync;
    /// Distances in units in the last place.
    type Ulps: Copy + Ord + Default + Into<u64>;
    /// Whether there are units in the last place.
    const IS_FLOAT: bool;

    /// The elements of a buffer whose length is a multiple of theirs.
    fn split(bytes: &[u8]) -> &[Self::Bytes];
    fn load(bytes: Self::Bytes) -> Self;
    /// Exact for all but `i64` beyond ±2⁵³.
    fn to_f64(self) -> f64;
    /// `|self − expected|`, rounded once. Not finite if either is not, or if the difference overflows.
    fn error(self, expected: Self) -> f64;
    /// Whether `|self − expected| <= allowed`; false if the difference is not finite. Exact for integers.
    fn within(self, expected: Self, allowed: f64) -> bool;
    fn same_bits(self, expected: Self) -> bool;
    /// Of finite floats; 0 for integers.
    fn ulps(self, expected: Self) -> Self::Ulps;
}

/// A number under test, beside one of the type that judges it: of its own type, or the f64 of an oracle.
pub(crate) trait Judged<T: Number>: Number {
    /// Whether distances in units in the last place are counted.
    const HAS_ULPS: bool;

    /// The same value.
    fn widened(self) -> T;
    /// Distance from the expected value rounded to this type; 0 where that is not finite.
    fn ulps_from(self, expected: T) -> Self::Ulps;
}

impl<T: Number> Judged<T> for T {
    const HAS_ULPS: bool = T::IS_FLOAT;

    #[inline(always)]
    fn widened(self) -> T {
        self
    }

    #[inline(always)]
    fn ulps_from(self, expected: T) -> T::Ulps {
        self.ulps(expected)
    }
}

impl Judged<f64> for f32 {
    const HAS_ULPS: bool = true;

    #[inline(always)]
    fn widened(self) -> f64 {
        self.into()
    }

    #[inline(always)]
    fn ulps_from(self, expected: f64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "rounding is what is meant")]
        let rounded = expected as f32;
        if rounded.is_finite() { self.ulps(rounded) } else { 0 }
    }
}

macro_rules! half {
    ($type:ty) => {
        impl Judged<f64> for $type {
            const HAS_ULPS: bool = false;

            #[inline(always)]
            fn widened(self) -> f64 {
                Number::to_f64(self)
            }

            #[inline(always)]
            fn ulps_from(self, _: f64) -> u16 {
                0
            }
        }
    };
}

half!(f16);
half!(bf16);

macro_rules! common {
    ($size:literal) => {
        type Bytes = [u8; $size];

        #[inline(always)]
        fn split(bytes: &[u8]) -> &[Self::Bytes] {
            let (elements, rest) = bytes.as_chunks();
            assert!(rest.is_empty(), "a tensor's bytes are whole elements");
            elements
        }

        #[inline(always)]
        fn load(bytes: Self::Bytes) -> Self {
            Self::from_le_bytes(bytes)
        }
    };
}

macro_rules! float {
    ($type:ty, $size:literal, $ulps:ty, $distance:ident, $to_f64:expr) => {
        impl Number for $type {
            common!($size);
            type Ulps = $ulps;
            const IS_FLOAT: bool = true;

            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to_f64(self)
            }

            #[inline(always)]
            fn error(self, expected: Self) -> f64 {
                (self.to_f64() - expected.to_f64()).abs()
            }

            #[inline(always)]
            fn within(self, expected: Self, allowed: f64) -> bool {
                let error = self.error(expected);
                // An overflowed difference is not excused by an overflowed bound; NaN fails the first comparison.
                error <= allowed && error < f64::INFINITY
            }

            #[inline(always)]
            fn same_bits(self, expected: Self) -> bool {
                self.to_bits() == expected.to_bits()
            }

            #[inline(always)]
            fn ulps(self, expected: Self) -> $ulps {
                $distance(self.to_bits(), expected.to_bits())
            }
        }
    };
}

macro_rules! integer {
    ($type:ty, $size:literal) => {
        impl Number for $type {
            common!($size);
            type Ulps = u8;
            const IS_FLOAT: bool = false;

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            fn error(self, expected: Self) -> f64 {
                self.abs_diff(expected) as f64
            }

            #[inline(always)]
            fn within(self, expected: Self, allowed: f64) -> bool {
                // An integer is at most a bound exactly if it is at most the bound's floor.
                u64::from(self.abs_diff(expected)) <= allowed as u64
            }

            #[inline(always)]
            fn same_bits(self, expected: Self) -> bool {
                self == expected
            }

            #[inline(always)]
            fn ulps(self, _: Self) -> u8 {
                0
            }
        }
    };
}

float!(f64, 8, u64, distance_64, |x| x);
float!(f32, 4, u32, distance_32, f64::from);
float!(f16, 2, u16, distance_16, f16::to_f64);
float!(bf16, 2, u16, distance_16, |x: bf16| f64::from(f32::from_bits(u32::from(x.to_bits()) << 16)));
integer!(i64, 8);
integer!(i32, 4);
integer!(u8, 1);

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::Number;

    #[test]
    fn halves_convert_exactly() {
        for bits in 0..=u16::MAX {
            let (half, brain) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert_eq!(Number::to_f64(half).to_bits(), half.to_f64_const().to_bits(), "f16 {bits:#x}");
            if !brain.is_nan() {
                assert_eq!(Number::to_f64(brain).to_bits(), brain.to_f64_const().to_bits(), "bf16 {bits:#x}");
            }
            assert_eq!(Number::to_f64(brain).is_nan(), brain.is_nan());
        }
    }

    #[test]
    fn integer_bounds_saturate() {
        assert!(Number::within(i64::MIN, i64::MAX, 1e20));
        assert!(Number::within(5i64, 5, f64::NAN), "no difference is within any bound");
        assert!(!Number::within(5i64, 6, f64::NAN));
        assert!(!Number::within(0u8, 255, 254.999));
    }
}
