//! Faults that are no mutation of the graph: of captures, of references, and of the programs that give them. None names an
//! activation; they go by shapes, rules and roles.

use anyhow::{Context, Result};
use capture::{Capture, DType, Precision, Shape, Tensor, TensorName};
use checkpoint_spec::{ActivationSpec, Derivation, Judgement, Kind, Rule};
use graph::Operation;

use super::{Carrier, Conduct, Evidence, Injection};

/// All of them, by the id that a spec declares.
pub(super) const CATALOGUE: &[(&str, Injection)] = &[
    ("capture-empty", Injection::Evidence(empty)),
    ("activation-unexpected", Injection::Evidence(unexpected)),
    ("activation-missing", Injection::Evidence(missing)),
    ("activations-swapped", Injection::Evidence(swapped)),
    ("head-not-tied", Injection::Evidence(not_tied)),
    ("qkv-head-count-halved", Injection::Evidence(halve_heads)),
    ("cache-end-short", Injection::Evidence(end_short)),
    ("cache-shape-heads-for-positions", Injection::Evidence(heads_for_positions)),
    ("cache-not-contiguous", Injection::Evidence(not_contiguous)),
    ("cache-not-zeroed", Injection::Evidence(not_zeroed)),
    ("nan-on-both-sides", Injection::Evidence(nan_on_both_sides)),
    ("logits-in-f64", Injection::Evidence(in_f64)),
    ("argmax-over-rows", Injection::Evidence(argmax_over_rows)),
    ("generation-starts-late", Injection::Evidence(starts_late)),
    ("generation-takes-the-second-best", Injection::Evidence(second_best)),
    ("reference-returns-the-subject", Injection::Evidence(reference_returns_the_subject)),
    ("reference-returns-an-old-capture", Injection::Evidence(reference_returns_an_old_capture)),
    ("reference-crashes", Injection::Worker(Conduct::Crashes)),
    ("reference-hangs", Injection::Worker(Conduct::Hangs)),
];

fn empty(_: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    evidence.subject = Capture::default();
    Ok(())
}

fn unexpected(_: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    let name = TensorName::of_step(0, "unasked");
    evidence.subject.tensors.insert(name, Tensor::from_f32(&[1], &[0.0])?);
    Ok(())
}

/// One activation in the middle of the checkpoint, in the last layer.
fn missing(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, checkpoint: usize) -> Result<()> {
    let spec = &carrier.setting.specs.specs[checkpoint];
    let activation = &spec.activations[spec.activations.len() / 2];
    let of_it = carrier.required(|found| found == activation);
    let last = of_it.last().context("the checkpoint has activations")?;
    evidence.subject.tensors.retain(|name, _| name.activation != last.name.activation);
    Ok(())
}

/// The last activations of the stream of the first two layers, each under the other's name.
fn swapped(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    let stream = carrier.setting.specs.family.roles.stream.last().context("a family has a stream")?;
    for required in carrier.required(|found| found.name == *stream) {
        let other = match required.layer {
            Some(0) => stream.replace("{l}", "1"),
            Some(1) => stream.replace("{l}", "0"),
            _ => continue,
        };
        let other = TensorName { step: required.name.step, activation: other };
        let tensor = carrier.run.require(&other)?.clone();
        evidence.subject.tensors.insert(required.name.clone(), tensor);
    }
    Ok(())
}

fn not_tied(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    change(carrier, evidence, is_derived(Derivation::One), |_, tensor| {
        Ok(Some(Tensor::new(tensor.dtype(), tensor.shape().clone(), vec![0; tensor.bytes().len()])?))
    })
}

/// The same values under another shape, as half as many heads give them.
fn halve_heads(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    let by_head = |found: &ActivationSpec| {
        let shape: Vec<&str> = found.shape.iter().map(String::as_str).collect();
        shape.ends_with(&["S", "H", "Dh"])
    };
    change(carrier, evidence, by_head, |_, tensor| {
        let mut shape = tensor.shape().dimensions().to_vec();
        let [.., heads, width] = shape.as_mut_slice() else { return Ok(None) };
        if !heads.is_multiple_of(2) {
            return Ok(None);
        }
        (*heads, *width) = (*heads / 2, *width * 2);
        Ok(Some(Tensor::new(tensor.dtype(), Shape::new(shape)?, tensor.bytes().to_vec())?))
    })
}

