//! 08 to 12: logits, selection, temperature, generation.

use anyhow::Result;
use capture::{Precision, Tensor, TensorName};
use half::f16;
use ndarray::{ArcArray2, ArrayViewMut1, Axis, Ix3};

use super::super::look::{give, to_array};
use super::super::{Carrier, Evidence, Fault, Injection, Look};
use super::arithmetic::{grown, softmax};

pub(super) const FAULTS: &[Fault] = &[
    Fault { id: "head-before-final-norm", injection: Injection::Component(before_final_norm) },
    Fault {
        id: "head-weights-1-000002",
        injection: Injection::Component(|look| other_head(look, |head| head.mapv_inplace(grown))),
    },
    Fault {
        id: "head-row-permuted",
        injection: Injection::Component(|look| other_head(look, |head| rotate(head.row_mut(0)))),
    },
    Fault { id: "nan-on-both-sides", injection: Injection::Evidence(nan_on_both_sides) },
    Fault { id: "logits-in-f64", injection: Injection::Evidence(in_f64) },
    Fault { id: "logits-of-first-token", injection: Injection::Component(of_first_token) },
    Fault { id: "argmax-over-rows", injection: Injection::Evidence(argmax_over_rows) },
    Fault { id: "argmax-last-of-equals", injection: Injection::Component(last_of_equals) },
    Fault { id: "token-off-by-one", injection: Injection::Component(off_by_one) },
    Fault {
        id: "temperature-ignored",
        injection: Injection::Component(|look| probabilities(look, |_| 1.0, |x| x)),
    },
    Fault {
        id: "temperature-squared",
        injection: Injection::Component(|look| probabilities(look, |t| t * t, |x| x)),
    },
    Fault {
        id: "softmax-in-f16",
        injection: Injection::Component(|look| {
            probabilities(look, |t| t, |x| f16::from_f32(x.exp()).to_f32().ln())
        }),
    },
    Fault { id: "generation-starts-late", injection: Injection::Evidence(starts_late) },
    Fault { id: "generation-takes-the-second-best", injection: Injection::Evidence(second_best) },
];

/// Rotates a row by one channel.
pub(super) fn rotate(mut row: ArrayViewMut1<'_, f32>) {
    let mut values = row.to_vec();
    values.rotate_left(1);
    row.assign(&ndarray::arr1(&values));
}

/// Logits by a head that is another only while they are computed: it stays tied.
fn other_head(look: &Look<'_>, change: fn(&mut ArcArray2<f32>)) -> Result<Option<Tensor>> {
    if look.part != "logits" {
        return Ok(None);
    }
    let mut model = look.model.clone();
    change(&mut model.head);
    let x = look.other("ln_f")?.into_dimensionality::<Ix3>()?;
    give(look, &model.unembed(x.view()))
}

fn before_final_norm(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.part != "logits" {
        return Ok(None);
    }
    let stream = look.stream()?.into_dimensionality::<Ix3>()?;
    give(look, &look.model.unembed(stream.view()))
}

/// In the subject and in every f32 reference. (In the f64 ones, the quorum would refuse it.)
fn nan_on_both_sides(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let logits = TensorName::of_step(0, "logits");
    let left = &mut evidence.subject;
    if let Some(tensor) = left.tensors.get_mut(&logits) {
        *tensor = with_nan(tensor)?;
    }
    for reference in evidence.references().collect::<Vec<_>>() {
        evidence.change_reference(&reference, Precision::F32, |name, tensor| {
            (*name == logits).then(|| with_nan(&tensor)).transpose()
        })?;
    }
    Ok(())
}

/// With NaN as the first element.
fn with_nan(tensor: &Tensor) -> Result<Tensor> {
    let mut values = tensor.view().to_f32()?;
    if let Some(first) = values.first_mut() {
        *first = f32::NAN;
    }
    Ok(Tensor::from_f32(tensor.shape().dimensions(), &values)?)
}

