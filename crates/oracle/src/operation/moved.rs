//! What moves numbers, or tells which is the largest: nothing is rounded.

use crate::change::{Action, Numbers};
use crate::{Array, Bounded};

/// The cache after a step: `[B, P, H, Dh]`, if there is a past, and `[B, S, H, Dh]` give `[B, P + S, H, Dh]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append;

/// `[B, S, K]`: 0 where a key is visible, −∞ where it is in the future or has left the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CausalMask {
    /// How many keys a query sees, itself included; all if not said.
    pub window: Option<usize>,
}

/// The last position: `[B, S, V]` to `[B, V]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last;

/// The index of the largest of each row: `[B, V]` to `[B]`; the lowest on ties, −1 of a row that has a NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argmax;

/// Wrong ways of [`Append`]: what is new stands one place late; the last row keeps what an earlier step stored; the last
/// position lands in the first slot; growing loses the first position.
pub(crate) const WRONG_APPEND: &[&str] =
    &["start-shifted", "row-stale", "wrapped-around", "overwritten-at-growth"];
/// Wrong ways of [`CausalMask`]: every query sees the key after its own; what is hidden is only far below; or far above;
/// the window holds one key more.
pub(crate) const WRONG_MASK: &[&str] =
    &["off-by-one", "finite", "infinity-of-the-wrong-sign", "window-one-more"];
/// Wrong ways of [`Last`].
pub(crate) const WRONG_LAST: &[&str] = &["first"];
/// Wrong ways of [`Argmax`]: of equals the last; the token after the chosen one.
pub(crate) const WRONG_ARGMAX: &[&str] = &["last-of-equals", "next-token"];
/// What some use in place of −∞.
const FAR_BELOW: f64 = -10_000.0;

/// The right cache `[B, K, …]` with `past` positions before what is new, gone wrong. A first step has no past to go wrong with.
pub(crate) fn wrong_append(way: &str, cache: &mut impl Numbers, past: usize) {
    let shape = cache.axes().to_vec();
    let [batch, positions, inner @ ..] = shape.as_slice() else { return };
    if past == 0 {
        return;
    }
    let below: usize = inner.iter().product();
    let taken_from = |row: usize, position: usize| match way {
        "start-shifted" if position == past => None,
        "start-shifted" if position > past => Some(position - 1),
        "row-stale" if row + 1 == *batch && position >= past => Some(past - 1),
        "wrapped-around" if position == 0 => Some(positions - 1),
        "overwritten-at-growth" if position == 0 => None,
        _ => Some(position),
    };
    let source = |at: usize| {
        let (row, position) = (at / below / positions, at / below % positions);
        taken_from(row, position).map(|from| (row * positions + from) * below + at % below)
    };
    let sources: Vec<Option<usize>> = (0..shape.iter().product()).map(source).collect();
    cache.rearrange(&shape, &sources);
}

/// The right mask `[B, S, K]`, gone wrong.
pub(crate) fn wrong_mask(way: &str, mask: &mut impl Numbers) {
    let shape = mask.axes().to_vec();
    let keys = shape.last().copied().unwrap_or(1);
    let hidden = |numbers: Vec<f64>| -> Vec<usize> {
        (0..numbers.len()).filter(|&at| numbers[at] == f64::NEG_INFINITY).collect()
    };
    match way {
        "off-by-one" => {
            let of_key_before = |at: usize| (!at.is_multiple_of(keys)).then(|| at - 1);
            let sources: Vec<Option<usize>> = (0..shape.iter().product()).map(of_key_before).collect();
            mask.rearrange(&shape, &sources);
        }
        "finite" => mask.change_each(&hidden(mask.numbers()), Action::Put(FAR_BELOW)),
        _ => mask.change_each(&hidden(mask.numbers()), Action::Put(f64::INFINITY)),
    }
}

/// The first position of `[B, S, V]`.
pub(crate) fn first(x: &mut impl Numbers) {
    if let &[batch, length, width] = x.axes() {
        let at = |index: usize| Some(index / width * length * width + index % width);
        x.rearrange(&[batch, width], &(0..batch * width).map(at).collect::<Vec<_>>());
    }
}

