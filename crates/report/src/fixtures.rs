//! Hand-made records for tests. Their numbers are of no model.

mod of_the_run;

use std::collections::BTreeMap;

use capture::{DType, Identity, Precision, Shape};
use checkpoint_spec::{
    Architecture, BudgetRecord, CaseSummary, CheckpointResult, Comparison, ComparisonVerdict, Divergence,
    ElementRecord, Finding, Incident, Measured, Mode, NotApplicable, Outcome, PeerFigure, Quorum,
    RESULTS_SCHEMA, Reason, RequirementResult, Reservation, Results, StatisticsRecord, StoredTensors,
    SystematicRecord, Verdict,
};
use tensor_compare::{NonFinite, Statistics};

pub(crate) use of_the_run::{acausal, determinism, laws, not_deterministic, panel};

pub(crate) fn identity(name: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        version: "1.2.3".to_owned(),
        precision: Precision::F32,
        device: "cpu".to_owned(),
    }
}

fn statistics(used: f64) -> StatisticsRecord {
    let mut buckets = vec![0; Statistics::BUCKETS];
    (buckets[0], buckets[6]) = (1000, 24);
    StatisticsRecord {
        elements: 1024,
        violations: 0,
        non_finite: NonFinite::default(),
        max_abs: Measured(used * 1e-4),
        mean_abs: Measured(1.5e-8),
        max_rel: Measured(2.5e-6),
        rmse: Measured(2.25e-8),
        cosine: Some(Measured(0.9999999)),
        max_ulp: Some(12),
        used: Measured(used),
        range: Some((Measured(-1.5), Measured(2.25))),
        buckets,
        worst: vec![ElementRecord {
            index: vec![0, 1, 17],
            actual: Measured(0.5 + used * 1e-4),
            expected: Measured(0.5),
            error: Measured(used * 1e-4),
            allowed: Measured(1e-4),
        }],
        ties: 0,
        budget: None,
    }
}

/// A passing comparison of layer 1 at step 0 of `paragraph`.
pub(crate) fn compared(activation: &str, used: f64) -> Comparison {
    Comparison {
        name: format!("h.1.{activation}"),
        layer: Some(1),
        step: Some(0),
        case: "paragraph".to_owned(),
        mode: Mode::Run,
        reference: "torch@f32".to_owned(),
        outcome: Outcome::Compared {
            shape: Shape::new([1, 2, 512]).unwrap(),
            statistics: Box::new(statistics(used)),
        },
        verdict: ComparisonVerdict::Pass,
        reason: None,
        chained_allowed: None,
        downstream: false,
    }
}

fn failed(comparison: Comparison, reason: Reason, downstream: bool) -> Comparison {
    Comparison { verdict: ComparisonVerdict::Fail, reason: Some(reason), downstream, ..comparison }
}

/// Out of its bound, with `violations` elements.
pub(crate) fn out_of_bound(activation: &str, used: f64, downstream: bool) -> Comparison {
    let mut comparison = failed(compared(activation, used), Reason::Ceiling, downstream);
    if let Outcome::Compared { statistics, .. } = &mut comparison.outcome {
        statistics.violations = 24;
    }
    comparison
}

/// The story of the KV cache that stored two positions and gave back twelve.
pub(crate) fn shape_mismatch(activation: &str) -> Comparison {
    let outcome = Outcome::ShapeMismatch {
        expected: Shape::new([2, 12, 64]).unwrap(),
        found: Shape::new([12, 12, 64]).unwrap(),
        side: "subject".to_owned(),
    };
    failed(Comparison { outcome, ..compared(activation, 0.0) }, Reason::Shape, false)
}

pub(crate) fn missing(activation: &str, side: &str) -> Comparison {
    Comparison {
        outcome: Outcome::Missing { side: side.to_owned() },
        verdict: ComparisonVerdict::Incomplete,
        reason: Some(Reason::Missing),
        reference: side.to_owned(),
        ..compared(activation, 0.0)
    }
}

fn statistics_of(comparison: &mut Comparison) -> &mut StatisticsRecord {
    match &mut comparison.outcome {
        Outcome::Compared { statistics, .. } => statistics,
        other => panic!("{other} has no statistics"),
    }
}

/// Another root mean square error.
pub(crate) fn set_rmse(comparison: &mut Comparison, rmse: f64) {
    statistics_of(comparison).rmse = Measured(rmse);
}

