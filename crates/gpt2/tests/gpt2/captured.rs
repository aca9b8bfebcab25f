//! What a run captures: names, shapes, dtypes, digests, generation.

use std::collections::BTreeMap;

use capture::{CaseError, DType, TensorName};
use gpt2::{Gpt2, RunError};
use sha2::{Digest, Sha256};

use crate::cases::{TINY, case, floats, ids, model, of_case, of_step};

/// Names and shapes of everything in a run of `batch` rows by the given schedule, written out anew.
fn expected(model: &Gpt2, batch: usize, schedule: &[usize]) -> BTreeMap<String, Vec<usize>> {
    let config = &model.config;
    let (d, f, h, dh, v) = (config.width, config.inner, config.heads, config.head_dim(), config.vocabulary);
    let mut all = BTreeMap::new();
    let mut past = 0;
    for (step, &s) in schedule.iter().enumerate() {
        let (b, k) = (batch, past + s);
        let mut add = |name: &str, shape: &[usize]| {
            all.insert(format!("step{step}/{name}"), shape.to_vec());
        };
        add("token_ids", &[b, s]);
        for name in ["embd", "ln_f.normalized", "ln_f"] {
            add(name, &[b, s, d]);
        }
        for l in 0..config.layers {
            let mut add = |name: &str, shape: &[usize]| add(&format!("h.{l}.{name}"), shape);
            for name in ["ln_1", "ln_1.normalized", "attn.context", "attn.out", "mid"] {
                add(name, &[b, s, d]);
            }
            for name in ["ln_2", "ln_2.normalized", "mlp.out", "out"] {
                add(name, &[b, s, d]);
            }
            for name in ["attn.q", "attn.k", "attn.v"] {
                add(name, &[b, s, h, dh]);
            }
            if step == 0 || step == schedule.len() - 1 {
                add("attn.cache", &[2, b, config.context, h, dh]);
            }
            add("attn.cached_k", &[b, k, h, dh]);
            add("attn.cached_v", &[b, k, h, dh]);
            add("attn.scores", &[b, h, s, k]);
            add("attn.mask", &[b, s, k]);
            add("attn.probs", &[b, h, s, k]);
            add("mlp.fc", &[b, s, f]);
            add("mlp.act", &[b, s, f]);
        }
        add("logits", &[b, s, v]);
        add("logits.last", &[b, v]);
        add("token", &[b]);
        for name in ["probs.t0.5", "probs.t1", "probs.t2"] {
            add(name, &[b, v]);
        }
        past = k;
    }
    for (name, _) in model.parameters() {
        all.insert(format!("weights.{name}"), vec![32]);
    }
    all.insert("head.tied".to_owned(), vec![1]);
    all
}

#[test]
fn a_run_captures_every_activation_in_its_shape() {
    let model = model(TINY);
    let schedule = [4, 2, 1, 1];
    let capture = model.run(&case(&model, 2, &schedule)).unwrap();
    let found: BTreeMap<String, Vec<usize>> = capture
        .tensors
        .iter()
        .map(|(name, tensor)| (name.to_string(), tensor.shape().dimensions().to_vec()))
        .collect();
    assert_eq!(found, expected(&model, 2, &schedule));
    for (name, tensor) in &capture.tensors {
        let dtype = match name.activation.as_str() {
            "token_ids" | "token" => DType::I64,
            name if name.starts_with("weights.") || name == "head.tied" => DType::U8,
            _ => DType::F32,
        };
        assert_eq!(tensor.dtype(), dtype, "{name}");
    }
    assert!(capture.not_contiguous.is_empty());
}

#[test]
fn derived_activations_fit_what_they_are_derived_from() {
    let model = model(TINY);
    let case = case(&model, 2, &[3, 1]);
    let capture = model.run(&case).unwrap();
    let (logits, last) =
        (floats(of_step(&capture, 0, "logits")), floats(of_step(&capture, 0, "logits.last")));
    assert_eq!(last[..97], logits[2 * 97..3 * 97]);
    assert_eq!(last[97..], logits[5 * 97..]);
    assert_eq!(ids(of_step(&capture, 1, "token_ids")), [case.token_ids[0][3], case.token_ids[1][3]]);
    let token = ids(of_step(&capture, 0, "token"))[1] as usize;
    assert!(last[97..].iter().all(|&logit| logit <= last[97 + token]));
    let probs = floats(of_step(&capture, 0, "probs.t0.5"));
    assert!((probs[..97].iter().sum::<f32>() - 1.0).abs() < 1e-5);
    assert_eq!(of_case(&capture, "head.tied").bytes(), [1]);
}

