//! What a dump is.

use std::collections::BTreeMap;

use super::tensor::DumpTensor;

/// The tensors of one forward pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// By the names under which they were saved.
    pub tensors: BTreeMap<String, DumpTensor>,
    /// What was found and not read, and why: a sentence each.
    pub notes: Vec<String>,
}
