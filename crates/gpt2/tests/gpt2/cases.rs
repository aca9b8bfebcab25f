//! Small models, cases for them, and how captures are looked into.

use std::path::Path;

use capture::{Capture, Case, Tensor, TensorName};
use gpt2::Gpt2;
use gpt2::synthetic::{self, SyntheticSpec};

/// Three layers of awkward sizes.
pub(crate) const TINY: &str = "3,48,4,97,40@1";

pub(crate) fn model(spec: &str) -> Gpt2 {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), spec);
    Gpt2::load(directory.path()).unwrap()
}

pub(crate) fn write(directory: &Path, spec: &str) {
    let spec: SyntheticSpec = spec.parse().unwrap();
    synthetic::write(directory, &spec).unwrap();
}

/// Rows of ids without pattern, no two rows alike.
pub(crate) fn case(model: &Gpt2, batch: usize, schedule: &[usize]) -> Case {
    let tokens: usize = schedule.iter().sum();
    let vocabulary = model.config.vocabulary;
    let id = |row: usize, position: usize| (row * 31 + (position + 3) * (position * 7 + 11)) % vocabulary;
    let row = |row| (0..tokens).map(|position| id(row, position) as i64).collect();
    Case {
        id: "test".to_owned(),
        token_ids: (0..batch).map(row).collect(),
        texts: None,
        schedule: schedule.to_vec(),
        generate: 0,
        forced: None,
    }
}

pub(crate) fn of_step<'a>(capture: &'a Capture, step: usize, activation: &str) -> &'a Tensor {
    capture.require(&TensorName::of_step(step, activation)).unwrap()
}

pub(crate) fn of_case<'a>(capture: &'a Capture, name: &str) -> &'a Tensor {
    capture.require(&TensorName::of_case(name)).unwrap()
}

pub(crate) fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.view().to_f32().unwrap()
}

pub(crate) fn ids(tensor: &Tensor) -> Vec<i64> {
    tensor.view().to_i64().unwrap()
}

/// The values of one batch row of a tensor whose first axis is the batch.
pub(crate) fn row(tensor: &Tensor, row: usize) -> Vec<f32> {
    let values = floats(tensor);
    let length = values.len() / tensor.shape().dimensions()[0];
    values[row * length..][..length].to_vec()
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
