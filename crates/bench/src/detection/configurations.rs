//! Correct models of every awkward kind: no gate may refuse a correct implementation of any of them.

use gpt2::synthetic::Stored;

/// What is done to the weights that a synthetic model would have; by the tensor's name.
pub(super) type Alter = fn(&str, &mut [f32]);

/// A model, and what of the gate is run on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Configuration {
    /// What is awkward about it.
    pub name: &'static str,
    /// Sizes of a synthetic model; none for the bundled one.
    pub sizes: Option<&'static str>,
    /// Its weights where they are not the synthetic ones.
    pub weights: Option<(Stored, Alter)>,
    /// The cases.
    pub cases: &'static [&'static str],
    /// Whether the short panel of faults is put in.
    pub faults: bool,
    /// Whether the programs in Python are subjects, too.
    pub python: bool,
}

/// A prompt with generation, and rows that are decoded with a cache.
const FEW: &[&str] = &["two-tokens", "batch-decode"];
/// The same with a text of 48 tokens, decoded from the first.
const MORE: &[&str] = &["two-tokens", "paragraph", "decode-from-first"];

const PLAIN: Configuration =
    Configuration { name: "", sizes: None, weights: None, cases: FEW, faults: false, python: false };

/// All of them.
pub(super) const CONFIGURATIONS: [Configuration; 18] = [
    Configuration { name: "bundled", cases: MORE, faults: true, python: true, ..PLAIN },
    Configuration { faults: true, ..sized("24 layers", "24,32,4,97,32") },
    Configuration { python: true, ..sized("width 40", "2,40,4,97,32") },
    Configuration { cases: MORE, ..sized("width 64", "2,64,4,97,64") },
    sized("width 96", "2,96,6,97,32"),
    Configuration { cases: MORE, ..sized("width 768", "2,768,12,500,64") },
    Configuration { python: true, ..sized("width 1280", "1,1280,20,500,32") },
    altered("weights × 10", "2,64,4,97,32", |_, values| scale(values, 10.0)),
    altered("weights × 0.1", "2,64,4,97,32", |_, values| scale(values, 0.1)),
    Configuration {
        python: true,
        // The standard deviation of these weights is 2.5/√768; it becomes 0.3.
        ..altered("saturated softmax", "2,768,12,97,32", |name, values| {
            if name.ends_with("c_attn.weight") {
                scale(values, 3.33);
            }
        })
    },
    Configuration { python: true, ..altered("norms 0.01 to 12", "2,64,4,97,32", wide_norms) },
    Configuration { faults: true, ..sized("outlier channel of 15", "2,128,4,97,32+outlier") },
    Configuration {
        python: true,
        ..altered("outlier channel of 300", "2,128,4,97,32+outlier", |name, values| {
            if name == "wpe.weight" {
                values.iter_mut().filter(|value| **value > 10.0).for_each(|value| *value *= 20.0);
            }
        })
    },
    altered("tiny variance", "2,64,4,97,32", |name, values| {
        if ["wte.weight", "wpe.weight"].contains(&name) || name.contains("c_proj") {
            scale(values, 1e-3);
        }
    }),
    altered("no variance but in a few channels", "2,96,6,97,32", |name, values| {
        if ["wte.weight", "wpe.weight"].contains(&name) {
            values.chunks_mut(96).for_each(|row| row[3..].fill(0.25));
        }
    }),
    Configuration { weights: Some((Stored::F16, as_they_are)), ..sized("stored as f16", "2,64,4,97,32") },
    sized("one head", "2,64,1,97,32"),
    Configuration { faults: true, ..sized("20 heads of 4", "2,80,20,97,32") },
];

const fn sized(name: &'static str, sizes: &'static str) -> Configuration {
    Configuration { name, sizes: Some(sizes), ..PLAIN }
}

const fn altered(name: &'static str, sizes: &'static str, alter: Alter) -> Configuration {
    Configuration { weights: Some((Stored::F32, alter)), ..sized(name, sizes) }
}

impl Configuration {
    /// Who is judged on it.
    pub(super) fn subjects(&self) -> &'static [&'static str] {
        if self.python { &["rust", "naive", "torch", "tinygrad"] } else { &["rust", "naive"] }
    }
}

fn as_they_are(_: &str, _: &mut [f32]) {}

fn scale(values: &mut [f32], factor: f32) {
    values.iter_mut().for_each(|value| *value *= factor);
}

/// From 0.01 to 12, the same ratio from each channel to the next.
fn wide_norms(name: &str, values: &mut [f32]) {
    if name.contains("ln_") && name.ends_with("weight") {
        let last = (values.len() - 1) as f32;
        for (channel, value) in values.iter_mut().enumerate() {
            *value = 0.01 * 1200_f32.powf(channel as f32 / last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_forty_gates_and_no_name_twice() {
        let gates: usize = CONFIGURATIONS.iter().map(|one| one.subjects().len()).sum();
        assert!(gates >= 40, "{gates}");
        let mut names: Vec<&str> = CONFIGURATIONS.iter().map(|one| one.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CONFIGURATIONS.len());
    }

    #[test]
    fn sizes_can_be_read_and_norms_reach_from_end_to_end() {
        for sizes in CONFIGURATIONS.iter().filter_map(|one| one.sizes) {
            sizes.parse::<gpt2::synthetic::SyntheticSpec>().unwrap();
        }
        let mut values = [1.0; 64];
        wide_norms("h.0.ln_1.weight", &mut values);
        assert!((values[0] - 0.01).abs() < 1e-6 && (values[63] - 12.0).abs() < 1e-3);
        let mut bias = [0.5; 64];
        wide_norms("h.0.ln_1.bias", &mut bias);
        assert!(bias.iter().all(|value| value.to_bits() == 0.5_f32.to_bits()));
    }
}
