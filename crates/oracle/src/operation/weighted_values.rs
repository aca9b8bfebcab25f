//! Σ p·v over keys, heads merged, by the rule of [`product`](crate::product). Masked keys, with a p of 0, do not count.

use super::heads::{Heads, OfHeads};
use crate::change::Numbers;
use crate::product::{Around, errors};
use crate::{Array, Bounded, Rounding, Way};

/// p `[B, H, S, K]` and v `[B, K, G, Dh]` to `[B, S, H·Dh]`; head h has head h/(H/G) of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightedValues;

/// Wrong ways of [`WeightedValues`].
pub(crate) const WRONG: &[&str] = &["heads-merged-backwards", "heads-tiled"];

/// The merged heads `[B, S, H·Dh]`, the last of them first.
pub(crate) fn merged_backwards(context: &mut impl Numbers, heads: usize) {
    let shape = context.axes().to_vec();
    let width = shape.last().copied().unwrap_or(0) / heads.max(1);
    let backwards = |at: usize| {
        let (head, channel) = (at / width % heads, at % width);
        at - head * width - channel + (heads - 1 - head) * width + channel
    };
    let source: Vec<Option<usize>> = (0..shape.iter().product()).map(|at| Some(backwards(at))).collect();
    context.rearrange(&shape, &source);
}

impl WeightedValues {
    /// The exact sums.
    pub fn value(&self, probs: &Array, values: &Array) -> Array {
        merged(&of_heads(probs, &values.heads_swapped()))
    }

    /// Sums and bounds.
    pub fn bounded(&self, rounding: &Rounding, probs: &Bounded, values: &Bounded) -> Bounded {
        let v = values.heads_swapped();
        let value = of_heads(&probs.value, &v.value);
        let right = OfHeads::new(heads(&probs.value, &v.value), &v, rounding.carried(&v));
        let errors = errors(rounding, probs, &right, &value, Around::default());
        let errors = merged(&Array { shape: value.shape.clone(), values: errors });
        rounding.output(merged(&value), errors.values)
    }

    /// Sums in the order of the way.
    pub fn replica(&self, way: &Way, probs: &Array<f32>, values: &Array<f32>) -> Array<f32> {
        let v = values.heads_swapped();
        merged(&Array::new(&shape(probs, &v), heads(probs, &v).replica(way, &probs.values, &v.values)))
    }
}

fn of_heads(probs: &Array, v: &Array) -> Array {
    Array::new(&shape(probs, v), heads(probs, v).multiply(&probs.values, &v.values))
}

fn heads<T>(probs: &Array<T>, v: &Array<T>) -> Heads {
    Heads::new(probs.axes("probabilities"), v.axes("values"), false)
}

fn shape<T>(probs: &Array<T>, v: &Array<T>) -> [usize; 4] {
    let [batch, heads, length, _] = probs.axes("probabilities");
    [batch, heads, length, v.width()]
}

/// `[B, H, S, Dh]` as `[B, S, H·Dh]`.
fn merged<T: Copy>(by_head: &Array<T>) -> Array<T> {
    let [batch, heads, length, width] = by_head.axes("results of heads");
    Array::new(&[batch, length, heads * width], by_head.heads_swapped().values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{normal, rules, used};

    #[test]
    fn every_way_uses_at_most_half_of_its_bound() {
        let mut probs = normal(&[2, 4, 9, 300], 1);
        probs.values.iter_mut().for_each(|p| *p = if *p < 0.0 { 0.0 } else { *p / 150.0 });
        let v = normal(&[2, 300, 2, 16], 2);
        let exact = [&probs, &v].map(|x| Bounded::exact(x.widened()));
        let bounded = WeightedValues.bounded(&rules(), &exact[0], &exact[1]);
        assert_eq!(bounded.value.shape, [2, 9, 64]);
        for way in Way::REPLICAS {
            let share = used(&WeightedValues.replica(&way, &probs, &v), &bounded);
            assert!(share < 0.5, "{way:?}: {share}");
        }
    }

    #[test]
    fn heads_are_merged_and_groups_share_values() {
        let (p, v) = (normal(&[1, 4, 2, 3], 3).widened(), normal(&[1, 3, 2, 5], 4).widened());
        let found = WeightedValues.value(&p, &v);
        for (index, value) in found.values.iter().enumerate() {
            let [query, head, column] = [index / 20, index / 5 % 4, index % 5];
            let term = |key: usize| {
                p.values[(head * 2 + query) * 3 + key] * v.values[(key * 2 + head / 2) * 5 + column]
            };
            assert!((value - (0..3).map(term).sum::<f64>()).abs() < 1e-14, "{index}");
        }
    }

    #[test]
    fn errors_of_both_sides_are_carried() {
        let carrying = |x: Array, error: f64| {
            let errors = vec![error; x.values.len()];
            Bounded { value: x, error: Some(errors), stored: None }
        };
        let (p, v) = (normal(&[1, 1, 1, 3], 5).widened(), normal(&[1, 3, 1, 1], 6).widened());
        let own = WeightedValues.bounded(&rules(), &Bounded::exact(p.clone()), &Bounded::exact(v.clone()));
        let both = WeightedValues.bounded(&rules(), &carrying(p.clone(), 2.0), &carrying(v.clone(), 3.0));
        let sum = |x: &Array| x.values.iter().map(|x| x.abs()).sum::<f64>();
        let found = both.error.unwrap_or_default()[0] - own.error.unwrap_or_default()[0];
        assert!((found - (2.0 * sum(&v) + 3.0 * sum(&p))).abs() < 1e-12, "{found}");
    }
}