/// In isolation, judged by the oracle, with a share of the rounding budget.
pub(crate) fn within_budget(activation: &str, share: f64) -> Comparison {
    let of_oracle = compared(activation, share * 0.02);
    let mut comparison = Comparison { mode: Mode::Replay, reference: "torch@f64".to_owned(), ..of_oracle };
    let error = Measured(share * 2e-6);
    let worst = ElementRecord {
        index: vec![0, 0, 5],
        actual: Measured(0.25 + error.0),
        expected: Measured(0.25),
        error,
        allowed: Measured(2e-6),
    };
    let systematic = |axis: Option<usize>, index| SystematicRecord {
        paired: false,
        axis,
        index,
        scale: Measured(share * 1e-7),
        scale_allowed: Measured(2e-7),
        offset: Measured(share * 1e-9),
        offset_allowed: Measured(4e-9),
        used: Measured(share * 0.5),
    };
    statistics_of(&mut comparison).budget = Some(BudgetRecord {
        used: Measured(share),
        violations: 0,
        worst: Some(worst),
        systematic: vec![systematic(None, None), systematic(Some(2), Some(5))],
    });
    comparison
}

/// Within the ceiling, with three elements out of their rounding budget.
pub(crate) fn out_of_budget(activation: &str) -> Comparison {
    let mut comparison = failed(within_budget(activation, 13.1), Reason::Budget, false);
    if let Some(budget) = &mut statistics_of(&mut comparison).budget {
        budget.violations = 3;
        budget.systematic.clear();
    }
    comparison
}

/// Every element within its budget, the whole a little too large.
pub(crate) fn systematic(activation: &str) -> Comparison {
    let mut comparison = failed(within_budget(activation, 0.61), Reason::Systematic, false);
    if let Some(budget) = &mut statistics_of(&mut comparison).budget {
        budget.systematic[0].scale = Measured(2e-6);
        budget.systematic[0].used = Measured(10.0);
    }
    comparison
}

/// A chained error of five times what the references' own allow.
pub(crate) fn out_of_chain(activation: &str) -> Comparison {
    let of_oracle = Comparison { reference: "torch@f64".to_owned(), ..compared(activation, 0.2) };
    let mut comparison = failed(of_oracle, Reason::Chained, false);
    comparison.chained_allowed = Some(Measured(4.5e-9));
    comparison
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
        requirements: vec![requirement(&format!("{id}.1"), "Every activation agrees with every reference.")],
        not_applicable: vec![],
    }
}

fn architecture() -> Architecture {
    Architecture {
        family: "gpt2".to_owned(),
        layers: 4,
        sizes: [("C", 256), ("D", 128), ("H", 4), ("V", 1024)].map(|(s, n)| (s.to_owned(), n)).into(),
        constants: BTreeMap::from([("epsilon".to_owned(), 1e-5)]),
    }
}

/// A run in which all is well.
pub(crate) fn passing() -> Results {
    let mut end = checkpoint(
        "12",
        "end-to-end",
        Verdict::Pass,
        vec![Comparison { name: "generated".to_owned(), layer: None, step: None, ..compared("", 0.0) }],
    );
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
    let peer = |checkpoint: &str, implementation: &str, run, replay, budget| PeerFigure {
        checkpoint: checkpoint.to_owned(),
        implementation: implementation.to_owned(),
        run_max_abs: Measured(run),
        replay_max_abs: Measured(replay),
        budget_used: Some(Measured(budget)),
    };
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
            verdict: Verdict::Pass,
            compared: 1234,
            required: 1234,
            used: Measured(0.25),
            worst: Some("paragraph step0/h.1.mlp.act".to_owned()),
            disagreement: None,
        },
        faults: panel(),
        checkpoints: vec![
            checkpoint(
                "02",
                "qkv",
                Verdict::Pass,
                vec![compared("attn.q", 0.07), within_budget("attn.q", 0.21)],
            ),
            checkpoint("06", "ffn", Verdict::Pass, vec![compared("mlp.fc", 0.12), compared("mlp.act", 0.31)]),
            end,
        ],
        determinism: determinism(None),
        laws: laws(None),
        first_divergence: None,
        peers: vec![
            peer("02", "rust@f32", 1.1e-6, 2e-7, 0.21),
            peer("02", "torch@f32", 1.2e-6, 3e-7, 0.23),
            peer("02", "tinygrad@f32", 2.1e-6, 4e-7, 0.31),
            peer("06", "rust@f32", 1.2e-6, 3e-7, 0.12),
            peer("06", "torch@f32", 1.3e-6, 4e-7, 0.13),
            peer("06", "tinygrad@f32", 2.2e-6, 5e-7, 0.2),
        ],
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
        activation: format!("h.1.{activation}"),
        case: "paragraph".to_owned(),
        step: Some(0),
        mode: Mode::Run,
        reason,
    });
    results.verdict = Verdict::Fail;
    results.exit_code = 1;
    results
}

/// The shapes of a cache differ where its values agree on the overlap.
pub(crate) fn failing_on_shape() -> Results {
    let mut results = diverged(passing(), "03", "attn.cached_k", Reason::Shape);
    let comparisons = vec![shape_mismatch("attn.cached_k"), compared("attn.cached_v", 0.0)];
    results.checkpoints[0] = checkpoint("03", "kv-cache", Verdict::Fail, comparisons);
    results
}