fn in_f64(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let left = &mut evidence.subject;
    for (_, tensor) in left.tensors.iter_mut().filter(|(name, _)| name.activation == "logits") {
        *tensor = Tensor::from_f64(tensor.shape().dimensions(), &tensor.view().to_f64_lossy())?;
    }
    Ok(())
}

fn of_first_token(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.part != "logits.last" {
        return Ok(None);
    }
    give(look, &look.other("logits")?.index_axis(Axis(1), 0).to_owned())
}

/// `[V]` in place of `[B]`.
fn argmax_over_rows(carrier: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let vocabulary = carrier.model.config.vocabulary;
    let run = &mut evidence.subject;
    for (_, tensor) in run.tensors.iter_mut().filter(|(name, _)| name.activation == "token") {
        *tensor = Tensor::from_i64(&[vocabulary], &vec![0; vocabulary])?;
    }
    Ok(())
}

fn last_of_equals(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.part != "token" {
        return Ok(None);
    }
    let logits = look.other("logits.last")?;
    let last = |row: ndarray::ArrayViewD<'_, f32>| {
        let row: Vec<f32> = row.iter().copied().collect();
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter().rposition(|logit| *logit >= largest).unwrap_or(0) as i64
    };
    let tokens: Vec<i64> = logits.outer_iter().map(last).collect();
    Ok(Some(Tensor::from_i64(&[tokens.len()], &tokens)?))
}

fn off_by_one(look: &Look<'_>) -> Result<Option<Tensor>> {
    if look.part != "token" {
        return Ok(None);
    }
    let vocabulary = look.model.config.vocabulary as i64;
    let tokens: Vec<i64> =
        look.correct.view().to_i64()?.into_iter().map(|token| (token + 1) % vocabulary).collect();
    Ok(Some(Tensor::from_i64(&[tokens.len()], &tokens)?))
}

/// The probabilities at another temperature, or from logits that were rounded on the way.
fn probabilities(
    look: &Look<'_>,
    temperature: fn(f32) -> f32,
    round: fn(f32) -> f32,
) -> Result<Option<Tensor>> {
    let Some(asked) = look.part.strip_prefix("probs.t").and_then(|t| t.parse::<f32>().ok()) else {
        return Ok(None);
    };
    let mut scaled = look.other("logits.last")? / temperature(asked);
    for mut row in scaled.lanes_mut(Axis(1)) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.mapv_inplace(|x| round(x - largest));
    }
    give(look, &softmax(scaled, Axis(1)))
}

/// The first generated token is left out, and the last one given twice.
fn starts_late(_: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    generated(evidence, |ids, generate| {
        for row in ids.chunks_mut(generate) {
            row.rotate_left(1);
            if generate > 1 {
                row[generate - 1] = row[generate - 2];
            }
        }
    })
}

fn second_best(carrier: &Carrier, evidence: &mut Evidence<'_>) -> Result<()> {
    let logits = to_array(carrier.run.require(&TensorName::of_case("generated.logits"))?)?;
    let second = |row: ndarray::ArrayViewD<'_, f32>| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        order.get(1).copied().unwrap_or(0) as i64
    };
    generated(evidence, |ids, generate| {
        for (index, id) in ids.iter_mut().enumerate() {
            *id = second(logits.index_axis(Axis(0), index / generate).index_axis(Axis(0), index % generate));
        }
    })
}

/// Changes the generated ids, `[B, N]`.
fn generated(evidence: &mut Evidence<'_>, change: impl Fn(&mut [i64], usize)) -> Result<()> {
    let name = TensorName::of_case("generated");
    if let Some(tensor) = evidence.subject.tensors.get_mut(&name) {
        let mut ids = tensor.view().to_i64()?;
        let generate = tensor.shape().dimensions().get(1).copied().unwrap_or(1).max(1);
        change(&mut ids, generate);
        *tensor = Tensor::from_i64(tensor.shape().dimensions(), &ids)?;
    }
    Ok(())
}
