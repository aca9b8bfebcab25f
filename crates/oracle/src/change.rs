//! Changes of arrays: what mutations do to inputs, weights and results.

use graph::{ArrayChange, Format, Roll, SliceChange, Which, WhichElement};
use half::{bf16, f16};

use crate::{Array, Bounded, FLUSHED, UNIT};

/// The largest step of 8 bits, symmetric.
const STEPS: f64 = 127.0;

/// Numbers in C order that can be moved about and changed one by one.
pub trait Numbers {
    /// How many there are along each axis.
    fn axes(&self) -> &[usize];
    /// All of them.
    fn numbers(&self) -> Vec<f64>;
    /// Whether others are the same bits.
    fn is_same(&self, other: &Self) -> bool;
    /// In another order: where each is taken from; 0 where it is taken from nowhere.
    fn rearrange(&mut self, shape: &[usize], source: &[Option<usize>]);
    /// Changes those at some positions.
    fn change_each(&mut self, positions: &[usize], action: Action);
    /// The same numbers in the same order under another shape of as many.
    fn reshape(&mut self, shape: &[usize]) {
        let source: Vec<Option<usize>> = (0..shape.iter().product()).map(Some).collect();
        self.rearrange(shape, &source);
    }
}

/// `[…, M, N]`, the axes before the last two counted as one, as `[…, N, M]`.
pub(crate) fn swap_last(numbers: &mut impl Numbers, [count, rows, columns]: [usize; 3]) {
    let of = |at: usize| at / (rows * columns) * rows * columns + at % rows * columns + at / rows % columns;
    let source: Vec<Option<usize>> = (0..count * rows * columns).map(|at| Some(of(at))).collect();
    numbers.rearrange(&[count, columns, rows], &source);
}

/// A change of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Times a factor.
    Scale(f64),
    /// Plus an amount.
    Add(f64),
    /// Rounded to a format.
    Round(Format),
    /// Rounded to a multiple.
    Multiple(f64),
    /// 0 if it is subnormal.
    Flush,
    /// With another bit.
    Flip(u32),
    /// Another number.
    Put(f64),
}

/// Puts a change into an array.
///
/// # Errors
/// If the array has no such axis, or is no square matrix where one is transposed.
pub(crate) fn change(numbers: &mut impl Numbers, change: &ArrayChange) -> Result<(), String> {
    let shape = numbers.axes().to_vec();
    let all: Vec<usize> = (0..shape.iter().product()).collect();
    Part { positions: all, shape }.put(numbers, change)
}

/// A part of an array: where its elements stand in the whole, and its own shape.
struct Part {
    positions: Vec<usize>,
    shape: Vec<usize>,
}

impl Part {
    fn put(&self, numbers: &mut impl Numbers, change: &ArrayChange) -> Result<(), String> {
        match change {
            ArrayChange::Scale(factor) => self.each(numbers, Action::Scale(*factor)),
            ArrayChange::Offset(factor) => {
                let amount = factor * root_mean_square(&self.values(numbers));
                self.each(numbers, Action::Add(amount));
            }
            ArrayChange::Round(Format::Int8ByColumn) => self.to_eight_bits(numbers),
            ArrayChange::Round(format) => self.each(numbers, Action::Round(*format)),
            ArrayChange::FlushSubnormals => self.each(numbers, Action::Flush),
            ArrayChange::FlipBit(bit) if *bit < u32::BITS => self.each(numbers, Action::Flip(*bit)),
            ArrayChange::FlipBit(bit) => return Err(format!("f32 has no bit {bit}")),
            ArrayChange::Zero => self.each(numbers, Action::Put(0.0)),
            ArrayChange::Nan => self.each(numbers, Action::Put(f64::NAN)),
            ArrayChange::Transpose => match *self.shape {
                [rows, columns] if rows == columns => {
                    self.permute(numbers, |at| at % columns * columns + at / columns);
                }
                _ => return Err(format!("the shape {:?} is no square matrix", self.shape)),
            },
            ArrayChange::Reverse(axis) => {
                let axis = self.axis(*axis)?;
                self.permute(numbers, |at| axis.moved(at, |index| axis.length - 1 - index));
            }
            ArrayChange::Roll(Roll { axis, by }) => {
                let axis = self.axis(*axis)?;
                self.permute(numbers, |at| axis.moved(at, |index| (index + by) % axis.length));
            }
            ArrayChange::Slice(slice) => return self.slice(slice)?.put(numbers, &slice.change),
            ArrayChange::Element(element) => {
                if let Some(position) = self.element(numbers, element.at) {
                    return Self { positions: vec![position], shape: vec![1] }.put(numbers, &element.change);
                }
            }
        }
        Ok(())
    }

