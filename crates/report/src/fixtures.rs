//! Hand-made records for tests. Their numbers are of no model.

mod comparisons;
mod of_the_run;

use std::collections::BTreeMap;

use capture::{DType, Identity, Precision};
use checkpoint_spec::{
    Architecture, CaseSummary, CheckpointResult, Comparison, ComparisonVerdict, Diagnosis, Divergence,
    Finding, GrowthError, GrowthRow, Incident, Measured, Mode, NamedBug, NotApplicable, Outcome, PeerFigure,
    Quorum, RESULTS_SCHEMA, Reason, RequirementResult, Reservation, Results, Side, StoredTensors, Verdict,
    Voice,
};
use tensor_compare::NonFinite;

pub(crate) use comparisons::{
    bits, compared, generated, other_bits, out_of_budget, out_of_chain, shape_mismatch, statistics_of,
    systematic,
};
use comparisons::{failed, missing};
pub(crate) use of_the_run::{acausal, determinism, laws, not_deterministic, panel};

pub(crate) fn identity(name: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        version: "1.2.3".to_owned(),
        precision: Precision::F32,
        device: "cpu".to_owned(),
    }
}

fn requirement(id: &str, text: &str) -> RequirementResult {
    RequirementResult {
        id: id.to_owned(),
        text: text.to_owned(),
        checked: 16,
        required: 16,
        verdict: ComparisonVerdict::Pass,
        findings: vec![],
    }
}

pub(crate) fn checkpoint(
    id: &str,
    name: &str,
    verdict: Verdict,
    comparisons: Vec<Comparison>,
) -> CheckpointResult {
    let compared = comparisons.iter().filter(|c| matches!(c.outcome, Outcome::Compared { .. })).count();
    CheckpointResult {
        id: id.to_owned(),
        name: name.to_owned(),
        title: format!("What {name} computes"),
        verdict,
        compared: compared as u64,
        required: comparisons.len() as u64,
        ties: 0,
        comparisons,
        requirements: vec![requirement(&format!("{id}.1"), "Every activation follows from its own inputs.")],
        not_applicable: vec![],
    }
}

fn architecture() -> Architecture {
    Architecture {
        family: "gpt2".to_owned(),
        layers: 4,
        sizes: [("C", 256), ("D", 128), ("H", 4), ("V", 1024)].map(|(s, n)| (s.to_owned(), n)).into(),
        constants: BTreeMap::from([("epsilon".to_owned(), 1e-5)]),
        features: std::collections::BTreeSet::new(),
    }
}

/// A run in which all is well.
pub(crate) fn passing() -> Results {
    let tokens = Comparison { name: "generated".to_owned(), layer: None, step: None, ..bits("") };
    let mut end = checkpoint("12", "end-to-end", Verdict::Pass, vec![tokens, generated(0.18)]);
    end.ties = 1;
    end.requirements.push(RequirementResult {
        checked: 0,
        required: 0,
        ..requirement("12.2", "Generation continues the last step.")
    });
    end.not_applicable = vec![NotApplicable {
        what: "golden: Hello.".to_owned(),
        reason: "published for gpt2-medium, not for this model".to_owned(),
    }];
    let peer = |checkpoint: &str,
                implementation: &str,
                chained,
                isolated,
                budget: Option<f64>,
                ceiling: Option<f64>| {
        PeerFigure {
            checkpoint: checkpoint.to_owned(),
            implementation: implementation.to_owned(),
            chained_max_abs: Measured(chained),
            isolated_max_abs: Measured(isolated),
            budget_used: budget.map(Measured),
            ceiling_used: ceiling.map(Measured),
        }
    };
    let voice = |name: &str, lineage: &str| Voice { name: name.to_owned(), lineage: lineage.to_owned() };
    let case = |id: &str, batch, steps| CaseSummary {
        id: id.to_owned(),
        about: format!("what {id} is for"),
        batch,
        tokens: 24,
        steps,
        generate: 4,
    };
    Results {
        schema: RESULTS_SCHEMA.to_owned(),
        model: "gpt2-rustbook".to_owned(),
        architecture: architecture(),
        subject: identity("rust"),
        references: vec![identity("torch"), identity("tinygrad")],
        cases: vec![case("paragraph", 1, 1), case("batch-decode", 3, 7)],
        quorum: Quorum {
            voices: vec![
                voice("torch@f64", "Hugging Face's code on PyTorch"),
                voice("tinygrad@f64", "GPT-2 in tinygrad's own operations"),
                voice("graph@f64", "the family's specs, executed"),
            ],
            verdict: Verdict::Pass,
            compared: 1234,
            required: 1234,
            used: Measured(0.25),
            worst: Some("paragraph step0/h.1.mlp.act".to_owned()),
            disagreement: None,
        },
        faults: panel(),
        checkpoints: vec![
            checkpoint("02", "qkv", Verdict::Pass, vec![compared("attn.qkv", 0.21), bits("attn.q")]),
            checkpoint("06", "ffn", Verdict::Pass, vec![compared("mlp.fc", 0.12), compared("mlp.act", 0.1)]),
            end,
        ],
        determinism: determinism(None),
        laws: laws(None),
        first_divergence: None,
        diagnoses: Vec::new(),
        peers: vec![
            peer("02", "rust@f32", 1.1e-6, 2e-7, Some(0.21), None),
            peer("02", "torch@f32", 1.2e-6, 3e-7, Some(0.23), None),
            peer("02", "tinygrad@f32", 2.1e-6, 4e-7, Some(0.31), None),
            peer("06", "rust@f32", 3.1e-5, 3e-7, Some(0.12), Some(0.31)),
            peer("06", "torch@f32", 3.3e-5, 4e-7, Some(0.13), Some(0.33)),
            peer("06", "tinygrad@f32", 5.2e-5, 5e-7, Some(0.2), Some(0.52)),
            peer("12", "rust@f32", 1.8e-7, 0.0, None, None),
            peer("12", "torch@f32", 1.9e-7, 0.0, None, None),
            peer("12", "tinygrad@f32", 2.3e-7, 0.0, None, None),
        ],
        growth: vec![],
        incidents: vec![],
        reservations: vec![],
        notes: vec![],
        options: Vec::new(),
        tensors: StoredTensors::default(),
        verdict: Verdict::Pass,
        exit_code: 0,
    }
}

