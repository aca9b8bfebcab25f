//! Two dumps side by side, without a model: names, shapes, dtypes, then values within bounds that somebody picked.

mod names;
mod terminal;

use std::collections::BTreeSet;

use capture::dump::{Dump, DumpTensor};
use checkpoint_spec::{StatisticsRecord, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tensor_compare::{Criterion, MatchedPair, Tensor, Tolerance};

use crate::exit::Problem;
use crate::map::Map;

/// Version of [`Comparison`].
const SCHEMA: &str = "trialplate/compare/1.0";

/// What errors may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Bounds {
    /// None at all.
    Bits,
    /// `atol + rtol·|expected|`.
    Tolerance {
        /// The absolute part.
        atol: f64,
        /// The relative part.
        rtol: f64,
    },
    /// Units in the last place, of a format or of each tensor's own dtype.
    Ulps {
        /// So many.
        ulps: u64,
        /// `bf16`.
        of: Option<String>,
    },
}

/// How two dumps are laid side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareOptions {
    /// What errors may be.
    pub bounds: Bounds,
    /// Maps for the names of the expected dump and of the one under test.
    pub maps: [Option<Map>; 2],
    /// The number of layers that maps are for.
    pub layers: usize,
}

/// What two dumps have in common, and what not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// `trialplate/compare/1.0`.
    pub schema: String,
    /// The dump that is held to be right.
    pub expected: String,
    /// The dump under test.
    pub actual: String,
    /// The bounds, in words. They are picked, not derived.
    pub bounds: String,
    /// Tensors with values that were compared.
    pub compared: u64,
    /// Tensors of both dumps together, each name once.
    pub names: u64,
    /// The first tensor, in order of name, that is not a pass.
    pub first_divergence: Option<String>,
    /// All tensors in order of name.
    pub tensors: Vec<ComparedTensor>,
    /// Facts that change no verdict.
    pub notes: Vec<String>,
    /// One word.
    pub verdict: Verdict,
    /// The exit code that follows.
    pub exit_code: u8,
}

/// One name of either dump.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparedTensor {
    /// The name.
    pub name: String,
    /// Whether it is within the bounds.
    pub pass: bool,
    /// `missing`, `extra`, `shape`, `dtype`, `empty`, `non_finite`, `bounds`; none where it passes.
    pub reason: Option<String>,
    /// What was found and what was expected, where no values were compared.
    pub found: Option<String>,
    /// The numbers, where values were compared.
    pub statistics: Option<StatisticsRecord>,
}

/// Lays two dumps side by side: the expected one, then the one under test.
///
/// # Errors
/// If bounds or maps cannot be used.
pub fn compare(names: [&str; 2], dumps: [&Dump; 2], options: &CompareOptions) -> Result<Comparison, Problem> {
    let [expected, actual] =
        [0, 1].map(|side| names::named(dumps[side], options.maps[side].as_ref(), options.layers));
    let (expected, actual) = (expected?, actual?);
    let all: BTreeSet<&String> = expected.keys().chain(actual.keys()).collect();
    let mut tensors = Vec::new();
    for name in all {
        tensors.push(match (expected.get(name), actual.get(name)) {
            (Some(_), None) => without(name, "missing", "the dump under test has no such tensor"),
            (None, Some(_)) => without(name, "extra", "the expected dump has no such tensor"),
            (Some(expected), Some(actual)) => laid(name, expected, actual, &options.bounds)?,
            (None, None) => continue,
        });
    }
    let compared = tensors.iter().filter(|tensor| tensor.statistics.is_some()).count() as u64;
    let first = tensors.iter().find(|tensor| !tensor.pass);
    let verdict = match (first, compared) {
        (Some(_), _) => Verdict::Fail,
        (None, 0) => Verdict::Incomplete,
        (None, _) => Verdict::Pass,
    };
    Ok(Comparison {
        schema: SCHEMA.to_owned(),
        expected: names[0].to_owned(),
        actual: names[1].to_owned(),
        bounds: options.bounds.to_string(),
        compared,
        names: tensors.len() as u64,
        first_divergence: first.map(|tensor| tensor.name.clone()),
        tensors,
        notes: dumps.iter().flat_map(|dump| dump.notes.clone()).collect(),
        verdict,
        exit_code: verdict.exit_code(),
    })
}

