//! One required tensor under examination, and what goes with it.

use std::fmt::Display;

use capture::{DType, Shape, Tensor, TensorName, TensorView};

use super::CheckContext;
use crate::plan::Required;
use crate::results::{Finding, Reason};
use crate::spec::ActivationSpec;

/// A required tensor in its context.
pub(super) struct Entry<'a> {
    pub(super) context: &'a CheckContext<'a>,
    pub(super) required: &'a Required,
}

impl Entry<'_> {
    pub(super) fn activation(&self) -> &ActivationSpec {
        &self.context.spec.activations[self.required.activation]
    }

    pub(super) fn finding(&self, reason: Reason, message: String) -> Finding {
        finding(&self.context.case.id, &self.required.name, reason, message)
    }

    /// The tensor itself, of the layout that the spec requires.
    pub(super) fn tensor(&self) -> Result<Tensor, Finding> {
        self.other(&self.required.name, &self.required.shape, self.required.dtype)
    }

    /// Another tensor of the same capture, of the layout that follows from the spec.
    pub(super) fn other(&self, name: &TensorName, shape: &Shape, dtype: DType) -> Result<Tensor, Finding> {
        let refuse = |reason, message| finding(&self.context.case.id, name, reason, message);
        let needed = || format!("`{}` cannot be checked", self.required.name);
        let tensor = match self.context.capture.tensor(name) {
            Ok(Some(tensor)) => tensor,
            Ok(None) => return Err(refuse(Reason::Missing, format!("not in the capture; {}", needed()))),
            Err(error) => return Err(refuse(Reason::Unreadable, format!("{error}; {}", needed()))),
        };
        let reason = if tensor.shape() == shape { Reason::DType } else { Reason::Shape };
        tensor
            .require_layout(dtype, shape)
            .map_err(|mismatch| refuse(reason, format!("{mismatch}; {}", needed())))?;
        if tensor.shape().elements() == 0 {
            return Err(refuse(Reason::Empty, format!("no elements; {}", needed())));
        }
        Ok(tensor)
    }

    /// A shape of those dimensions.
    pub(super) fn shape(&self, dimensions: Vec<usize>) -> Result<Shape, Finding> {
        Shape::new(dimensions).map_err(|error| self.finding(Reason::Unreadable, error.to_string()))
    }

    /// The last step of the schedule.
    pub(super) fn last_step(&self) -> usize {
        self.context.case.schedule.len().saturating_sub(1)
    }
}

fn finding(case: &str, tensor: &TensorName, reason: Reason, message: String) -> Finding {
    Finding { case: case.to_owned(), tensor: tensor.to_string(), reason, message }
}

/// A tensor row by row, as f64, without a copy of the whole.
pub(super) struct Rows<'a> {
    tensor: &'a Tensor,
    row: Shape,
}

impl<'a> Rows<'a> {
    /// Rows along the last dimension.
    pub(super) fn new(tensor: &'a Tensor) -> Self {
        let width = tensor.shape().dimensions().last().copied().unwrap_or(1);
        // A part of a shape that fits into memory fits into memory.
        let row = Shape::new(vec![width]).unwrap_or_else(|_| tensor.shape().clone());
        Self { tensor, row }
    }

    pub(super) fn width(&self) -> usize {
        self.row.elements()
    }

    pub(super) fn count(&self) -> usize {
        self.tensor.shape().elements().checked_div(self.width()).unwrap_or(0)
    }

    /// The values of a row below [`Rows::count`].
    pub(super) fn row(&self, index: usize) -> Vec<f64> {
        let length = self.width() * self.tensor.dtype().size();
        let bytes = &self.tensor.bytes()[index * length..(index + 1) * length];
        TensorView::new(self.tensor.dtype(), &self.row, bytes)
            .map(TensorView::to_f64_lossy)
            .unwrap_or_default()
    }

    /// All rows, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Vec<f64>> {
        (0..self.count()).map(|index| self.row(index))
    }
}

/// Counts what does not hold and keeps the first of it.
pub(super) struct Tally<'a> {
    shape: &'a Shape,
    looked_at: u64,
    departures: u64,
    first: Option<String>,
}

impl<'a> Tally<'a> {
    /// For elements, or rows, of a tensor of that shape.
    pub(super) fn new(shape: &'a Shape) -> Self {
        Self { shape, looked_at: 0, departures: 0, first: None }
    }

    /// Notes whether something holds at a row-major position.
    pub(super) fn note<M: Display>(&mut self, flat: usize, holds: bool, message: impl FnOnce() -> M) {
        self.looked_at += 1;
        if !holds {
            self.departures += 1;
            self.first.get_or_insert_with(|| format!("at {:?}: {}", self.shape.multi_index(flat), message()));
        }
    }

    /// What was found, if anything departs. Nothing looked at is a departure too.
    pub(super) fn finish(self, what: &str) -> Option<String> {
        match self.first {
            Some(first) => {
                Some(format!("{} of {} {what}; the first {first}", self.departures, self.looked_at))
            }
            None if self.looked_at == 0 => Some("there was nothing to look at".to_owned()),
            None => None,
        }
    }
}
