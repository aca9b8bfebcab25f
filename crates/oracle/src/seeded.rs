//! Weights of a model that nobody trained: seeded numbers of sizes with which everything computes something.
//!
//! Matrices keep the size of what passes through them, results that are added to the stream shrink with depth, norms differ
//! from channel to channel, no bias is zero. The same seed gives the same bytes on every machine: numbers are made from
//! integers and one multiplication each.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use graph::{Architecture, FamilyError, Graph, Layout, Operation, in_layer};
use rayon::prelude::*;
use serde_json::json;

use crate::Weights;

/// What a matrix does to the size of what passes through it: enough for attention that prefers some keys to others.
const GAIN: f32 = 1.6;

/// A tensor's values are `mean + spread·z`, with z about normal.
#[derive(Clone, Copy)]
struct Distribution {
    mean: f32,
    spread: f32,
}

impl Weights {
    /// Weights of every name and shape that the family calls for.
    ///
    /// # Errors
    /// [`FamilyError::Size`] where a dimension has no size.
    pub fn seeded(graph: &Graph, architecture: &Architecture, seed: u64) -> Result<Self, FamilyError> {
        let distributions = distributions(graph, architecture);
        let shapes: Vec<(String, Vec<usize>)> = graph.family.weights(architecture)?.into_iter().collect();
        let fill = |(name, shape): (String, Vec<usize>)| {
            let fallback = Distribution { mean: 0.0, spread: 0.1 };
            let Distribution { mean, spread } = distributions.get(&name).copied().unwrap_or(fallback);
            let of_name = name.bytes().fold(mix(seed), |hash, byte| mix(hash ^ u64::from(byte)));
            let count: usize = shape.iter().product();
            let value = |index: usize| mean + spread * about_normal(of_name, index as u64);
            (name, (shape, (0..count).into_par_iter().map(value).collect()))
        };
        Ok(Self::new(shapes.into_par_iter().map(fill).collect()))
    }

    /// Writes them as `model.safetensors`, under their canonical names behind a prefix where they have none of their own.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write(&self, path: &Path, stored: impl Fn(&str) -> String) -> io::Result<()> {
        let (mut entries, mut end) = (serde_json::Map::new(), 0);
        for (name, shape, values) in self.all() {
            let start = end;
            end += 4 * values.len();
            entries
                .insert(stored(name), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}));
        }
        entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
        let mut header = serde_json::to_vec(&entries)?;
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for value in self.all().flat_map(|(_, _, values)| values) {
            file.write_all(&value.to_le_bytes())?;
        }
        file.flush()
    }
}

/// How large the numbers of each weight are, by what is done with it.
fn distributions(graph: &Graph, architecture: &Architecture) -> BTreeMap<String, Distribution> {
    let added: Vec<&str> = graph
        .activations
        .iter()
        .filter_map(|activation| match &activation.op {
            Some(Operation::Add { y, .. }) => Some(y.as_str()),
            _ => None,
        })
        .collect();
    let shapes = graph.family.weights(architecture).unwrap_or_default();
    let mut found = BTreeMap::new();
    for activation in &graph.activations {
        let Some(op) = &activation.op else { continue };
        for (place, weight) in op.weights().into_iter().enumerate() {
            for layer in 0..architecture.layers {
                let name = in_layer(weight, Some(layer), architecture.layers);
                let Some(shape) = shapes.get(&name) else { continue };
                let mut of_weight = distribution(op, place, shape);
                if place == 0 && added.contains(&activation.name.as_str()) {
                    of_weight.spread /= (2.0 * architecture.layers as f32).sqrt();
                }
                // What is both a table and a matrix is as large as its rows are to be.
                if matches!(op, Operation::Rows { .. }) {
                    found.insert(name, of_weight);
                } else {
                    found.entry(name).or_insert(of_weight);
                }
            }
        }
    }
    found
}

/// Of the weight at that place among those of the operation.
fn distribution(op: &Operation, place: usize, shape: &[usize]) -> Distribution {
    match (op, place, shape) {
        (Operation::LayerNorm { .. } | Operation::RmsNorm { .. }, 0, _) => {
            Distribution { mean: 1.0, spread: 0.15 }
        }
        (Operation::Rows { .. }, 0, _) => Distribution { mean: 0.0, spread: 0.4 },
        (Operation::Linear { layout, .. }, 0, &[first, second]) => {
            let inputs = if *layout == Layout::InOut { first } else { second };
            Distribution { mean: 0.0, spread: GAIN / (inputs as f32).sqrt() }
        }
        _ => Distribution { mean: 0.0, spread: 0.1 },
    }
}

/// The sum of eight uniform numbers, with mean 0 and variance 1.
fn about_normal(seed: u64, index: u64) -> f32 {
    // 8 uniform integers below 2¹⁶ have the mean 4·(2¹⁶ − 1) and the variance 8·(2³² − 1)/12.
    const MEAN: i32 = 4 * 0xffff;
    const DEVIATION: f32 = 53_510.15;
    let words = [mix(seed ^ mix(2 * index)), mix(seed ^ mix(2 * index + 1))];
    let parts = words.into_iter().flat_map(|word| [0, 16, 32, 48].map(|shift| (word >> shift) & 0xffff));
    let sum: i32 = parts.map(|part| i32::try_from(part).unwrap_or(0)).sum();
    (sum - MEAN) as f32 / DEVIATION
}

/// SplitMix64.
fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_about_normal_and_the_same_everywhere() {
        let numbers: Vec<f32> = (0..20_000).map(|index| about_normal(7, index)).collect();
        let mean = numbers.iter().sum::<f32>() / 20_000.0;
        let variance = numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf, "the first number of SplitMix64");
        assert_ne!(about_normal(7, 0).to_bits(), about_normal(8, 0).to_bits());
    }
}