    fn each(&self, numbers: &mut impl Numbers, action: Action) {
        numbers.change_each(&self.positions, action);
    }

    fn values(&self, numbers: &impl Numbers) -> Vec<f64> {
        let all = numbers.numbers();
        self.positions.iter().map(|&position| all[position]).collect()
    }

    /// Takes each element from where `source` says, both counted within the part.
    fn permute(&self, numbers: &mut impl Numbers, source: impl Fn(usize) -> usize) {
        let shape = numbers.axes().to_vec();
        let mut sources: Vec<Option<usize>> = (0..shape.iter().product()).map(Some).collect();
        for (at, &position) in self.positions.iter().enumerate() {
            sources[position] = Some(self.positions[source(at)]);
        }
        numbers.rearrange(&shape, &sources);
    }

    fn to_eight_bits(&self, numbers: &mut impl Numbers) {
        let (values, width) = (self.values(numbers), self.shape.last().copied().unwrap_or(1).max(1));
        for column in 0..width {
            let of_column = |all: &[f64]| all.iter().skip(column).step_by(width).copied().collect::<Vec<_>>();
            let largest = of_column(&values).into_iter().map(f64::abs).fold(0.0, f64::max);
            if largest > 0.0 {
                let positions: Vec<usize> =
                    self.positions.iter().skip(column).step_by(width).copied().collect();
                numbers.change_each(&positions, Action::Multiple(largest / STEPS));
            }
        }
    }

    fn axis(&self, axis: i32) -> Result<Axis, String> {
        let count = self.shape.len();
        let back = usize::try_from(axis.unsigned_abs()).ok().and_then(|back| count.checked_sub(back));
        let index = if axis < 0 { back } else { usize::try_from(axis).ok() };
        let index = index.filter(|&index| index < count && self.shape[index] > 0);
        let index = index.ok_or_else(|| format!("there is no axis {axis} in {:?}", self.shape))?;
        Ok(Axis { index, length: self.shape[index], below: self.shape[index + 1..].iter().product() })
    }

    fn slice(&self, slice: &SliceChange) -> Result<Self, String> {
        let axis = self.axis(slice.axis)?;
        let index = match slice.at {
            Which::First => 0,
            Which::Middle => axis.length / 2,
            Which::Last => axis.length - 1,
        };
        let here = self.positions.iter().enumerate().filter(|(at, _)| axis.of(*at) == index);
        let positions = here.map(|(_, &position)| position).collect();
        let mut shape = self.shape.clone();
        shape.remove(axis.index);
        Ok(Self { positions, shape })
    }

    fn element(&self, numbers: &impl Numbers, at: WhichElement) -> Option<usize> {
        let values = self.values(numbers);
        let index = match at {
            WhichElement::First => Some(0),
            WhichElement::Largest => {
                let largest = values.iter().map(|value| value.abs()).fold(0.0, f64::max);
                values.iter().position(|value| value.abs() >= largest)
            }
            WhichElement::Median => {
                let mut order: Vec<usize> = (0..values.len()).filter(|&at| values[at] != 0.0).collect();
                order.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
                order.get(order.len() / 2).copied()
            }
        };
        self.positions.get(index?).copied()
    }
}

/// One axis of an array: how long it is, and how many elements lie between one index and the next.
#[derive(Clone, Copy)]
struct Axis {
    index: usize,
    length: usize,
    below: usize,
}

impl Axis {
    fn of(self, at: usize) -> usize {
        at / self.below % self.length
    }

    /// The same place with another index.
    fn moved(self, at: usize, index: impl Fn(usize) -> usize) -> usize {
        let own = self.of(at);
        at - own * self.below + index(own) * self.below
    }
}

