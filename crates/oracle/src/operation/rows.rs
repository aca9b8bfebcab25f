//! Rows of a table by token, and rows of another by position added to them.
//!
//! A lookup rounds nothing. With positions it is one sum of two terms, as [`Add`](crate::operation::Add) has it.
//!
//! **Half precision**: both tables are stored, each row of them costs one rounding.

use crate::{Array, Bounded, FLUSHED, Rounding, Rounds, Way, Weight};

/// Token ids `[B, S]` to `[B, S, D]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rows<'a> {
    /// A row for each token, `[V, D]`.
    pub table: Weight<'a>,
    /// A row for each position, `[C, D]`, and the position of the first token.
    pub positions: Option<(Weight<'a>, usize)>,
}

/// Wrong ways of [`Rows`].
pub(crate) const WRONG: &[&str] = &["positions-restart"];

/// A row that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// A token without a row.
    #[error("the token {id} is none of {rows}")]
    Token {
        /// The token.
        id: i64,
        /// How many there are.
        rows: usize,
    },
    /// A position without a row.
    #[error("the position {position} is none of {rows}")]
    Position {
        /// The position.
        position: usize,
        /// How many there are.
        rows: usize,
    },
}

impl Rows<'_> {
    /// With positions that count from 0 in every step.
    pub(crate) fn restarted(self) -> Self {
        Self { positions: self.positions.map(|(table, _)| (table, 0)), ..self }
    }

    /// The exact rows.
    pub fn value(&self, ids: &Array<i64>) -> Result<Array, RowsError> {
        self.gathered(ids, f64::from, |x, y| f64::from(x) + f64::from(y))
    }

    /// Rows and bounds.
    pub fn bounded(&self, rounding: &Rounding, ids: &Array<i64>) -> Result<Bounded, RowsError> {
        let value = self.value(ids)?;
        let format = rounding.half(Rounds::Weights);
        let stored = |x: f32| format.map_or(0.0, |format| 2.0 * format.store(f64::from(x)));
        let stores = self.gathered(ids, stored, |x, y| stored(x) + stored(y))?;
        if self.positions.is_none() && format.is_none() {
            return Ok(match rounding.half(Rounds::Output) {
                Some(_) => rounding.output(value, stores.values),
                None => Bounded::exact(value),
            });
        }
        let own = |sum: &f64| match self.positions {
            Some(_) => rounding.constants.add * sum.abs() + FLUSHED,
            None => 0.0,
        };
        let errors = value.values.iter().zip(&stores.values).map(|(sum, stores)| own(sum) + stores).collect();
        Ok(rounding.output(value, errors))
    }

    /// One addition; there is one way.
    pub fn replica(&self, _: &Way, ids: &Array<i64>) -> Result<Array<f32>, RowsError> {
        self.gathered(ids, |x| x, |x, y| x + y)
    }

    fn gathered<T>(
        &self,
        ids: &Array<i64>,
        one: impl Fn(f32) -> T,
        sum: impl Fn(f32, f32) -> T,
    ) -> Result<Array<T>, RowsError> {
        let [batch, length] = ids.axes("token ids");
        let width = self.table.shape.last().copied().unwrap_or(0);
        let mut values = Vec::with_capacity(ids.values.len() * width);
        for (index, &id) in ids.values.iter().enumerate() {
            let rows = self.table.shape[0];
            let token = usize::try_from(id).ok().and_then(|id| row(self.table, id));
            let token = token.ok_or(RowsError::Token { id, rows })?;
            match self.positions {
                None => values.extend(token.iter().map(|&x| one(x))),
                Some((table, start)) => {
                    let position = start.saturating_add(index % length);
                    let missing = RowsError::Position { position, rows: table.shape[0] };
                    let of_position = row(table, position).ok_or(missing)?;
                    assert_eq!(of_position.len(), width, "tables of one width");
                    values.extend(token.iter().zip(of_position).map(|(&x, &y)| sum(x, y)));
                }
            }
        }
        Ok(Array::new(&[batch, length, width], values))
    }
}

fn row(table: Weight<'_>, index: usize) -> Option<&[f32]> {
    let width = table.shape.last().copied()?;
    let start = index.checked_mul(width)?;
    (index < table.shape[0]).then(|| table.values.get(start..start.checked_add(width)?)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{rules, stored_rules};

    const TABLE: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 0.3];
    const POSITIONS: [f32; 4] = [0.5, 0.0, -0.5, 10.0];

    fn rows(positions: Option<usize>) -> Rows<'static> {
        let table = Weight { shape: &[3, 2], values: &TABLE };
        let of_position = Weight { shape: &[2, 2], values: &POSITIONS };
        Rows { table, positions: positions.map(|start| (of_position, start)) }
    }

    fn ids(ids: &[i64]) -> Array<i64> {
        Array::new(&[1, ids.len()], ids.to_vec())
    }

    #[test]
    fn rows_are_looked_up_and_positions_added_from_the_first() {
        let found =
            |start, tokens: &[i64]| rows(start).replica(&Way::PLAIN, &ids(tokens)).map(|array| array.values);
        assert_eq!(found(None, &[2, 0]), Ok(vec![5.0, 0.3, 1.0, 2.0]));
        assert_eq!(found(Some(0), &[2, 0]), Ok(vec![5.5, 0.3, 0.5, 12.0]));
        assert_eq!(found(Some(1), &[1]), Ok(vec![2.5, 14.0]));
        assert_eq!(rows(None).bounded(&rules(), &ids(&[1])).map(|rows| rows.error), Ok(None));
        let sum = rows(Some(0)).bounded(&rules(), &ids(&[1])).map(|rows| rows.error);
        assert_eq!(sum, Ok(Some(vec![7.0 + FLUSHED, 8.0 + FLUSHED])));
    }

    #[test]
    fn a_row_that_is_not_there_is_an_error() {
        for id in [-1, 3, i64::MAX, i64::MIN] {
            assert_eq!(rows(None).value(&ids(&[id])), Err(RowsError::Token { id, rows: 3 }));
        }
        assert_eq!(rows(Some(1)).value(&ids(&[0, 1])), Err(RowsError::Position { position: 2, rows: 2 }));
    }

    #[test]
    fn tables_in_half_precision_cost_what_they_do_not_hold() {
        let rounding = stored_rules(&[Rounds::Weights]);
        let errors = rows(Some(0)).bounded(&rounding, &ids(&[2])).map(|rows| rows.error.unwrap_or_default());
        let store = 2.0 * (8192.0 * f64::from(0.3_f32) + 1024.0);
        assert_eq!(errors, Ok(vec![11.0 + FLUSHED, 2.0 * f64::from(0.3_f32) + FLUSHED + store]));
    }
}