/// What stands in the place of the right tokens of `[B, V]`.
pub(crate) fn wrong_argmax(way: &str, right: &mut [i64], x: &impl Numbers) {
    let width = x.axes().last().copied().unwrap_or(1).max(1);
    for (token, row) in right.iter_mut().zip(x.numbers().chunks(width)) {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let found = match way {
            "last-of-equals" => row.iter().rposition(|&logit| logit >= largest),
            _ => usize::try_from(*token).ok().map(|token| (token + 1) % width),
        };
        *token = found.and_then(|found| i64::try_from(found).ok()).unwrap_or(-1);
    }
}

impl Append {
    /// The new behind the past.
    pub fn value<T: Copy>(&self, past: Option<&Array<T>>, new: &Array<T>) -> Array<T> {
        let [batch, length, heads, width] = new.axes("the new part of a cache");
        let Some(past) = past else { return new.clone() };
        let [_, before, ..] = past.axes::<4>("the past of a cache");
        assert_eq!(past.shape, [batch, before, heads, width], "the past of {:?}", new.shape);
        let values = joined(&past.values, &new.values, batch);
        Array::new(&[batch, before + length, heads, width], values)
    }

    /// Errors move with the numbers.
    pub fn bounded(&self, past: Option<&Bounded>, new: &Bounded) -> Bounded {
        let Some(past) = past else { return new.clone() };
        let value = self.value(Some(&past.value), &new.value);
        let numbers = |of: &Option<Vec<f64>>, like: &Array| {
            let values = of.clone().unwrap_or_else(|| vec![0.0; like.values.len()]);
            Array { shape: like.shape.clone(), values }
        };
        let both = |past_of: &Option<Vec<f64>>, new_of: &Option<Vec<f64>>| {
            let any = past_of.is_some() || new_of.is_some();
            any.then(|| self.value(Some(&numbers(past_of, &past.value)), &numbers(new_of, &new.value)).values)
        };
        Bounded { value, error: both(&past.error, &new.error), stored: both(&past.stored, &new.stored) }
    }

    /// As `value`.
    pub fn replica(&self, past: Option<&Array<f32>>, new: &Array<f32>) -> Array<f32> {
        self.value(past, new)
    }
}

impl CausalMask {
    /// For `new` queries behind `past` of them.
    pub fn value<T: From<f32> + Copy>(&self, batch: usize, past: usize, new: usize) -> Array<T> {
        let keys = past + new;
        let visible =
            |query: usize, key: usize| key <= query && self.window.is_none_or(|window| query - key < window);
        let of_query =
            |query| (0..keys).map(move |key| if visible(query, key) { 0.0 } else { f32::NEG_INFINITY });
        let one: Vec<T> = (past..keys).flat_map(of_query).map(T::from).collect();
        Array::new(&[batch, new, keys], one.repeat(batch))
    }
}

impl Last {
    /// The last row of each in the batch.
    pub fn value<T: Copy>(&self, x: &Array<T>) -> Array<T> {
        let [batch, length, width] = x.axes("logits");
        Array::new(&[batch, width], last(&x.values, length, width))
    }

    /// Errors move with the numbers.
    pub fn bounded(&self, x: &Bounded) -> Bounded {
        let [_, length, width] = x.value.axes("logits");
        let of = |numbers: &Option<Vec<f64>>| numbers.as_ref().map(|all| last(all, length, width));
        Bounded { value: self.value(&x.value), error: of(&x.error), stored: of(&x.stored) }
    }

    /// As `value`.
    pub fn replica(&self, x: &Array<f32>) -> Array<f32> {
        self.value(x)
    }
}

impl Argmax {
    /// Where the largest is.
    pub fn value<T: PartialOrd + Copy>(&self, x: &Array<T>) -> Vec<i64> {
        x.values.chunks(x.width().max(1)).map(argmax).collect()
    }
}

