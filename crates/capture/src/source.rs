//! Where tensors come from: memory or a file, alike.

use std::collections::{BTreeMap, BTreeSet};

use tensor_compare::{Tensor, TensorView};

use crate::{FileError, TensorName};

/// Something that holds named tensors.
pub trait TensorSource: Sync {
    /// All names, in order.
    fn names(&self) -> BTreeSet<TensorName>;

    /// The tensor with that name; `Ok(None)` when there is none. `Err` when it is there and cannot be read.
    fn tensor(&self, name: &TensorName) -> Result<Option<Tensor>, FileError>;
}

/// Something that takes in the tensors of a capture, each as it is computed.
pub trait Sink {
    /// One tensor, and whether it was contiguous, in C order, where it was observed.
    fn put(&mut self, name: TensorName, tensor: TensorView<'_>, contiguous: bool);
}

/// All activations that one implementation produced for one case, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// The tensors by name.
    pub tensors: BTreeMap<TensorName, Tensor>,
    /// Activations that were not contiguous, in C order, where they were observed.
    pub not_contiguous: BTreeSet<TensorName>,
}

/// A tensor that something needs is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the capture holds no `{name}`")]
pub struct MissingTensor {
    /// The name asked for.
    pub name: TensorName,
}

impl Capture {
    /// The tensor, or an error that names it.
    pub fn require(&self, name: &TensorName) -> Result<&Tensor, MissingTensor> {
        self.tensors.get(name).ok_or_else(|| MissingTensor { name: name.clone() })
    }
}

impl Sink for Capture {
    fn put(&mut self, name: TensorName, tensor: TensorView<'_>, contiguous: bool) {
        if !contiguous {
            self.not_contiguous.insert(name.clone());
        }
        self.tensors.insert(name, tensor.to_tensor());
    }
}

impl TensorSource for Capture {
    fn names(&self) -> BTreeSet<TensorName> {
        self.tensors.keys().cloned().collect()
    }

    fn tensor(&self, name: &TensorName) -> Result<Option<Tensor>, FileError> {
        Ok(self.tensors.get(name).cloned())
    }
}
