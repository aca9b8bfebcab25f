//! The rotation of rotary position embeddings, given cosines and sines: (a, b) becomes (a·cos − b·sin, b·cos + a·sin) for
//! every pair of channels of every head. The table of angles is an operation of its own ([`RopeTable`](super::RopeTable)):
//! angles in f32 err in proportion to the position, the rotation is sharp everywhere.
//!
//! Two products and a sum, one rounding each, and twice that is allowed, for another rounding mode:
//! 2|a·cos| + 2|b·sin| + 2|y|. Errors: E_a|cos| + |a|E_cos + E_b|sin| + |b|E_sin, and the products of errors.
//!
//! Source: Su et al. 2021, "RoFormer", equation 34; transformers, `apply_rotary_pos_emb`.
//!
//! **Admitted**: fused or not; rotation as a complex product.
//!
//! **Accused**: pairs of neighbours in place of halves, and the other way round; a rotation backwards; a part of the channels
//! left as it is.
//!
//! **Half precision**: with stored intermediates, every rounding of the above is one to the format.

use rayon::prelude::*;

use crate::{Array, Bounded, FLUSHED, Rounding, Rounds, UNIT, Way};

/// Of x `[B, S, H, Dh]` with tables `[B, S, Dh]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rope {
    /// Channel 2i and channel 2i + 1 are a pair, in place of channel i and channel i + Dh/2.
    pub interleaved: bool,
}

/// What one channel is made of: `own·cos ± other·sin`.
#[derive(Clone, Copy)]
struct Turn {
    /// Its place in x.
    own: usize,
    /// That of the other of the pair.
    other: usize,
    /// The place of its angle in the tables.
    angle: usize,
    /// −1 for the first of a pair.
    sign: i8,
}

impl Rope {
    /// The exact results.
    pub fn value(&self, x: &Array, cos: &Array, sin: &Array) -> Array {
        let of = |turn: Turn| {
            x.values[turn.own] * cos.values[turn.angle]
                + f64::from(turn.sign) * x.values[turn.other] * sin.values[turn.angle]
        };
        self.each(x, cos, sin, of)
    }

    /// Results and bounds.
    pub fn bounded(&self, rounding: &Rounding, x: &Bounded, cos: &Bounded, sin: &Bounded) -> Bounded {
        let value = self.value(&x.value, &cos.value, &sin.value);
        let [of_x, of_cos, of_sin] = [x, cos, sin].map(|input| rounding.carried(input));
        let intermediates = rounding.half(Rounds::Intermediates);
        let of = |turn: Turn| {
            let (a, b) = (x.value.values[turn.own], x.value.values[turn.other]);
            let (c, s) = (cos.value.values[turn.angle], sin.value.values[turn.angle]);
            let y = a * c + f64::from(turn.sign) * b * s;
            let own = 2.0 * (a * c).abs() + 2.0 * (b * s).abs() + rounding.constants.add * y.abs();
            let own = match intermediates {
                None => own + 3.0 * FLUSHED,
                Some(format) => format.ratio() * own + 3.0 * format.flushed(),
            };
            let carried = |[x, error_x]: [f64; 2], [y, error_y]: [f64; 2]| {
                error_x * y.abs() + x.abs() * error_y + UNIT * error_x * error_y
            };
            own + carried([a, of_x.error(turn.own)], [c, of_cos.error(turn.angle)])
                + carried([b, of_x.error(turn.other)], [s, of_sin.error(turn.angle)])
        };
        let errors = self.each(&x.value, &cos.value, &sin.value, of).values;
        rounding.output(value, errors)
    }

    /// Fused where the way fuses.
    pub fn replica(&self, way: &Way, x: &Array<f32>, cos: &Array<f32>, sin: &Array<f32>) -> Array<f32> {
        let of = |turn: Turn| {
            let other = f32::from(turn.sign) * x.values[turn.other];
            let (own, c, s) = (x.values[turn.own], cos.values[turn.angle], sin.values[turn.angle]);
            if way.fused { own.mul_add(c, other * s) } else { own * c + other * s }
        };
        self.each(x, cos, sin, of)
    }

    fn each<T: Send + Sync>(
        &self,
        x: &Array<T>,
        cos: &Array<T>,
        sin: &Array<T>,
        of: impl Fn(Turn) -> T + Sync,
    ) -> Array<T> {
        let [batch, length, heads, width] = x.axes("heads");
        cos.assert_like(sin);
        assert_eq!(cos.shape, [batch, length, width], "angles of heads {:?}", x.shape);
        assert_eq!(width % 2, 0, "pairs of {width} channels");
        let values = (0..x.values.len()).into_par_iter().map(|own| {
            let (row, channel) = (own / width, own % width);
            let (pair, is_first) = self.pair(channel, width / 2);
            let other = row * width + self.channel(pair, !is_first, width / 2);
            // Both halves of a table hold the same angles.
            let angle = row / heads * width + if self.interleaved { pair } else { channel };
            of(Turn { own, other, angle, sign: if is_first { -1 } else { 1 } })
        });
        Array { shape: x.shape.clone(), values: values.collect() }
    }

    /// Which pair a channel belongs to, and whether it is the first of it.
    fn pair(self, channel: usize, half: usize) -> (usize, bool) {
        if self.interleaved {
            (channel / 2, channel.is_multiple_of(2))
        } else {
            (channel % half, channel < half)
        }
    }

