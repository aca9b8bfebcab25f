//! What activations hold, and why one cannot be computed.

use crate::change::Numbers;
use crate::operation::RowsError;
use crate::{Arithmetic, Array};

/// What an activation holds.
#[derive(Clone, Debug)]
pub enum Operand<V> {
    /// Floats.
    Floats(V),
    /// Token ids.
    Tokens(Array<i64>),
}

/// Why an activation cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A token or a position has no row.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The model lacks something that the graph names.
    #[error("`{name}` needs {what}, which the model does not have")]
    Lacks {
        /// The activation.
        name: String,
        /// A weight, a constant or an input.
        what: String,
    },
    /// Inputs do not fit the operation.
    #[error("`{name}`: {problem}")]
    Inputs {
        /// The activation.
        name: String,
        /// What was found and what was expected.
        problem: String,
    },
}

impl<V: Numbers> Operand<V> {
    /// Whether both hold the same bits.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Floats(a), Self::Floats(b)) => a.is_same(b),
            (Self::Tokens(a), Self::Tokens(b)) => a == b,
            _ => false,
        }
    }
}

impl<V: Clone> Operand<V> {
    /// The shape of what it holds.
    pub(crate) fn shape<A: Arithmetic<Value = V>>(&self) -> Vec<usize> {
        match self {
            Self::Floats(value) => A::dimensions(value).to_vec(),
            Self::Tokens(ids) => ids.shape.clone(),
        }
    }
}