fn end_short(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    change(carrier, evidence, continues, |name, cached| {
        let positions = cached.shape().dimensions()[1];
        let short: Vec<usize> = (0..positions - 1).collect();
        (name.step > Some(0) && positions > 1).then(|| at_positions(cached, &short)).transpose()
    })
}

/// As many positions as there are heads, whatever was stored.
fn heads_for_positions(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    change(carrier, evidence, continues, |_, cached| {
        let &[_, positions, heads, ..] = cached.shape().dimensions() else { return Ok(None) };
        let count = if heads == positions { heads + 1 } else { heads };
        let index: Vec<usize> = (0..count).map(|position| position % positions).collect();
        at_positions(cached, &index).map(Some)
    })
}

fn not_contiguous(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    let cached = carrier.required(continues).into_iter().map(|required| required.name.clone());
    evidence.subject.not_contiguous.extend(cached);
    Ok(())
}

/// The last slot, which nothing was stored in: of `[2, B, C, …]`.
fn not_zeroed(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    change(carrier, evidence, is_derived(Derivation::CacheSlots), |_, cache| {
        let [kinds, batch, slots, inner @ ..] = cache.shape().dimensions() else { return Ok(None) };
        let of_slot: usize = inner.iter().product();
        let mut values = cache.view().to_f32()?;
        for row in 0..kinds * batch {
            values[(row * slots + slots - 1) * of_slot..][..of_slot].fill(7.0);
        }
        Ok(Some(Tensor::from_f32(cache.shape().dimensions(), &values)?))
    })
}

/// In the subject and in every f32 reference. (In the f64 ones, the quorum would refuse it.)
fn nan_on_both_sides(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    let logits = TensorName::of_step(0, carrier.setting.specs.family.roles.logits.clone());
    if let Some(tensor) = evidence.subject.tensors.get_mut(&logits) {
        *tensor = with_nan(tensor)?;
    }
    for reference in evidence.references().collect::<Vec<_>>() {
        evidence.change_reference(&reference, Precision::F32, |name, tensor| {
            (*name == logits).then(|| with_nan(&tensor)).transpose()
        })?;
    }
    Ok(())
}

fn in_f64(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    let logits = &carrier.setting.specs.family.roles.logits;
    let is_it = |found: &ActivationSpec| found.name == *logits;
    change(carrier, evidence, is_it, |_, tensor| widened(tensor).map(Some))
}

/// `[V]` in place of `[B]`.
fn argmax_over_rows(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    let vocabulary = carrier.setting.architecture.sizes.get("V").copied().unwrap_or(1);
    let token = &carrier.setting.specs.family.roles.token;
    let is_it = |found: &ActivationSpec| found.name == *token;
    change(carrier, evidence, is_it, |_, _| Ok(Some(Tensor::from_i64(&[vocabulary], &vec![0; vocabulary])?)))
}

/// The first generated token is left out, and the last one given twice.
fn starts_late(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    generated(carrier, evidence, |ids, generate| {
        for row in ids.chunks_mut(generate) {
            row.rotate_left(1);
            if generate > 1 {
                row[generate - 1] = row[generate - 2];
            }
        }
    })
}

fn second_best(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    let logits = TensorName::of_case(carrier.setting.specs.family.roles.generated_logits.clone());
    let logits = carrier.run.require(&logits)?;
    let width = logits.shape().dimensions().last().copied().unwrap_or(1).max(1);
    let values = logits.view().to_f32()?;
    let second = |row: &[f32]| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        order.get(1).copied().unwrap_or(0) as i64
    };
    generated(carrier, evidence, |ids, _| {
        ids.iter_mut().zip(values.chunks(width)).for_each(|(id, row)| *id = second(row));
    })
}