fn without(name: &str, reason: &str, found: &str) -> ComparedTensor {
    ComparedTensor {
        name: name.to_owned(),
        pass: false,
        reason: Some(reason.to_owned()),
        found: Some(found.to_owned()),
        statistics: None,
    }
}

fn laid(
    name: &str,
    expected: &DumpTensor,
    actual: &DumpTensor,
    bounds: &Bounds,
) -> Result<ComparedTensor, Problem> {
    if expected.shape != actual.shape {
        let found = format!("the shape is {:?}, expected {:?}", actual.shape, expected.shape);
        return Ok(without(name, "shape", &found));
    }
    if expected.dtype != actual.dtype {
        let found = format!("the dtype is {}, expected {}", actual.dtype, expected.dtype);
        return Ok(without(name, "dtype", &found));
    }
    if expected.elements() == 0 {
        return Ok(without(name, "empty", "it has no elements, so nothing was compared"));
    }
    let [expected, actual] = [tensor(expected)?, tensor(actual)?];
    let criterion = bounds.criterion(&expected)?;
    let pair = MatchedPair::new(actual.view(), expected.view())
        .map_err(|error| Problem::internal(format!("{error:?}")))?;
    let statistics = tensor_compare::compare(pair, criterion);
    let not_finite = statistics.non_finite;
    let is_odd = not_finite.actual_nan + not_finite.expected_nan > 0
        || not_finite.actual_infinite != not_finite.same_infinity
        || not_finite.expected_infinite != not_finite.same_infinity;
    let is_within = match (bounds, statistics.max_ulp) {
        (Bounds::Ulps { ulps, of: None }, Some(found)) => found <= *ulps && !is_odd,
        _ => statistics.satisfied(),
    };
    let reason = match (is_odd, is_within) {
        (true, _) => Some("non_finite"),
        (false, false) => Some("bounds"),
        (false, true) => None,
    };
    Ok(ComparedTensor {
        name: name.to_owned(),
        pass: reason.is_none(),
        reason: reason.map(str::to_owned),
        found: None,
        statistics: Some(StatisticsRecord::new(&statistics, 0, None)),
    })
}

/// As the comparer takes it; integers that it has no name for as 64-bit ones.
fn tensor(theirs: &DumpTensor) -> Result<Tensor, Problem> {
    if let Some(tensor) = theirs.to_tensor() {
        return Ok(tensor);
    }
    let values = theirs.to_i64().map_err(|error| Problem::Dump(error.to_string()))?;
    Tensor::from_i64(&theirs.shape, &values).map_err(Problem::internal)
}

impl Bounds {
    fn criterion(&self, expected: &Tensor) -> Result<Criterion, Problem> {
        let classic =
            |atol: f64, rtol: f64| Tolerance::new(atol, rtol).map(Criterion::Classic).map_err(Problem::usage);
        match self {
            _ if !expected.dtype().is_float() => Ok(Criterion::BitExact),
            Self::Bits => Ok(Criterion::BitExact),
            Self::Tolerance { atol, rtol } => classic(*atol, *rtol),
            Self::Ulps { of: None, .. } => classic(0.0, 0.0),
            #[expect(clippy::cast_precision_loss, reason = "so many units are no bound any more")]
            Self::Ulps { ulps, of: Some(format) } => {
                let (last, least) = last_place(format)?;
                classic(*ulps as f64 * least, *ulps as f64 * last)
            }
        }
    }
}

