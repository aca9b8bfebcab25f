//! Where generation begins.

use capture::{DType, Tensor, TensorName};

use super::entry::{Entry, Tally};
use crate::results::{Finding, Reason};

/// What is generated first is what the last step of the prompt gave: its token, or its logits bit by bit.
pub(super) fn continues(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    match *tensor.shape().dimensions() {
        [batch, generated] => {
            let last = TensorName::of_step(entry.last_step(), "token");
            let last = entry.other(&last, &entry.shape(vec![batch])?, DType::I64)?;
            let (all, before) = (tokens(entry, &tensor)?, tokens(entry, &last)?);
            let mut tally = Tally::new(tensor.shape());
            for (row, expected) in before.into_iter().enumerate() {
                let found = all[row * generated];
                tally.note(row * generated, found == expected, || {
                    format!("token {found}, expected {expected}, the token of the last step")
                });
            }
            Ok(tally.finish("rows do not go on from the last step"))
        }
        [batch, generated, vocabulary] => {
            let last = TensorName::of_step(entry.last_step(), "logits.last");
            let last = entry.other(&last, &entry.shape(vec![batch, vocabulary])?, tensor.dtype())?;
            let row_bytes = vocabulary * tensor.dtype().size();
            let mut tally = Tally::new(tensor.shape());
            for row in 0..batch {
                let first = &tensor.bytes()[row * generated * row_bytes..][..row_bytes];
                let same = first == &last.bytes()[row * row_bytes..][..row_bytes];
                tally.note(
                    row * generated * vocabulary,
                    same,
                    || "not the logits of the last step, bit by bit",
                );
            }
            Ok(tally.finish("rows do not go on from the last step"))
        }
        _ => Err(entry.finding(Reason::Unreadable, "neither [B, N] nor [B, N, V]".to_owned())),
    }
}

fn tokens(entry: &Entry<'_>, tensor: &Tensor) -> Result<Vec<i64>, Finding> {
    tensor.view().to_i64().map_err(|error| entry.finding(Reason::DType, error.to_string()))
}