fn reference_returns_the_subject(carrier: &Carrier<'_>, evidence: &mut Evidence<'_>, _: usize) -> Result<()> {
    let reference = evidence.last_reference()?;
    evidence.change_reference(&reference, Precision::F64, |name, _| {
        let own = carrier.run.tensors.get(name).filter(|own| own.dtype().is_float());
        own.map(widened).transpose()
    })
}

/// The rows of the batch in another order: what the reference gave when it was asked for them so.
fn reference_returns_an_old_capture(
    carrier: &Carrier<'_>,
    evidence: &mut Evidence<'_>,
    _: usize,
) -> Result<()> {
    let reference = evidence.last_reference()?;
    let batch = carrier.case.batch();
    evidence.change_reference(&reference, Precision::F64, |_, tensor| {
        let by_row = tensor.dtype() != DType::U8 && tensor.shape().dimensions().first() == Some(&batch);
        if !by_row || batch < 2 {
            return Ok(None);
        }
        let mut bytes = tensor.bytes().to_vec();
        let row = bytes.len() / batch;
        bytes.rotate_left(row);
        Ok(Some(Tensor::new(tensor.dtype(), tensor.shape().clone(), bytes)?))
    })
}

/// Puts what `with` makes of the subject's tensors of some activations in their place; `None` leaves one.
fn change(
    carrier: &Carrier<'_>,
    evidence: &mut Evidence<'_>,
    of: impl Fn(&ActivationSpec) -> bool,
    with: impl Fn(&TensorName, &Tensor) -> Result<Option<Tensor>>,
) -> Result<()> {
    for required in carrier.required(of) {
        if let Some(tensor) = evidence.subject.tensors.get_mut(&required.name)
            && let Some(changed) = with(&required.name, tensor)?
        {
            *tensor = changed;
        }
    }
    Ok(())
}

/// Changes the generated ids, `[B, N]`.
fn generated(
    carrier: &Carrier<'_>,
    evidence: &mut Evidence<'_>,
    with: impl Fn(&mut [i64], usize),
) -> Result<()> {
    let generated = &carrier.setting.specs.family.roles.generated;
    let is_it = |found: &ActivationSpec| found.name == *generated && found.kind == Kind::Token;
    change(carrier, evidence, is_it, |_, tensor| {
        let mut ids = tensor.view().to_i64()?;
        with(&mut ids, tensor.shape().dimensions().get(1).copied().unwrap_or(1).max(1));
        Ok(Some(Tensor::from_i64(tensor.shape().dimensions(), &ids)?))
    })
}

/// Whether it goes on from step to step.
fn continues(activation: &ActivationSpec) -> bool {
    activation.op.as_ref().is_some_and(Operation::continues)
}

fn is_derived(wanted: Derivation) -> impl Fn(&ActivationSpec) -> bool {
    move |activation| matches!(activation.judgement(), Some(Judgement::Rule(Rule::Derived { from, .. })) if *from == wanted)
}

/// Some positions of `[B, K, …]`.
fn at_positions(cached: &Tensor, positions: &[usize]) -> Result<Tensor> {
    let mut shape = cached.shape().dimensions().to_vec();
    let (batch, before) = (shape[0], shape[1]);
    shape[1] = positions.len();
    let of_position = cached.bytes().len() / (batch * before).max(1);
    let taken = (0..batch).flat_map(|row| positions.iter().map(move |position| row * before + position));
    let bytes = taken.flat_map(|at| &cached.bytes()[at * of_position..][..of_position]).copied().collect();
    Ok(Tensor::new(cached.dtype(), Shape::new(shape)?, bytes)?)
}

/// With NaN as the first element.
fn with_nan(tensor: &Tensor) -> Result<Tensor> {
    let mut values = tensor.view().to_f32()?;
    if let Some(first) = values.first_mut() {
        *first = f32::NAN;
    }
    Ok(Tensor::from_f32(tensor.shape().dimensions(), &values)?)
}

fn widened(tensor: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_f64(tensor.shape().dimensions(), &tensor.view().to_f64_lossy())?)
}