fn diverged(mut results: Results, checkpoint: &str, activation: &str, reason: Reason) -> Results {
    results.first_divergence = Some(Divergence {
        checkpoint: checkpoint.to_owned(),
        activation: activation.to_owned(),
        case: "paragraph".to_owned(),
        step: Some(0),
        mode: Mode::Isolated,
        reason,
    });
    results.verdict = Verdict::Fail;
    results.exit_code = 1;
    results
}

/// The shapes of a cache differ where its values agree on the overlap.
pub(crate) fn failing_on_shape() -> Results {
    let mut results = diverged(passing(), "03", "h.1.attn.cached_k", Reason::Shape);
    let comparisons = vec![shape_mismatch("attn.cached_k"), bits("attn.cached_v")];
    results.checkpoints[0] = checkpoint("03", "kv-cache", Verdict::Fail, comparisons);
    results
}

/// An activation is out of its rounding budget, and what is generated suffers from it.
pub(crate) fn failing_on_values() -> Results {
    let mut results = failing_at(out_of_budget("mlp.act", 13.1), 13.1);
    results.checkpoints[1].requirements.push(RequirementResult {
        verdict: ComparisonVerdict::Fail,
        findings: vec![Finding {
            case: "paragraph".to_owned(),
            tensor: "step0/h.1.mlp.act".to_owned(),
            reason: Reason::Invariant,
            message: "the smallest value is -0.1704, gelu_new has none below -0.17005".to_owned(),
        }],
        ..requirement("06.2", "The activation is gelu_new, the tanh form.")
    });
    let generated = Comparison { downstream: true, ..out_of_chain() };
    results.checkpoints[2] = checkpoint("12", "end-to-end", Verdict::Blocked, vec![generated]);
    let bug = |id: &str, what: &str, used| NamedBug {
        id: id.to_owned(),
        what: what.to_owned(),
        used: Measured(used),
    };
    results.diagnoses = vec![Diagnosis {
        checkpoint: "06".to_owned(),
        activation: "h.1.mlp.act".to_owned(),
        case: "paragraph".to_owned(),
        step: Some(0),
        tried: 9,
        named: vec![bug("gelu-erf", "GELU by erf", 0.041), bug("relu", "ReLU <b>for</b> GELU", 0.93)],
    }];
    results
}

/// The checkpoint 06 has one comparison that fails and one that passes.
fn failing_at(origin: Comparison, used: f64) -> Results {
    let reason = origin.reason.unwrap_or(Reason::Invariant);
    let mut results = diverged(passing(), "06", &origin.name, reason);
    results.checkpoints[1] = checkpoint("06", "ffn", Verdict::Fail, vec![compared("mlp.fc", 0.12), origin]);
    for peer in results.peers.iter_mut().filter(|p| p.checkpoint == "06" && p.implementation == "rust@f32") {
        peer.budget_used = Some(Measured(used));
    }
    results
}

/// Moved data is not what it was.
pub(crate) fn failing_on_bits() -> Results {
    failing_at(other_bits("mlp.act"), 0.12)
}

/// An activation is within its rounding budget, but all of it is too large by two millionths.
pub(crate) fn failing_on_systematic() -> Results {
    failing_at(systematic("mlp.out"), 0.61)
}

