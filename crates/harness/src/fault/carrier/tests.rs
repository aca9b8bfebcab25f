use checkpoint_spec::{SpecSet, Traits};

use super::*;

/// A model of two layers with a case that decodes and generates.
fn with_carrier(look: impl FnOnce(&Carrier<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    gpt2::synthetic::write(folder.path(), &"2,16,2,48,16".parse().unwrap()).unwrap();
    let specs = SpecSet::bundled("gpt2").unwrap();
    let files = crate::model::Model::open("two layers".to_owned(), folder.path()).unwrap();
    let model = files.oracle(&specs).unwrap();
    let case = Case {
        id: "carried".to_owned(),
        token_ids: vec![vec![1, 2, 3, 4], vec![5, 6, 7, 8]],
        texts: None,
        schedule: vec![2, 1, 1],
        generate: 3,
        forced: Some(vec![vec![1, 2, 3], vec![4, 5, 6]]),
    };
    let setting = Setting {
        specs: &specs,
        architecture: &files.architecture,
        model: Some(&model),
        traits: Traits { preallocated_cache: true, tokenizer: false },
        confidence: 7.0,
        subject: "graph@f32",
    };
    look(&Carrier::new(setting, case).unwrap());
}

fn fault<'a>(carrier: &Carrier<'a>, id: &str) -> &'a FaultSpec {
    carrier.setting.specs.faults().find(|(_, fault)| fault.id == id).unwrap().1
}

#[test]
fn the_capture_is_complete_and_what_no_fault_reaches_stays() {
    with_carrier(|carrier| {
        assert_eq!(carrier.run.tensors.len(), carrier.plan.len());
        assert!(carrier.changed(&carrier.mutated(BTreeMap::new()).unwrap()).is_empty());
        let changed = carrier.changed(&carrier.with(fault(carrier, "ffn-bias-missing")).unwrap());
        let differs = |name: &str| changed.contains(&TensorName::of_step(0, name));
        assert!(differs("h.1.mlp.fc") && differs("h.1.mlp.out") && differs("logits"));
        assert!(!differs("h.1.ln_2") && !differs("h.0.out") && !differs("h.1.attn.cache"));
        assert!(changed.contains(&TensorName::of_case("generated.logits")));
        assert!(changed.contains(&TensorName::of_step(2, "h.1.mlp.fc")), "in every step");
    });
}

#[test]
fn what_is_cached_wrongly_is_carried_into_later_steps() {
    with_carrier(|carrier| {
        let changed = carrier.changed(&carrier.with(fault(carrier, "cache-start-shifted")).unwrap());
        let differs = |step: usize, name: &str| changed.contains(&TensorName::of_step(step, name));
        assert!(!differs(0, "h.0.attn.cached_k") && differs(1, "h.0.attn.cached_k"));
        assert!(!differs(1, "h.0.attn.k") && differs(1, "h.0.attn.scores"));
    });
}

#[test]
fn a_weight_that_is_stored_otherwise_has_another_digest_and_is_everyones() {
    with_carrier(|carrier| {
        let stored = carrier.with(fault(carrier, "embedding-row-permuted")).unwrap();
        let changed: Vec<String> = carrier.changed(&stored).iter().map(ToString::to_string).collect();
        assert!(changed.contains(&"weights.wte.weight".to_owned()), "{changed:?}");
        assert!(changed.contains(&"step0/logits".to_owned()), "the head is tied to it");
        let computed = carrier.with(fault(carrier, "head-row-permuted")).unwrap();
        let changed: Vec<String> = carrier.changed(&computed).iter().map(ToString::to_string).collect();
        assert!(!changed.contains(&"weights.wte.weight".to_owned()), "{changed:?}");
        assert!(changed.contains(&"step0/logits".to_owned()) && !changed.contains(&"step0/embd".to_owned()));
    });
}

/// The largest share of its bound that an element uses; an exact one must be met exactly.
fn share(found: &Tensor, expected: &oracle::Operand<oracle::Bounded>) -> f64 {
    let oracle::Operand::Floats(expected) = expected else { return 0.0 };
    let found = found.view().to_f64_lossy();
    let share = |(at, (found, value)): (usize, (&f64, &f64))| {
        let bound = expected.error.as_ref().map_or(0.0, |error| error[at]) * oracle::UNIT;
        let error = (found - value).abs();
        let same = found.to_bits() == value.to_bits() || (found.is_nan() && value.is_nan());
        if same { 0.0 } else { error / (bound + f64::from(f32::MIN_POSITIVE)) }
    };
    let shares = found.iter().zip(&expected.value.values).enumerate().map(share);
    shares.fold(0.0, |worst, share| if share <= worst { worst } else { share })
}

#[test]
fn what_a_mutation_gives_is_within_its_bound_from_own_inputs() {
    with_carrier(|carrier| {
        let Setting { specs, model, confidence, .. } = carrier.setting;
        let (model, rules) = (model.unwrap(), specs.rules(confidence, Precision::F32));
        let (mut looked_at, mut unfit) = (0, BTreeSet::new());
        for node in model.graph.order(2).unwrap() {
            let (_, _, activation) = specs
                .activations()
                .find(|(_, _, found)| found.name == model.graph.activations[node.activation].name)
                .unwrap();
            for named in specs.changes_at(activation) {
                let computation = Computation::changed(activation.op.as_ref().unwrap(), [named.change]);
                let capture = carrier.mutated([(node.name.clone(), computation.unwrap())].into());
                let Ok(capture) = capture else {
                    unfit.insert(named.id);
                    continue;
                };
                let source = &capture;
                let observed = oracle::Observed { model, case: &carrier.case, source, rules: &rules };
                for step in 0..3 {
                    let name = TensorName::of_step(step, node.name.clone());
                    let expected = observed.under(&name, [named.change]).unwrap();
                    let share = share(&capture.tensors[&name], &expected);
                    assert!(share <= 1.0, "{name} under `{}` uses {share} of its bound", named.id);
                    looked_at += 1;
                }
            }
        }
        assert!(looked_at > 500, "{looked_at}");
        // A matrix that is not square; logits, which have neither queries nor a mask.
        let expected = ["mask-after-softmax", "over-queries", "transposed"];
        assert_eq!(unfit.into_iter().collect::<Vec<_>>(), expected);
    });
}
