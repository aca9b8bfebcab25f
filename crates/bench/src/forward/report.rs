//! The measurement for people and for programs.

use serde_json::{Value, json};

use super::Measurement;

/// Name and version of the JSON.
const SCHEMA: &str = "trialplate/bench-forward/1";
/// Threads of others from which on times are doubtful. A library that waits for its threads in a busy loop suffers more
/// from neighbours than one that does not, so the ratio is doubtful, too.
const DISTURBING: f64 = 0.25;

/// Best and median.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Summary {
    best: f64,
    median: f64,
}

/// A table in Markdown, and what has to be known to read it.
pub fn markdown(measurement: &Measurement) -> String {
    let Measurement { model, tokens, machine, versions, logits, .. } = measurement;
    let (rust, torch) = (summary(&measurement.rust), summary(&measurement.torch));
    let milliseconds = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
    let ratio = rust.over(torch);
    let rows = [
        (
            format!("Rust GPT-2 {}", env!("CARGO_PKG_VERSION")),
            milliseconds(rust.best),
            milliseconds(rust.median),
        ),
        (
            format!("PyTorch {} eager (transformers {})", versions.torch, versions.transformers),
            milliseconds(torch.best),
            milliseconds(torch.median),
        ),
        ("ratio Rust / PyTorch".to_owned(), format!("{:.2}", ratio.best), format!("{:.2}", ratio.median)),
    ];
    let header = format!("forward pass of {model}, {tokens} tokens, f32");
    let wide = rows.iter().map(|(name, ..)| name.len()).chain([header.len()]).max().unwrap_or(0);
    let mut table = format!("| {header:wide$} | {:>11} | {:>11} |\n", "best", "median");
    table += &format!("|{}|{}:|{}:|\n", "-".repeat(wide + 2), "-".repeat(12), "-".repeat(12));
    for (name, best, median) in rows {
        table += &format!("| {name:wide$} | {best:>11} | {median:>11} |\n");
    }
    format!(
        "{table}\n\
         - machine: {}; PyTorch uses {}\n\
         - other work: {}\n\
         - date: {}\n\
         - measurements: {} of each, in turns, after warm-up; same weights file, same token ids\n\
         - same work: the logits differ by at most {:.2e}; the largest is {:.2e}\n",
        machine.describe(),
        versions.capability,
        describe_others(measurement.others),
        machine.date,
        measurement.rust.len(),
        logits.max_abs,
        logits.largest,
    )
}

fn describe_others(others: Option<f64>) -> String {
    let Some(threads) = others else { return "not known".to_owned() };
    let doubt =
        if threads > DISTURBING { ": the machine was not at rest, so these times say little" } else { "" };
    format!("{threads:.1} threads on average{doubt}")
}

/// The same, with every single time; seconds.
pub fn json(measurement: &Measurement) -> Value {
    let (rust, torch) = (summary(&measurement.rust), summary(&measurement.torch));
    let ratio = rust.over(torch);
    json!({
        "schema": SCHEMA,
        "model": measurement.model,
        "tokens": measurement.tokens,
        "machine": measurement.machine,
        "other_threads": measurement.others,
        "rust": {
            "version": env!("CARGO_PKG_VERSION"),
            "best": rust.best,
            "median": rust.median,
            "seconds": measurement.rust,
        },
        "torch": {
            "versions": measurement.versions,
            "best": torch.best,
            "median": torch.median,
            "seconds": measurement.torch,
        },
        "ratio": { "best": ratio.best, "median": ratio.median },
        "logits": measurement.logits,
    })
}

impl Summary {
    fn over(self, other: Self) -> Self {
        Self { best: self.best / other.best, median: self.median / other.median }
    }
}

/// Of at least one time; of none, nothing is a number.
fn summary(seconds: &[f64]) -> Summary {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let (half, last) = (sorted.len() / 2, sorted.len().saturating_sub(1));
    Summary { best: at(0), median: f64::midpoint(at(half), at(last - last.min(half))) }
}

#[cfg(test)]
mod tests {
    use super::super::{Distance, Machine, Versions};
    use super::*;

    fn measurement() -> Measurement {
        Measurement {
            model: "synthetic:gpt2".to_owned(),
            tokens: 64,
            machine: Machine {
                cpu: "Abacus 3000".to_owned(),
                cores: 2,
                threads: 1,
                date: "2026-11-24".to_owned(),
                release: true,
            },
            others: Some(0.02),
            versions: Versions {
                torch: "2.15.0".to_owned(),
                transformers: "5.23.0".to_owned(),
                threads: 1,
                capability: "AVX512".to_owned(),
            },
            rust: vec![0.05, 0.04, 0.06],
            torch: vec![0.1, 0.08, 0.09, 0.2],
            logits: Distance { max_abs: 1.5e-5, largest: 12.0 },
        }
    }

    #[test]
    fn the_table_says_what_was_measured_where() {
        let expected = "\
| forward pass of synthetic:gpt2, 64 tokens, f32 |        best |      median |
|------------------------------------------------|------------:|------------:|
| Rust GPT-2 0.2.0                               |    40.00 ms |    50.00 ms |
| PyTorch 2.15.0 eager (transformers 5.23.0)     |    80.00 ms |    95.00 ms |
| ratio Rust / PyTorch                           |        0.50 |        0.53 |

- machine: Abacus 3000, 2 cores, 1 thread; PyTorch uses AVX512
- other work: 0.0 threads on average
- date: 2026-11-24
- measurements: 3 of each, in turns, after warm-up; same weights file, same token ids
- same work: the logits differ by at most 1.50e-5; the largest is 1.20e1
";
        assert_eq!(markdown(&measurement()), expected);
    }

    #[test]
    fn times_beside_other_work_are_doubted() {
        let beside = |others| markdown(&Measurement { others, ..measurement() });
        assert!(beside(Some(3.4)).contains("3.4 threads on average: the machine was not at rest"));
        assert!(beside(None).contains("other work: not known"));
    }

    #[test]
    fn json_says_the_same() {
        let told = json(&measurement());
        assert_eq!(told["schema"], SCHEMA);
        assert_eq!((&told["rust"]["best"], &told["ratio"]["best"]), (&json!(0.04), &json!(0.5)));
        assert_eq!(told["torch"]["seconds"], json!([0.1, 0.08, 0.09, 0.2]));
        assert_eq!(told["machine"]["cpu"], "Abacus 3000");
        assert_eq!(told["logits"]["max_abs"], 1.5e-5);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let of = |seconds: &[f64]| summary(seconds);
        assert_eq!(of(&[3.0]), Summary { best: 3.0, median: 3.0 });
        assert_eq!(of(&[3.0, 1.0]), Summary { best: 1.0, median: 2.0 });
        assert_eq!(of(&[9.0, 1.0, 2.0]), Summary { best: 1.0, median: 2.0 });
        assert_eq!(of(&[9.0, 1.0, 2.0, 4.0]), Summary { best: 1.0, median: 3.0 });
        assert!(of(&[]).median.is_nan());
    }
}