/// The last place of a number of 1 in a format, and its least number.
fn last_place(format: &str) -> Result<(f64, f64), Problem> {
    match format {
        "f32" => Ok((2_f64.powi(-23), 2_f64.powi(-149))),
        "f16" => Ok((2_f64.powi(-10), 2_f64.powi(-24))),
        "bf16" => Ok((2_f64.powi(-7), 2_f64.powi(-133))),
        _ => Err(Problem::Usage(format!("`{format}` is none of f32, f16, bf16"))),
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bits => f.write_str("the same bits"),
            Self::Tolerance { atol, rtol } => write!(f, "{atol:e} + {rtol:e}·|expected|"),
            Self::Ulps { ulps, of: None } => {
                write!(f, "{ulps} units in the last place of each tensor's dtype")
            }
            Self::Ulps { ulps, of: Some(format) } => write!(f, "{ulps} units in the last place of {format}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use capture::dump::DumpDtype;

    use super::*;

    fn dump(tensors: &[(&str, &[usize], &[f32])]) -> Dump {
        let tensor = |shape: &[usize], values: &[f32]| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            DumpTensor::new(DumpDtype::F32, shape, bytes).unwrap()
        };
        let named = tensors.iter().map(|(name, shape, values)| ((*name).to_owned(), tensor(shape, values)));
        Dump { tensors: named.collect(), notes: Vec::new() }
    }

    fn found(expected: &Dump, actual: &Dump, bounds: Bounds) -> Comparison {
        let options = CompareOptions { bounds, maps: [None, None], layers: 4 };
        compare(["a", "b"], [expected, actual], &options).unwrap()
    }

    fn reasons(comparison: &Comparison) -> Vec<Option<&str>> {
        comparison.tensors.iter().map(|tensor| tensor.reason.as_deref()).collect()
    }

    const CLOSE: Bounds = Bounds::Tolerance { atol: 1e-6, rtol: 0.0 };

    #[test]
    fn the_same_passes_and_every_departure_has_a_name() {
        let one = dump(&[("a", &[2], &[1.0, 2.0]), ("b", &[1, 2], &[3.0, 4.0])]);
        assert_eq!(found(&one, &one, Bounds::Bits).verdict, Verdict::Pass);
        for (other, reason) in [
            (dump(&[("a", &[2], &[1.0, 2.0])]), "missing"),
            (dump(&[("a", &[2], &[1.0, 2.0]), ("b", &[2], &[3.0, 4.0])]), "shape"),
            (dump(&[("a", &[2], &[1.0, 2.0]), ("b", &[1, 2], &[3.0, f32::NAN])]), "non_finite"),
            (dump(&[("a", &[2], &[1.0, 2.0]), ("b", &[1, 2], &[3.0, 4.1])]), "bounds"),
        ] {
            let comparison = found(&one, &other, CLOSE);
            assert_eq!((comparison.verdict, comparison.exit_code), (Verdict::Fail, 1), "{reason}");
            assert_eq!(reasons(&comparison), [None, Some(reason)]);
            assert_eq!(comparison.first_divergence.as_deref(), Some("b"));
        }
        let more = dump(&[("a", &[2], &[1.0, 2.0]), ("b", &[1, 2], &[3.0, 4.0]), ("c", &[1], &[0.0])]);
        assert_eq!(reasons(&found(&one, &more, CLOSE)), [None, None, Some("extra")]);
    }

    #[test]
    fn nan_beside_nan_and_nothing_beside_nothing_are_no_pass() {
        let nan = dump(&[("a", &[1], &[f32::NAN])]);
        assert_eq!(reasons(&found(&nan, &nan, CLOSE)), [Some("non_finite")]);
        let empty = dump(&[("a", &[0], &[])]);
        assert_eq!(reasons(&found(&empty, &empty, Bounds::Bits)), [Some("empty")]);
        let infinite = dump(&[("a", &[1], &[f32::NEG_INFINITY])]);
        assert_eq!(reasons(&found(&infinite, &infinite, CLOSE)), [None]);
    }

    #[test]
    fn units_in_the_last_place() {
        let one = dump(&[("a", &[1], &[1.0])]);
        let next = dump(&[("a", &[1], &[1.0 + f32::EPSILON])]);
        let ulps = |ulps, of: Option<&str>| Bounds::Ulps { ulps, of: of.map(str::to_owned) };
        assert_eq!(reasons(&found(&one, &next, ulps(0, None))), [Some("bounds")]);
        assert_eq!(reasons(&found(&one, &next, ulps(1, None))), [None]);
        let coarse = dump(&[("a", &[1], &[1.0078125])]);
        assert_eq!(reasons(&found(&one, &coarse, ulps(4, None))), [Some("bounds")]);
        assert_eq!(reasons(&found(&one, &coarse, ulps(1, Some("bf16")))), [None]);
    }
}
