//! cos or sin of a = p·f, f = θ^(−e), e = 2i/Dh, for position p and pair i of channels.
//!
//! **Frequencies.** Relative to f, by a power: e is rounded, which the power makes e·ln θ, and a power that is an exponential of
//! a logarithm has three times that; the power itself 4, a reciprocal 2:
//! E_f = 4·e·ln θ + 4 + 2. Multiplied up, f_i = f₁^i: i times the error of f₁ and of a product, i·(E_f(1) + 2). The larger
//! counts. f₀ = 1 in both and is exact.
//!
//! **Scaling.** Linear: f/s, a division: 2 more. Llama 3: with w = n·f/(2π) waves in the original context of n positions,
//! low frequencies (w < l) become f/s, high ones (w > h) stay, and between them f·((1 − t)/s + t), t = (w − l)/(h − l), which
//! meets both ends. E_w = w·(E_f + 6) for 2π, a division and a product or a wavelength; E_t = (E_w + 2(w + l))/(h − l) + 2t; and
//! f·(…) has E_f + (1 − 1/s)·E_t/(…) + 8 for two products, a sum, 1 − t and the division.
//!
//! **Angles.** A product more: E_a = |a|·(E_f + 2), in proportion to the position: at 100,000 an angle is off by 0.05, whatever
//! the frequency. Of the functions, |cos′| = |sin|, the curvature at most 1, and no value is farther than 2 away:
//! E = min(|sin a|·E_a + u/2·E_a², E_a, 2/u), and 4 of cos or sin itself, in absolute terms.
//!
//! Source: Su et al. 2021, "RoFormer", section 3.4.2; Chen et al. 2023, "Extending Context Window of Large Language Models via
//! Positional Interpolation"; transformers, modeling_rope_utils.py.
//!
//! **Admitted**: angles in f32 or wider; θ^(−e) as a power, as 1 over a power, as an exponential of a logarithm, or multiplied
//! up from pair to pair.
//!
//! **Accused**: another θ, positions off by one, a scaling that is ignored; positions or angles in half precision.
//!
//! **Half precision**: cosines and sines are stored, angles are not.

use std::f64::consts::TAU;

use rayon::prelude::*;

use crate::{Array, Bounded, Constants, FLUSHED, Rounding, UNIT, Way};

/// `[B, S, Dh]`: that of pair i at i and at i + Dh/2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeTable {
    /// sin in place of cos.
    pub sine: bool,
    /// Dh.
    pub width: usize,
    /// θ.
    pub theta: f64,
    /// How frequencies are changed.
    pub scaling: Scaling,
}

/// How frequencies are changed for a longer context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// Divided by s.
    Linear {
        /// s.
        factor: f64,
    },
    /// Low ones divided by s, high ones not.
    Llama3 {
        /// s.
        factor: f64,
        /// l.
        low: f64,
        /// h.
        high: f64,
        /// n.
        positions: f64,
    },
}

/// Wrong ways of [`RopeTable`].
pub(crate) const WRONG: &[&str] = &["positions-from-one", "positions-restart"];

/// The step whose positions a table has that is computed in one of the wrong ways.
pub(crate) fn wrong_step(way: &str, step: graph::Step) -> graph::Step {
    let past = if way == "positions-from-one" { step.past + 1 } else { 0 };
    graph::Step { past, ..step }
}

/// f and its error, relative to it.
#[derive(Clone, Copy)]
struct Frequency {
    value: f64,
    relative: f64,
}

impl RopeTable {
    /// The exact table, for `new` positions behind `past` of them.
    pub fn value(&self, batch: usize, past: usize, new: usize) -> Array {
        self.each([batch, past, new], |pair, position| self.wave(position * self.exact(pair).value))
    }

    /// Table and bounds.
    pub fn bounded(&self, rounding: &Rounding, batch: usize, past: usize, new: usize) -> Bounded {
        let constants = &rounding.constants;
        let frequencies: Vec<Frequency> =
            (0..self.width / 2).map(|pair| self.frequency(constants, pair)).collect();
        let of = |pair: usize, position: f64| {
            let Frequency { value, relative } = frequencies[pair];
            let angle = position * value;
            let off = angle.abs() * (relative + 2.0);
            let slope = if self.sine { libm::cos(angle) } else { libm::sin(angle) };
            let moved = (slope.abs() * off + UNIT / 2.0 * off * off).min(off).min(2.0 / UNIT);
            moved + constants.trigonometric + FLUSHED
        };
        let errors = self.each([batch, past, new], of).values;
        rounding.output(self.value(batch, past, new), errors)
    }

