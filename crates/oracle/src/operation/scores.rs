//! s·(q·k), the scores of attention before the mask, by the rule of [`product`](crate::product).
//!
//! **Admitted** beside what that admits: the scale multiplied with the queries, the keys or the scores.

use half::bf16;

use super::heads::{Heads, OfHeads};
use crate::order::Scaled;
use crate::product::{Around, errors};
use crate::{Array, Bounded, Rounding, Way};

/// q `[B, S, H, Dh]` and k `[B, K, G, Dh]` to `[B, H, S, K]`; head h of the queries has head h/(H/G) of the keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// s, such as 1/√Dh.
    pub scale: f64,
}

/// Wrong ways of [`Scores`].
pub(crate) const WRONG: &[&str] = &["scale-in-bf16", "heads-tiled"];

impl Scores {
    /// With the scale rounded to bf16.
    pub(crate) fn in_bf16(self) -> Self {
        Self { scale: bf16::from_f64(self.scale).to_f64() }
    }

    /// The exact scores.
    pub fn value(&self, q: &Array, k: &Array) -> Array {
        self.of_heads(&q.heads_swapped(), &k.heads_swapped())
    }

    /// Scores and bounds.
    pub fn bounded(&self, rounding: &Rounding, q: &Bounded, k: &Bounded) -> Bounded {
        let (q, k) = (q.heads_swapped(), k.heads_swapped());
        let value = self.of_heads(&q.value, &k.value);
        let right = OfHeads::new(heads(&q.value, &k.value), &k, rounding.carried(&k));
        let errors = errors(rounding, &q, &right, &value, Around { bias: None, scale: Some(self.scale) });
        rounding.output(value, errors)
    }

    /// The scale goes where the way has it.
    pub fn replica(&self, way: &Way, q: &Array<f32>, k: &Array<f32>) -> Array<f32> {
        let (mut q, k) = (q.heads_swapped(), k.heads_swapped());
        #[expect(clippy::cast_possible_truncation, reason = "a constant of f32")]
        let scaled = |numbers: &mut [f32]| numbers.iter_mut().for_each(|x| *x *= self.scale as f32);
        if way.scaled == Scaled::Queries {
            scaled(&mut q.values);
        }
        let mut scores = heads(&q, &k).replica(way, &q.values, &k.values);
        if way.scaled == Scaled::Scores {
            scaled(&mut scores);
        }
        Array::new(&shape(&q, &k), scores)
    }

    fn of_heads(&self, q: &Array, k: &Array) -> Array {
        let mut scores = heads(q, k).multiply(&q.values, &k.values);
        scores.iter_mut().for_each(|score| *score *= self.scale);
        Array::new(&shape(q, k), scores)
    }
}

fn heads<T>(q: &Array<T>, k: &Array<T>) -> Heads {
    Heads::new(q.axes("queries"), k.axes("keys"), true)
}

fn shape<T>(q: &Array<T>, k: &Array<T>) -> [usize; 4] {
    let [batch, heads, length, _] = q.axes("queries");
    [batch, heads, length, k.axes::<4>("keys")[2]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rounds;
    use crate::test_support::{normal, rules, stored_rules, used};

    #[test]
    fn every_way_uses_at_most_half_of_its_bound() {
        let scores = Scores { scale: 1.0 / 64_f64.sqrt() };
        let (q, k) = (normal(&[2, 9, 4, 64], 1), normal(&[2, 17, 2, 64], 2));
        let exact = [&q, &k].map(|x| Bounded::exact(x.widened()));
        let bounded = scores.bounded(&rules(), &exact[0], &exact[1]);
        assert_eq!(bounded.value.shape, [2, 4, 9, 17]);
        for way in Way::REPLICAS {
            let share = used(&scores.replica(&way, &q, &k), &bounded);
            assert!(share < 0.5, "{way:?}: {share}");
        }
        let wrong = Scores { scale: scores.scale * 1.0001 };
        assert!(used(&wrong.replica(&Way::PLAIN, &q, &k), &bounded) > 1.0);
    }

    #[test]
    fn groups_of_heads_share_keys() {
        let (q, k) = (normal(&[1, 2, 4, 8], 3).widened(), normal(&[1, 3, 2, 8], 4).widened());
        let found = Scores { scale: 0.5 }.value(&q, &k);
        for (index, score) in found.values.iter().enumerate() {
            let [head, query, key] = [index / 6, index / 3 % 2, index % 3];
            let of_query = &q.values[(query * 4 + head) * 8..][..8];
            let of_key = &k.values[(key * 2 + head / 2) * 8..][..8];
            let expected = 0.5 * of_query.iter().zip(of_key).map(|(q, k)| q * k).sum::<f64>();
            assert!((score - expected).abs() < 1e-14, "{index}");
        }
    }

    #[test]
    fn stored_queries_and_keys_are_bounded() {
        let rounding = stored_rules(&[Rounds::Inputs, Rounds::Intermediates, Rounds::Output]);
        let Some(format) = rounding.half(Rounds::Inputs) else { panic!("inputs are stored") };
        let (mut q, mut k) = (normal(&[1, 9, 2, 64], 5), normal(&[1, 17, 2, 64], 6));
        let given = [&q, &k].map(|x| rounding.given(x.widened()));
        let scores = Scores { scale: 0.125 };
        let bounded = scores.bounded(&rounding, &given[0], &given[1]);
        let store = |x: &mut Array<f32>| x.values.iter_mut().for_each(|x| *x = format.rounded(*x));
        [&mut q, &mut k].into_iter().for_each(store);
        let mut found = scores.replica(&Way::PLAIN, &q, &k);
        store(&mut found);
        let share = used(&found, &bounded);
        assert!(share < 0.6 && share > 0.1, "{share}");
        let own = scores.bounded(&rules(), &Bounded::exact(q.widened()), &Bounded::exact(k.widened()));
        assert!(used(&found, &own) > 10.0);
    }
}