/// An activation is out of its ceiling, and so are those that follow from it.
pub(crate) fn failing_on_values() -> Results {
    let mut results = diverged(passing(), "06", "mlp.act", Reason::Ceiling);
    let origin = out_of_bound("mlp.act", 13.1, false);
    let other = Comparison { reference: "tinygrad@f32".to_owned(), ..out_of_bound("mlp.act", 13.2, false) };
    let after = out_of_bound("mlp.out", 41.0, true);
    let mut ffn =
        checkpoint("06", "ffn", Verdict::Fail, vec![compared("mlp.fc", 0.12), origin, other, after]);
    ffn.requirements.push(RequirementResult {
        verdict: ComparisonVerdict::Fail,
        findings: vec![Finding {
            case: "paragraph".to_owned(),
            tensor: "step0/h.1.mlp.act".to_owned(),
            reason: Reason::Invariant,
            message: "the smallest value is -0.1704, gelu_new has none below -0.17005".to_owned(),
        }],
        ..requirement("06.2", "The activation is gelu_new, the tanh form.")
    });
    results.checkpoints[1] = ffn;
    let logits = Comparison { name: "logits".to_owned(), layer: None, ..out_of_bound("", 5.5, true) };
    results.checkpoints.insert(2, checkpoint("08", "logits", Verdict::Blocked, vec![logits]));
    results
}

/// The checkpoint 06 has one comparison that fails and one that passes.
fn failing_at(origin: Comparison, used: f64) -> Results {
    let (mode, reason) = (origin.mode, origin.reason.unwrap_or(Reason::Invariant));
    let activation = origin.name.trim_start_matches("h.1.").to_owned();
    let mut results = diverged(passing(), "06", &activation, reason);
    results.checkpoints[1] =
        checkpoint("06", "ffn", Verdict::Fail, vec![origin, within_budget("mlp.fc", 0.12)]);
    if let Some(divergence) = &mut results.first_divergence {
        divergence.mode = mode;
    }
    for peer in results.peers.iter_mut().filter(|p| p.checkpoint == "06" && p.implementation == "rust@f32") {
        peer.budget_used = Some(Measured(used));
    }
    results
}

/// An activation is within its ceiling and out of its rounding budget.
pub(crate) fn failing_on_budget() -> Results {
    failing_at(out_of_budget("mlp.act"), 13.1)
}

/// An activation is within its rounding budget, but all of it is too large by two millionths.
pub(crate) fn failing_on_systematic() -> Results {
    failing_at(systematic("mlp.out"), 0.61)
}

/// A chained error is larger than those of the f32 references explain.
pub(crate) fn failing_on_chain() -> Results {
    failing_at(out_of_chain("mlp.out"), 0.12)
}

/// The longest case has errors after each of four blocks: 1e-8, 2e-8, …
pub(crate) fn growing() -> Results {
    let mut results = passing();
    results.cases[1].tokens = 48;
    let after = |layer: usize, rmse: f64| {
        let mut comparison = Comparison {
            name: format!("h.{layer}.out"),
            layer: Some(layer),
            case: "batch-decode".to_owned(),
            ..out_of_chain("out")
        };
        comparison.chained_allowed = Some(Measured(3e-8));
        set_rmse(&mut comparison, rmse);
        comparison
    };
    let layers = (0..4).zip([1e-8, 2e-8, 3e-8, 4e-8]).map(|(layer, rmse)| after(layer, rmse));
    results.checkpoints = vec![checkpoint("07", "block", Verdict::Fail, layers.collect())];
    results
}

/// A reference was stopped, with hostile text on its standard error.
pub(crate) fn incomplete() -> Results {
    let mut results = passing();
    let comparisons = vec![compared("attn.q", 0.07), missing("attn.q", "tinygrad@f32")];
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
        message: "more than half of the ceiling is used: 0.62 in paragraph step0/h.1.mlp.act".to_owned(),
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
    let dtype =
        Outcome::DtypeMismatch { expected: DType::F32, found: DType::F64, side: "subject".to_owned() };
    let problem = Outcome::Unreadable { problem: "torch.safetensors: 12 bytes, 24 expected".to_owned() };
    let mut nan = out_of_bound("mlp.out", f64::NAN, false);
    if let Outcome::Compared { statistics, .. } = &mut nan.outcome {
        statistics.non_finite = NonFinite { actual_nan: 3, expected_infinite: 1, ..NonFinite::default() };
        statistics.worst[0].actual = Measured(f64::NAN);
        statistics.worst[0].expected = Measured(f64::NEG_INFINITY);
        statistics.cosine = None;
    }
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
    diverged(results, "06", "mlp.fc", Reason::DType)
}