    /// Frequencies as the way has them.
    #[expect(clippy::cast_possible_truncation, reason = "constants of f32")]
    pub fn replica(&self, way: &Way, batch: usize, past: usize, new: usize) -> Array<f32> {
        let frequencies: Vec<f32> =
            (0..self.width / 2).map(|pair| self.replica_frequency(way, pair)).collect();
        self.each([batch, past, new], |pair, position| {
            let angle = position as f32 * frequencies[pair];
            if self.sine { libm::sinf(angle) } else { libm::cosf(angle) }
        })
    }

    fn each<T: Copy + Send>(
        &self,
        [batch, past, new]: [usize; 3],
        of: impl Fn(usize, f64) -> T + Sync,
    ) -> Array<T> {
        let half = self.width / 2;
        #[expect(clippy::cast_precision_loss, reason = "positions are far below 2⁵³")]
        let row = |position: usize| -> Vec<T> {
            let one: Vec<T> = (0..half).map(|pair| of(pair, position as f64)).collect();
            one.repeat(2)
        };
        let one: Vec<T> = (past..past + new).into_par_iter().flat_map_iter(row).collect();
        Array::new(&[batch, new, 2 * half], one.repeat(batch))
    }

    fn wave(&self, angle: f64) -> f64 {
        if self.sine { libm::sin(angle) } else { libm::cos(angle) }
    }

    /// e
    #[expect(clippy::cast_precision_loss, reason = "widths of heads are far below 2⁵³")]
    fn exponent(&self, pair: usize) -> f64 {
        2.0 * pair as f64 / self.width as f64
    }

    fn exact(&self, pair: usize) -> Frequency {
        self.frequency(&Constants::default(), pair)
    }

    fn frequency(&self, constants: &Constants, pair: usize) -> Frequency {
        let value = libm::pow(self.theta, -self.exponent(pair));
        let slope = libm::log(self.theta).abs();
        let of_power = |pair| 4.0 * self.exponent(pair) * slope + constants.power + constants.division;
        #[expect(clippy::cast_precision_loss, reason = "widths of heads are far below 2⁵³")]
        let relative = match pair {
            0 => 0.0,
            pair => of_power(pair).max(pair as f64 * (of_power(1) + 2.0)),
        };
        self.scaling.of(Frequency { value, relative }, constants)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "constants of f32")]
    fn replica_frequency(&self, way: &Way, pair: usize) -> f32 {
        let theta = self.theta as f32;
        let power = |pair: usize| {
            let exponent = 2.0 * pair as f32 / self.width as f32;
            match (way.exponential, way.reciprocal) {
                (crate::order::Exponential::PowerOfTwo, _) => libm::exp2f(-exponent * libm::log2f(theta)),
                (_, true) => libm::powf(theta, -exponent),
                (_, false) => 1.0 / libm::powf(theta, exponent),
            }
        };
        let frequency =
            if way.updating { (0..pair).fold(1.0, |product, _| product * power(1)) } else { power(pair) };
        self.scaling.replica(way, frequency)
    }
}

impl Scaling {
    fn of(self, frequency: Frequency, constants: &Constants) -> Frequency {
        let Frequency { value, relative } = frequency;
        match self {
            Self::None => frequency,
            Self::Linear { factor } => {
                Frequency { value: value / factor, relative: relative + constants.division }
            }
            Self::Llama3 { factor, low, high, positions } => {
                let waves = positions * value / TAU;
                // Where the sides meet, an implementation may be on either, so that errors of the mixed side count there.
                let off = UNIT * waves * (relative + 6.0);
                if waves + off < low {
                    return Self::Linear { factor }.of(frequency, constants);
                }
                if waves - off > high {
                    return frequency;
                }
                let t = ((waves - low) / (high - low)).clamp(0.0, 1.0);
                let mixed = (1.0 - t) / factor + t;
                let of_t = (waves * (relative + 6.0) + 2.0 * (waves + low)) / (high - low) + 2.0 * t;
                let of_mixed = (1.0 - 1.0 / factor).abs() * of_t / mixed + 8.0;
                Frequency { value: value * mixed, relative: relative + of_mixed }
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "constants of f32")]
    fn replica(self, way: &Way, frequency: f32) -> f32 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => way.over(frequency, factor as f32),
            Self::Llama3 { factor, low, high, positions } => {
                let [factor, low, high, positions] = [factor, low, high, positions].map(|x| x as f32);
                let wavelength = way.over(std::f32::consts::TAU, frequency);
                if wavelength > positions / low {
                    way.over(frequency, factor)
                } else if wavelength < positions / high {
                    frequency
                } else {
                    let t = (way.over(positions, wavelength) - low) / (high - low);
                    way.over((1.0 - t) * frequency, factor) + t * frequency
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
