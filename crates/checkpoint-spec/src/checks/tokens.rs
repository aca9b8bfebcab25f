//! Tokens held against the subject's own logits.

use capture::{DType, Tensor, TensorName};

use super::entry::{Entry, Rows, Tally};
use crate::results::{Finding, Reason};

/// Every token is the lowest index of the largest of the logits it is taken from.
pub(super) fn argmax_of_own_logits(entry: &Entry<'_>) -> Result<Option<String>, Finding> {
    let tensor = entry.tensor()?;
    let mut dimensions = tensor.shape().dimensions().to_vec();
    dimensions.push(entry.size("V")?);
    let Some(name) = entry.input_names().next() else {
        return Err(entry.finding(Reason::Unreadable, "the spec gives no logits for it".to_owned()));
    };
    let logits = floats(entry, &name, dimensions)?;
    let mut tally = Tally::new(tensor.shape());
    for (index, (row, found)) in Rows::new(&logits).iter().zip(tokens(entry, &tensor)?).enumerate() {
        let expected = argmax(&row);
        let holds = expected.is_some_and(|expected| i64::try_from(expected) == Ok(found));
        tally.note(index, holds, || match expected {
            Some(expected) => {
                format!("token {found}, expected {expected}, whose logit is {:?}", row.get(expected))
            }
            None => format!("token {found} of logits with NaN among them"),
        });
    }
    Ok(tally.finish("tokens are not the argmax of the subject's own logits"))
}

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

/// A float tensor of that shape, in whatever precision the subject has.
fn floats(entry: &Entry<'_>, name: &TensorName, dimensions: Vec<usize>) -> Result<Tensor, Finding> {
    let shape = entry.shape(dimensions)?;
    match entry.other(name, &shape, DType::F32) {
        Err(finding) if finding.reason == Reason::DType => entry.other(name, &shape, DType::F64),
        other => other,
    }
}

fn tokens(entry: &Entry<'_>, tensor: &Tensor) -> Result<Vec<i64>, Finding> {
    tensor.view().to_i64().map_err(|error| entry.finding(Reason::DType, error.to_string()))
}

/// Index of the largest value, the lowest on ties; none where a value is NaN.
fn argmax(row: &[f64]) -> Option<usize> {
    let mut best = None;
    for (index, &value) in row.iter().enumerate() {
        if value.is_nan() {
            return None;
        }
        if best.is_none_or(|best: usize| value > row[best]) {
            best = Some(index);
        }
    }
    best
}