#[expect(clippy::eq_op, reason = "NaN differs from itself")]
fn argmax<T: PartialOrd + Copy>(row: &[T]) -> i64 {
    let mut found: Option<(usize, T)> = None;
    for (index, &value) in row.iter().enumerate() {
        if value != value {
            return -1;
        }
        if found.is_none_or(|(_, largest)| value > largest) {
            found = Some((index, value));
        }
    }
    found.and_then(|(index, _)| i64::try_from(index).ok()).unwrap_or(-1)
}

fn joined<T: Copy>(past: &[T], new: &[T], batch: usize) -> Vec<T> {
    let [of_past, of_new] = [past.len(), new.len()].map(|count| count.checked_div(batch).unwrap_or(0));
    (0..batch)
        .flat_map(|index| past[index * of_past..][..of_past].iter().chain(&new[index * of_new..][..of_new]))
        .copied()
        .collect()
}

fn last<T: Copy>(values: &[T], length: usize, width: usize) -> Vec<T> {
    let step = (length * width).max(1);
    values.chunks(step).flat_map(|one| &one[one.len() - width..]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(length: usize, first: f64) -> Array {
        let values = (0..2 * length * 3).map(|index| first + index as f64).collect();
        Array::new(&[2, length, 1, 3], values)
    }

    #[test]
    fn a_cache_grows_for_each_in_the_batch() {
        let (past, new) = (heads(2, 0.0), heads(1, 100.0));
        let found = Append.value(Some(&past), &new);
        assert_eq!(found.shape, [2, 3, 1, 3]);
        let expected = [0., 1., 2., 3., 4., 5., 100., 101., 102., 6., 7., 8., 9., 10., 11., 103., 104., 105.];
        assert_eq!(found.values, expected);
        assert_eq!(Append.value(None, &new), new);
    }

    #[test]
    fn errors_move_with_what_has_them() {
        let past = Bounded { value: heads(1, 0.0), error: Some(vec![2.0; 6]), stored: None };
        let new = Bounded::exact(heads(1, 9.0));
        let found = Append.bounded(Some(&past), &new);
        assert_eq!(found.error, Some([[2.0; 3], [0.0; 3]].concat().repeat(2)));
        assert_eq!(found.stored, None);
        assert_eq!(Append.bounded(Some(&new), &new).error, None);
    }

    #[test]
    fn the_future_is_masked_and_so_is_what_left_the_window() {
        let hidden = |window, past, new| -> Vec<usize> {
            let mask = CausalMask { window }.value::<f32>(2, past, new);
            assert_eq!(mask.shape, [2, new, past + new]);
            assert_eq!(mask.values[..new * (past + new)], mask.values[new * (past + new)..]);
            let masked = mask.values.iter().take(new * (past + new)).enumerate();
            masked.filter(|(_, value)| **value == f32::NEG_INFINITY).map(|(index, _)| index).collect()
        };
        assert_eq!(hidden(None, 0, 3), [1, 2, 5]);
        assert_eq!(hidden(None, 2, 2), [3]);
        assert_eq!(hidden(Some(2), 2, 2), [0, 3, 4, 5]);
        assert_eq!(hidden(Some(1), 0, 2), [1, 2]);
    }

    #[test]
    fn the_last_position_is_taken_with_its_errors() {
        let logits = Array::new(&[2, 2, 2], (0..8_u8).map(f64::from).collect());
        let errors = logits.values.iter().map(|x| 10.0 * x).collect();
        let found = Last.bounded(&Bounded { value: logits, error: Some(errors), stored: None });
        assert_eq!(found.value, Array::new(&[2, 2], vec![2.0, 3.0, 6.0, 7.0]));
        assert_eq!(found.error, Some(vec![20.0, 30.0, 60.0, 70.0]));
    }

    #[test]
    fn the_lowest_of_the_largest_is_told_and_nan_has_none() {
        let rows =
            [[1.0, 3.0, 3.0], [f64::NEG_INFINITY; 3], [5.0, f64::NAN, 9.0], [-0.0, 0.0, -1.0]].concat();
        assert_eq!(Argmax.value(&Array::new(&[4, 3], rows)), [1, 0, -1, 0]);
    }
}