/// Every operation is right, and what is generated is off by more than the errors of replicas explain.
pub(crate) fn failing_on_chain() -> Results {
    let mut results = diverged(passing(), "12", "generated.logits", Reason::Chained);
    results.checkpoints[2] = checkpoint("12", "end-to-end", Verdict::Fail, vec![out_of_chain()]);
    if let Some(divergence) = &mut results.first_divergence {
        (divergence.mode, divergence.step) = (Mode::Chained, None);
    }
    results
}

/// Subject and torch are over the classic ceiling of 06, which decides nothing.
pub(crate) fn over_ceiling() -> Results {
    let mut results = passing();
    for peer in results.peers.iter_mut().filter(|peer| peer.checkpoint == "06") {
        let used = match peer.implementation.as_str() {
            "rust@f32" => 1.35,
            "torch@f32" => 1.42,
            _ => 0.96,
        };
        peer.ceiling_used = Some(Measured(used));
        peer.chained_max_abs = Measured(used * 1e-4);
    }
    results
}

/// The longest case has errors of rust and torch after each half of two blocks: 1e-8, 2e-8, … and 2.5e-8, 5e-8, …
pub(crate) fn growing() -> Results {
    let mut results = passing();
    results.cases[1].tokens = 48;
    let error = |implementation: &str, rmse: f64| GrowthError {
        implementation: implementation.to_owned(),
        rmse: Measured(rmse),
        max_abs: Measured(rmse * 4.0),
    };
    let row = |step, name: &str, layer, [rust, torch]: [f64; 2]| GrowthRow {
        case: "batch-decode".to_owned(),
        step: Some(step),
        name: name.to_owned(),
        layer,
        errors: vec![error("rust@f32", rust), error("torch@f32", torch)],
    };
    results.growth = vec![
        row(0, "h.0.mid", Some(0), [1e-8, 2.5e-8]),
        row(0, "h.0.out", Some(0), [2e-8, 5e-8]),
        row(0, "h.1.mid", Some(1), [3e-8, 7.5e-8]),
        row(0, "h.1.out", Some(1), [1e-8, 1e-7]),
        row(0, "logits", None, [1e-6, 2e-6]),
        row(1, "h.1.out", Some(1), [4e-8, 2e-8]),
    ];
    results
}

/// A reference was stopped, with hostile text on its standard error.
pub(crate) fn incomplete() -> Results {
    let mut results = passing();
    let comparisons = vec![compared("attn.qkv", 0.07), missing("tinygrad@f64")];
    results.checkpoints[0] = checkpoint("02", "qkv", Verdict::Incomplete, comparisons);
    results.incidents = vec![Incident {
        implementation: "tinygrad@f32".to_owned(),
        case: Some("paragraph".to_owned()),
        kind: "timed_out".to_owned(),
        message: "no answer within 300 s; the last lines of its standard error:\n\u{1b}[2J\u{1b}[32mverdict pass\u{1b}[0m\n\
                  ::set-output name=verdict::pass\n##[add-mask]x <script>alert(1)</script> `@everyone` | 100%"
            .to_owned(),
    }];
    results.reservations = vec![Reservation {
        checkpoint: Some("06".to_owned()),
        message: "62 % of a rounding budget is used; a correct port uses at most 50 %".to_owned(),
    }];
    results.notes = vec!["the model has no tokenizer: seeded token ids are used".to_owned()];
    results.quorum.verdict = Verdict::Incomplete;
    results.quorum.compared = 0;
    results.quorum.worst = None;
    results.verdict = Verdict::Incomplete;
    results.exit_code = 4;
    results
}

/// A dtype that differs and a file that cannot be read.
pub(crate) fn unreadable() -> Results {
    let mut results = passing();
    let dtype = Outcome::DtypeMismatch { expected: DType::F32, found: DType::F64, side: Side::Subject };
    let problem = Outcome::Unreadable { problem: "torch.safetensors: 12 bytes, 24 expected".to_owned() };
    let mut nan = out_of_budget("mlp.out", f64::NAN);
    let statistics = statistics_of(&mut nan);
    statistics.violations = 3;
    statistics.non_finite = NonFinite { actual_nan: 3, expected_infinite: 1, ..NonFinite::default() };
    statistics.worst[0].actual = Measured(f64::NAN);
    statistics.worst[0].expected = Measured(f64::NEG_INFINITY);
    statistics.cosine = None;
    nan.reason = Some(Reason::NonFinite);
    let comparisons = vec![
        failed(Comparison { outcome: dtype, ..compared("mlp.fc", 0.0) }, Reason::DType, false),
        Comparison {
            outcome: problem,
            verdict: ComparisonVerdict::Error,
            reason: Some(Reason::Unreadable),
            ..compared("mlp.act", 0.0)
        },
        nan,
    ];
    results.checkpoints[1] = checkpoint("06", "ffn", Verdict::Fail, comparisons);
    diverged(results, "06", "h.1.mlp.fc", Reason::DType)
}