    fn channel(self, pair: usize, is_first: bool, half: usize) -> usize {
        let second = usize::from(!is_first);
        if self.interleaved { 2 * pair + second } else { pair + half * second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{normal, rules, stored_rules, used};

    const HALF: Rope = Rope { interleaved: false };
    const INTERLEAVED: Rope = Rope { interleaved: true };

    /// Cosines and sines of angles, the same in both halves.
    fn tables(batch: usize, length: usize, width: usize) -> [Array<f32>; 2] {
        let angles = normal(&[batch, length, width / 2], 9);
        let both = |f: fn(f32) -> f32| {
            let values = angles.values.chunks(width / 2).flat_map(|row| row.iter().chain(row));
            Array::new(&[batch, length, width], values.map(|&angle| f(3.0 * angle)).collect())
        };
        [both(libm::cosf), both(libm::sinf)]
    }

    fn exact(arrays: [&Array<f32>; 3]) -> [Bounded; 3] {
        arrays.map(|array| Bounded::exact(array.widened()))
    }

    #[test]
    fn pairs_are_halves_or_neighbours() {
        let x = Array::new(&[1, 1, 1, 4], vec![1.0, 10.0, 100.0, 1000.0]);
        let cos = Array::new(&[1, 1, 4], vec![2.0, 3.0, 2.0, 3.0]);
        let sin = Array::new(&[1, 1, 4], vec![5.0, 7.0, 5.0, 7.0]);
        let of = |rope: Rope| rope.value(&x, &cos, &sin).values;
        assert_eq!(of(HALF), [2.0 - 500.0, 30.0 - 7000.0, 200.0 + 5.0, 3000.0 + 70.0]);
        assert_eq!(of(INTERLEAVED), [2.0 - 50.0, 20.0 + 5.0, 300.0 - 7000.0, 3000.0 + 700.0]);
    }

    #[test]
    fn every_way_uses_at_most_half_of_its_bound_and_the_other_pairs_are_outside() {
        let (x, [cos, sin]) = (normal(&[2, 9, 3, 16], 1), tables(2, 9, 16));
        let [of_x, of_cos, of_sin] = exact([&x, &cos, &sin]);
        for (rope, other) in [(HALF, INTERLEAVED), (INTERLEAVED, HALF)] {
            let bounded = rope.bounded(&rules(), &of_x, &of_cos, &of_sin);
            for way in Way::REPLICAS {
                let share = used(&rope.replica(&way, &x, &cos, &sin), &bounded);
                assert!(share <= 0.5, "{way:?}: {share}");
                assert!(used(&other.replica(&way, &x, &cos, &sin), &bounded) > 1000.0);
            }
        }
    }

    #[test]
    fn a_rotation_keeps_lengths_and_turns_back() {
        let (x, [cos, sin]) = (normal(&[1, 5, 2, 8], 2).widened(), tables(1, 5, 8));
        let [cos, sin] = [cos.widened(), sin.widened()];
        let back = Array { shape: sin.shape.clone(), values: sin.values.iter().map(|s| -s).collect() };
        let found = HALF.value(&HALF.value(&x, &cos, &sin), &cos, &back);
        for (index, (found, x)) in found.values.iter().zip(&x.values).enumerate() {
            assert!((found - x).abs() < 1e-6, "{index}");
        }
    }

    #[test]
    fn errors_of_inputs_and_tables_are_carried() {
        let of = |values: Vec<f64>, errors: Vec<f64>, shape: &[usize]| Bounded {
            value: Array::new(shape, values),
            error: Some(errors),
            stored: None,
        };
        let x = of(vec![2.0, -3.0], vec![1.0, 10.0], &[1, 1, 1, 2]);
        let cos = of(vec![0.5, 0.5], vec![4.0, 4.0], &[1, 1, 2]);
        let sin = of(vec![0.25, 0.25], vec![8.0, 8.0], &[1, 1, 2]);
        let error = HALF.bounded(&rules(), &x, &cos, &sin).error.unwrap_or_default();
        let expected =
            2.0 * 1.0 + 2.0 * 0.75 + 2.0 * 1.75 + (0.5 + 8.0 + 4.0 * UNIT) + (2.5 + 24.0 + 80.0 * UNIT);
        assert!((error[0] - expected).abs() < 1e-9, "{} {expected}", error[0]);
    }

    #[test]
    fn stored_inputs_and_steps_are_bounded() {
        let rounding = stored_rules(&[Rounds::Inputs, Rounds::Intermediates, Rounds::Output]);
        let Some(format) = rounding.half(Rounds::Inputs) else { panic!("inputs are stored") };
        let (mut x, [mut cos, mut sin]) = (normal(&[2, 9, 3, 16], 3), tables(2, 9, 16));
        let given = [&x, &cos, &sin].map(|input| rounding.given(input.widened()));
        let bounded = HALF.bounded(&rounding, &given[0], &given[1], &given[2]);
        for numbers in [&mut x, &mut cos, &mut sin] {
            numbers.values.iter_mut().for_each(|x| *x = format.rounded(*x));
        }
        let of = |turn: Turn| {
            let own = format.rounded(x.values[turn.own] * cos.values[turn.angle]);
            let other = f32::from(turn.sign) * x.values[turn.other];
            format.rounded(own + format.rounded(other * sin.values[turn.angle]))
        };
        let share = used(&HALF.each(&x, &cos, &sin, of), &bounded);
        assert!(share < 0.6 && share > 0.1, "{share}");
    }

    #[test]
    fn what_is_not_finite_has_no_finite_bound() {
        let [cos, sin] = tables(1, 1, 4);
        let mut x = normal(&[1, 1, 1, 4], 4);
        x.values[1] = f32::INFINITY;
        let [x, cos, sin] = exact([&x, &cos, &sin]);
        let errors = HALF.bounded(&rules(), &x, &cos, &sin).error.unwrap_or_default();
        let finite: Vec<bool> = errors.iter().map(|error| error.is_finite()).collect();
        assert_eq!(finite, [true, false, true, false]);
    }
}