impl Action {
    /// What becomes of a number.
    #[expect(clippy::cast_possible_truncation, reason = "bits and formats are those of f32")]
    fn on(self, x: f64) -> f64 {
        let single = x as f32;
        match self {
            Self::Scale(factor) => x * factor,
            Self::Add(amount) => x + amount,
            Self::Round(Format::F16) => f16::from_f32(single).to_f64(),
            Self::Round(Format::Bf16) => bf16::from_f32(single).to_f64(),
            Self::Round(Format::Tf32) => f32::from_bits(single.to_bits() & (u32::MAX << 13)).into(),
            // Multiples come from the part, which knows of what.
            Self::Round(Format::Int8ByColumn) => x,
            Self::Multiple(of) => (x / of).round() * of,
            Self::Flush => {
                if single.is_subnormal() {
                    0.0
                } else {
                    x
                }
            }
            Self::Flip(bit) => f32::from_bits(single.to_bits() ^ (1 << bit)).into(),
            Self::Put(number) => number,
        }
    }

    /// What becomes of its bound, in units of u: what another correct computation of the same change may be apart.
    fn error(self, before: f64, after: f64, error: f64) -> f64 {
        let stored = |units: f64| if error > 0.0 { error + units * after.abs() } else { 0.0 };
        match self {
            Self::Scale(factor) => error * factor.abs() + 2.0 * after.abs() + FLUSHED,
            Self::Add(_) => error + 2.0 * (after.abs() + (after - before).abs()) + FLUSHED,
            Self::Round(Format::F16 | Format::Tf32 | Format::Int8ByColumn) => stored(16_384.0),
            Self::Round(Format::Bf16) => stored(131_072.0),
            Self::Multiple(of) => {
                if error > 0.0 {
                    error + of / UNIT
                } else {
                    2.0 * after.abs()
                }
            }
            Self::Flush => error + FLUSHED,
            Self::Flip(_) => 4.0 * error,
            Self::Put(_) => 0.0,
        }
    }
}

impl Numbers for Array {
    fn axes(&self) -> &[usize] {
        &self.shape
    }
    fn numbers(&self) -> Vec<f64> {
        self.values.clone()
    }
    fn is_same(&self, other: &Self) -> bool {
        let bits = self.values.iter().zip(&other.values).all(|(a, b)| a.to_bits() == b.to_bits());
        self.shape == other.shape && bits
    }
    fn rearrange(&mut self, shape: &[usize], source: &[Option<usize>]) {
        *self = Self::new(shape, taken(&self.values, source));
    }
    fn change_each(&mut self, positions: &[usize], action: Action) {
        positions.iter().for_each(|&at| self.values[at] = action.on(self.values[at]));
    }
}

impl Numbers for Array<f32> {
    fn axes(&self) -> &[usize] {
        &self.shape
    }
    fn numbers(&self) -> Vec<f64> {
        self.values.iter().copied().map(f64::from).collect()
    }
    fn is_same(&self, other: &Self) -> bool {
        let bits = self.values.iter().zip(&other.values).all(|(a, b)| a.to_bits() == b.to_bits());
        self.shape == other.shape && bits
    }
    fn rearrange(&mut self, shape: &[usize], source: &[Option<usize>]) {
        *self = Self::new(shape, taken(&self.values, source));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the result is f32 again")]
    fn change_each(&mut self, positions: &[usize], action: Action) {
        positions.iter().for_each(|&at| self.values[at] = action.on(self.values[at].into()) as f32);
    }
}

impl Numbers for Bounded {
    fn axes(&self) -> &[usize] {
        &self.value.shape
    }
    fn numbers(&self) -> Vec<f64> {
        self.value.values.clone()
    }
    fn is_same(&self, other: &Self) -> bool {
        self.value.is_same(&other.value) && self.error == other.error && self.stored == other.stored
    }
    fn rearrange(&mut self, shape: &[usize], source: &[Option<usize>]) {
        self.value.rearrange(shape, source);
        for numbers in [&mut self.error, &mut self.stored].into_iter().flatten() {
            *numbers = taken(numbers, source);
        }
    }
    fn change_each(&mut self, positions: &[usize], action: Action) {
        let errors = self.error.get_or_insert_with(|| vec![0.0; self.value.values.len()]);
        for &at in positions {
            let before = self.value.values[at];
            let after = action.on(before);
            errors[at] = action.error(before, after, errors[at]);
            self.value.values[at] = after;
        }
        self.stored = None;
        if errors.iter().all(|&error| error == 0.0) {
            self.error = None;
        }
    }
}

fn taken<T: Copy + Default>(values: &[T], source: &[Option<usize>]) -> Vec<T> {
    source.iter().map(|from| from.map_or_else(T::default, |from| values[from])).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of elements are far below 2⁵³")]
fn root_mean_square(values: &[f64]) -> f64 {
    let squares: f64 = values.iter().map(|value| value * value).sum();
    (squares / values.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests;