#[test]
fn digests_are_of_the_weights_in_memory() {
    let mut model = model(TINY);
    let digests = |model: &Gpt2| {
        let capture = model.run(&case(model, 1, &[1])).unwrap();
        model
            .parameters()
            .into_iter()
            .map(|(name, values)| {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let digest = of_case(&capture, &format!("weights.{name}")).bytes().to_vec();
                assert_eq!(digest, Sha256::digest(&bytes).to_vec(), "{name}");
                (name, digest)
            })
            .collect::<BTreeMap<_, _>>()
    };
    let before = digests(&model);
    model.blocks[1].mlp.c_fc.bias[3] += 1e-6;
    let after = digests(&model);
    let changed: Vec<_> = before.iter().filter(|(name, digest)| &after[*name] != *digest).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].0, "h.1.mlp.c_fc.bias");
}

#[test]
fn writing_to_the_head_or_the_embedding_unties_them() {
    let tied = model(TINY);
    for change in [|model: &mut Gpt2| model.head[[0, 0]] += 1.0, |model: &mut Gpt2| model.wte[[0, 0]] += 1.0]
    {
        let mut model = tied.clone();
        assert!(model.head_is_tied());
        change(&mut model);
        let capture = model.run(&case(&model, 1, &[1])).unwrap();
        assert_eq!(of_case(&capture, "head.tied").bytes(), [0]);
    }
    assert!(tied.head_is_tied(), "clones share weights, but not changes");
}

#[test]
fn generation_is_what_feeding_the_tokens_gives() {
    let model = model(TINY);
    let mut prompt = case(&model, 2, &[4, 1]);
    prompt.generate = 6;
    let capture = model.run(&prompt).unwrap();
    let generated = ids(of_case(&capture, "generated"));
    let logits = floats(of_case(&capture, "generated.logits"));
    assert_eq!(of_case(&capture, "generated.logits").shape().dimensions(), [2, 6, 97]);
    assert!((1..6).any(|n| generated[n] != generated[0]), "a generation that shows something: {generated:?}");

    let mut fed = prompt.clone();
    for (row, ids) in fed.token_ids.iter_mut().enumerate() {
        ids.extend(&generated[row * 6..][..5]);
    }
    fed.schedule = vec![10];
    fed.generate = 0;
    let fed = model.run(&fed).unwrap();
    let fed = floats(of_step(&fed, 0, "logits"));
    for row in 0..2 {
        assert_eq!(logits[row * 6 * 97..][..6 * 97], fed[(row * 10 + 4) * 97..][..6 * 97], "row {row}");
    }
}

#[test]
fn forced_tokens_are_fed_and_own_choices_recorded() {
    let model = model(TINY);
    let mut free = case(&model, 2, &[5]);
    free.generate = 4;
    let own = ids(of_case(&model.run(&free).unwrap(), "generated"));
    let mut forced = free.clone();
    let other = (own[0] + 1) % 97;
    forced.forced = Some(vec![vec![other], vec![]]);
    let capture = model.run(&forced).unwrap();
    let found = ids(of_case(&capture, "generated"));
    assert_eq!(found[0], own[0], "its own choice, not the forced token");
    assert_eq!(found[4..], own[4..], "the other row goes on by itself");

    let mut continued = free.clone();
    continued.token_ids[0].push(other);
    continued.token_ids[1].push(own[4]);
    continued.schedule = vec![5, 1];
    continued.generate = 3;
    let continued = ids(of_case(&model.run(&continued).unwrap(), "generated"));
    assert_eq!(found[1..4], continued[..3]);
}

#[test]
fn the_context_can_be_filled_and_not_overrun() {
    let model = model(TINY);
    let mut full = case(&model, 1, &[38]);
    full.generate = 3;
    assert_eq!(ids(of_case(&model.run(&full).unwrap(), "generated")).len(), 3);
    full.generate = 4;
    let error = model.run(&full).unwrap_err();
    assert!(matches!(&error, RunError::Case(CaseError::Context { needed: 41, context: 40, .. })), "{error}");
    assert!(error.to_string().contains("the model's context limit is 40"), "{error}");
}

#[test]
fn tokens_outside_the_vocabulary_are_refused() {
    let model = model(TINY);
    for token in [-1, 97, i64::MAX] {
        let mut case = case(&model, 2, &[3]);
        case.token_ids[1][2] = token;
        let error = model.run(&case).unwrap_err();
        assert!(matches!(error, RunError::Case(CaseError::Token { row: 1, .. })), "{error}");
    }
}

#[test]
fn an_activation_is_named_by_its_step() {
    let model = model(TINY);
    let capture = model.run(&case(&model, 1, &[1, 1])).unwrap();
    assert!(capture.tensors.contains_key(&TensorName::parse("step1/h.2.attn.q").unwrap()));
}
