//! x + y.
//!
//! One rounding of the result, and the errors that x and y carry: IEEE addition costs u|s|, of which
//! [`add`](crate::Constants::add) allows twice as much.
//!
//! **Admitted**: every rounding mode; a wider sum, rounded to f32.

use crate::{Array, Bounded, FLUSHED, Rounding, Way};

/// Adds element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add;

impl Add {
    /// The exact sums.
    pub fn value(&self, x: &Array, y: &Array) -> Array {
        x.assert_like(y);
        let sums = x.values.iter().zip(&y.values).map(|(x, y)| x + y);
        Array { shape: x.shape.clone(), values: sums.collect() }
    }

    /// Sums and bounds.
    pub fn bounded(&self, rounding: &Rounding, x: &Bounded, y: &Bounded) -> Bounded {
        let value = self.value(&x.value, &y.value);
        let (of_x, of_y) = (rounding.carried(x), rounding.carried(y));
        let error = |(index, sum): (usize, &f64)| {
            rounding.constants.add * sum.abs() + FLUSHED + of_x.error(index) + of_y.error(index)
        };
        let errors = value.values.iter().enumerate().map(error).collect();
        rounding.output(value, errors)
    }

    /// One addition; there is one way.
    pub fn replica(&self, _: &Way, x: &Array<f32>, y: &Array<f32>) -> Array<f32> {
        x.assert_like(y);
        let sums = x.values.iter().zip(&y.values).map(|(x, y)| x + y);
        Array { shape: x.shape.clone(), values: sums.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{normal, rules, used};

    #[test]
    fn a_sum_uses_half_of_its_bound() {
        let [x, y] = [normal(&[50, 40], 1), normal(&[50, 40], 2)];
        let bounded = Add.bounded(&rules(), &Bounded::exact(x.widened()), &Bounded::exact(y.widened()));
        let share = used(&Add.replica(&Way::PLAIN, &x, &y), &bounded);
        assert!(share > 0.4 && share <= 0.5, "{share}");
    }

    #[test]
    fn what_the_terms_carry_is_added() {
        let of = |value: &[f64], error: &[f64]| Bounded {
            value: Array::new(&[3], value.to_vec()),
            error: Some(error.to_vec()),
            stored: None,
        };
        let sum = Add.bounded(
            &rules(),
            &of(&[4.0, 0.0, -8.0], &[1.0, 2.0, 3.0]),
            &of(&[0.0, 0.0, 0.0], &[0.5, 0.0, 10.0]),
        );
        assert_eq!(sum.error, Some(vec![9.5 + FLUSHED, 2.0 + FLUSHED, 29.0 + FLUSHED]));
    }
}
