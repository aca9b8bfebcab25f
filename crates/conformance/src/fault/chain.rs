//! A chained run as a sequence of replays: every activation is computed from what was computed before it, by a
//! component that a fault may have replaced. Without a fault it gives the bits of a run.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use capture::{Capture, Case, Tensor, TensorName};
use gpt2::Gpt2;
use ndarray::{ArrayD, Axis, Slice};

use super::look::{Look, to_array, to_tensor};

/// What a component makes of an activation.
pub(crate) type Alter<'a> = &'a dyn Fn(&Look<'_>) -> Result<Option<Tensor>>;

/// What is computed in one go within a layer, in execution order.
const UNITS: [&[&str]; 13] = [
    &["ln_1.normalized", "ln_1"],
    &["attn.q", "attn.k", "attn.v"],
    &["attn.cached_k", "attn.cached_v"],
    &["attn.scores"],
    &["attn.mask"],
    &["attn.probs"],
    &["attn.context"],
    &["attn.out"],
    &["mid"],
    &["ln_2.normalized", "ln_2"],
    &["mlp.fc"],
    &["mlp.act"],
    &["mlp.out"],
];
/// What ends a layer.
const LAST_UNIT: &[&str] = &["out"];
/// What is computed after the layers.
const HEAD: [&[&str]; 4] = [
    &["ln_f.normalized", "ln_f"],
    &["logits"],
    &["logits.last"],
    &["probs.t0.5", "probs.t1", "probs.t2", "token"],
];

/// Runs a case with altered components. `correct` is the run without a fault: what no component computes (weight
/// digests, the ids that were fed) is taken from it, and so is the list of what a run holds.
pub(crate) fn run(model: &Gpt2, case: &Case, correct: &Capture, alter: Alter<'_>) -> Result<Capture> {
    let extended = with_generation(case)?;
    let mut computed = Capture::default();
    for step in 0..extended.schedule.len() {
        for unit in units(model.config.layers) {
            let wanted = |name: &TensorName| name.step == Some(step) && unit.contains(&name.activation);
            let fresh = model.replay(&extended, &computed, &wanted)?;
            let fresh = altered(model, &extended, &computed, fresh, alter)?;
            computed.tensors.extend(fresh);
        }
    }
    let mut capture = Capture::default();
    for (name, correct) in &correct.tensors {
        let tensor = match computed.tensors.get(name) {
            Some(tensor) => tensor.clone(),
            None if name.activation.ends_with(".attn.cache") => {
                cache(model, case, &computed, name, correct, alter)?
            }
            None if name.activation == "generated" => generated(case, &computed)?,
            None if name.activation == "generated.logits" => generated_logits(case, &computed)?,
            None => correct.clone(),
        };
        capture.tensors.insert(name.clone(), tensor);
    }
    Ok(capture)
}

fn altered(
    model: &Gpt2,
    case: &Case,
    inputs: &Capture,
    fresh: Capture,
    alter: Alter<'_>,
) -> Result<BTreeMap<TensorName, Tensor>> {
    let alter = |(name, tensor): (TensorName, Tensor)| {
        let altered = alter(&Look::new(model, case, &name, inputs, &tensor))?;
        Ok((name, altered.unwrap_or(tensor)))
    };
    fresh.tensors.into_iter().map(alter).collect()
}

fn units(layers: usize) -> Vec<Vec<String>> {
    let named = |prefix: String, unit: &[&str]| unit.iter().map(|part| format!("{prefix}{part}")).collect();
    let mut units: Vec<Vec<String>> = vec![named(String::new(), &["embd"])];
    for layer in 0..layers {
        units.extend(UNITS.iter().chain([&LAST_UNIT]).map(|unit| named(format!("h.{layer}."), unit)));
    }
    units.extend(HEAD.iter().map(|unit| named(String::new(), unit)));
    units
}

/// The case with the tokens that it is fed while it generates, as further steps of one token.
fn with_generation(case: &Case) -> Result<Case> {
    let mut extended = Case { generate: 0, forced: None, ..case.clone() };
    let fed = case.generate.saturating_sub(1);
    if fed > 0 {
        let forced = case.forced.as_ref().context("generation is fed tokens that are known")?;
        for (row, forced) in extended.token_ids.iter_mut().zip(forced) {
            row.extend_from_slice(&forced[..fed]);
        }
        extended.schedule.extend(std::iter::repeat_n(1, fed));
    }
    Ok(extended)
}

/// The whole cache of a layer after a step: what is retrieved, in its slots, and zeros in all others.
fn cache(
    model: &Gpt2,
    case: &Case,
    computed: &Capture,
    name: &TensorName,
    correct: &Tensor,
    alter: Alter<'_>,
) -> Result<Tensor> {
    let mut slots: ArrayD<f32> = ArrayD::zeros(correct.shape().dimensions());
    for (index, part) in ["cached_k", "cached_v"].into_iter().enumerate() {
        let retrieved = TensorName {
            step: name.step,
            activation: name.activation.replace(".attn.cache", &format!(".attn.{part}")),
        };
        let retrieved = to_array(computed.require(&retrieved)?)?;
        let length = retrieved.len_of(Axis(1));
        slots
            .index_axis_mut(Axis(0), index)
            .slice_axis_mut(Axis(1), Slice::from(..length))
            .assign(&retrieved);
    }
    let slots = to_tensor(&slots)?;
    let altered = alter(&Look::new(model, case, name, computed, &slots))?;
    Ok(altered.unwrap_or(slots))
}

/// Steps in which a token is generated: the last of the prompt and those that follow it.
fn generating(case: &Case) -> impl Iterator<Item = usize> {
    let first = case.schedule.len() - 1;
    first..first + case.generate
}

fn generated(case: &Case, computed: &Capture) -> Result<Tensor> {
    let mut ids = vec![0; case.batch() * case.generate];
    for (n, step) in generating(case).enumerate() {
        let tokens = computed.require(&TensorName::of_step(step, "token"))?.view().to_i64()?;
        for (row, token) in tokens.into_iter().enumerate() {
            ids[row * case.generate + n] = token;
        }
    }
    Ok(Tensor::from_i64(&[case.batch(), case.generate], &ids)?)
}

fn generated_logits(case: &Case, computed: &Capture) -> Result<Tensor> {
    let steps: Vec<ArrayD<f32>> = generating(case)
        .map(|step| to_array(computed.require(&TensorName::of_step(step, "logits.last"))?))
        .collect::<Result<_>>()?;
    let views: Vec<_> = steps.iter().map(|step| step.view()).collect();
    to_tensor(&ndarray::stack(Axis(1), &views)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_fault_it_gives_the_bits_of_a_run() {
        let folder = tempfile::tempdir().unwrap();
        gpt2::synthetic::write(folder.path(), &"2,16,2,48,16".parse().unwrap()).unwrap();
        let model = Gpt2::load(folder.path()).unwrap();
        let mut case = Case {
            id: "chain".to_owned(),
            token_ids: vec![vec![1, 2, 3, 4], vec![5, 6, 7, 8]],
            texts: None,
            schedule: vec![2, 1, 1],
            generate: 3,
            forced: None,
        };
        let free = model.run(&case).unwrap();
        let ids = free.tensors[&TensorName::of_case("generated")].view().to_i64().unwrap();
        case.forced = Some(ids.chunks(3).map(<[i64]>::to_vec).collect());
        let correct = model.run(&case).unwrap();
        assert_eq!(run(&model, &case, &correct, &|_| Ok(None)).unwrap(), correct);
        let halved = run(&model, &case, &correct, &|look| {
            if look.is(1, "mlp.act") {
                super::super::look::give(look, &(look.array()? * 0.5))
            } else {
                Ok(None)
            }
        });
        let halved = halved.unwrap();
        let differs = |name: &str| {
            halved.tensors[&TensorName::of_step(0, name)] != correct.tensors[&TensorName::of_step(0, name)]
        };
        assert!(differs("h.1.mlp.act") && differs("h.1.mlp.out") && differs("logits"));
        assert!(!differs("h.1.mlp.fc") && !differs("h.0.out"), "nothing before it");
    }
}
