//! x·y, element by element.
//!
//! One rounding of the result, and twice that is allowed, for another rounding mode: 2|x·y|. The errors that x and y carry:
//! E_x|y| + |x|E_y, and their product.
//!
//! **Admitted**: every rounding mode; a wider product, rounded to f32.

use crate::{Array, Bounded, FLUSHED, Rounding, UNIT, Way};

/// Multiplies element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mul;

impl Mul {
    /// The exact products.
    pub fn value(&self, x: &Array, y: &Array) -> Array {
        x.assert_like(y);
        let products = x.values.iter().zip(&y.values).map(|(x, y)| x * y);
        Array { shape: x.shape.clone(), values: products.collect() }
    }

    /// Products and bounds.
    pub fn bounded(&self, rounding: &Rounding, x: &Bounded, y: &Bounded) -> Bounded {
        let value = self.value(&x.value, &y.value);
        let (of_x, of_y) = (rounding.carried(x), rounding.carried(y));
        let error = |(index, product): (usize, &f64)| {
            let (error_x, error_y) = (of_x.error(index), of_y.error(index));
            let (x, y) = (x.value.values[index].abs(), y.value.values[index].abs());
            2.0 * product.abs() + FLUSHED + error_x * y + x * error_y + UNIT * error_x * error_y
        };
        let errors = value.values.iter().enumerate().map(error).collect();
        rounding.output(value, errors)
    }

    /// One product; there is one way.
    pub fn replica(&self, _: &Way, x: &Array<f32>, y: &Array<f32>) -> Array<f32> {
        x.assert_like(y);
        let products = x.values.iter().zip(&y.values).map(|(x, y)| x * y);
        Array { shape: x.shape.clone(), values: products.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rounds;
    use crate::test_support::{normal, rules, stored_rules, used};

    #[test]
    fn a_product_uses_half_of_its_bound() {
        let [x, y] = [normal(&[50, 40], 1), normal(&[50, 40], 2)];
        let bounded = Mul.bounded(&rules(), &Bounded::exact(x.widened()), &Bounded::exact(y.widened()));
        let share = used(&Mul.replica(&Way::PLAIN, &x, &y), &bounded);
        assert!(share > 0.4 && share <= 0.5, "{share}");
    }

    #[test]
    fn what_the_factors_carry_is_multiplied() {
        let of = |value: f64, error: f64| Bounded {
            value: Array::new(&[1], vec![value]),
            error: Some(vec![error]),
            stored: None,
        };
        let found = Mul.bounded(&rules(), &of(-4.0, 10.0), &of(0.5, 3.0));
        assert_eq!(found.error, Some(vec![4.0 + FLUSHED + 5.0 + 12.0 + 30.0 * UNIT]));
    }

    #[test]
    fn stored_factors_and_products_are_bounded() {
        let rounding = stored_rules(&[Rounds::Inputs, Rounds::Output]);
        let Some(format) = rounding.half(Rounds::Inputs) else { panic!("inputs are stored") };
        let [mut x, mut y] = [normal(&[30, 40], 3), normal(&[30, 40], 4)];
        let bounded = Mul.bounded(&rounding, &rounding.given(x.widened()), &rounding.given(y.widened()));
        let store = |x: &mut Array<f32>| x.values.iter_mut().for_each(|x| *x = format.rounded(*x));
        [&mut x, &mut y].into_iter().for_each(store);
        let mut found = Mul.replica(&Way::PLAIN, &x, &y);
        store(&mut found);
        let share = used(&found, &bounded);
        assert!(share < 0.6 && share > 0.2, "{share}");
    }
}
