//! The panel on the bundled model with the real references; and on gates that are broken on purpose.

use std::sync::LazyLock;

use checkpoint_spec::{FaultPanel, FaultWord, confidence};

use super::*;
use crate::fixtures::rust_gpt2;
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::place::{BUNDLED_MODEL, Place};
use crate::run;

/// A run of one case, ready for faults to be put in.
struct Stage {
    request: Request,
    means: Means,
    specs: SpecSet,
    confidence: f64,
    model: oracle::Model,
    produced: Produced,
    facts: RunFacts,
    /// Holds the subject's captures.
    _work: tempfile::TempDir,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| stage().unwrap());

fn stage() -> Result<Stage> {
    let place = Place::find()?;
    let (local, subject) = rust_gpt2();
    let means = Means {
        place,
        threads: 2,
        time_limit: Duration::from_secs(600),
        interrupt: Interrupt::default(),
        locals: vec![local],
    };
    let progress = Progress::unheard();
    let model = Model::open(BUNDLED_MODEL.to_owned(), &means.place.bundled_model())?;
    let request = Request::plain(subject, model, &["batch-decode".to_owned()], &means, Extent::Fast)?;
    let specs = SpecSet::bundled("gpt2")?;
    let only: Vec<&Case> = request.cases.iter().map(|planned| &planned.case).collect();
    let confidence = confidence(&specs, &request.model.architecture, &only)?;
    let work = tempfile::tempdir()?;
    let model = request.model.oracle(&specs)?;
    let produced = run::produce(&request, &means, &progress, work.path())?;
    let facts = run::facts(&request, &means, &produced)?;
    Ok(Stage { request, means, specs, confidence, model, produced, facts, _work: work })
}

fn ground(specs: &SpecSet) -> Ground<'_> {
    let Stage { request, means, confidence, model, produced, facts, .. } = &*STAGE;
    Ground { request, means, produced, law: Law { specs, confidence: *confidence, model }, facts }
}

/// What the short panel shows when that gate judges.
fn panel(gate: Gate) -> FaultPanel {
    let Stage { specs, facts, .. } = &*STAGE;
    let faults = examine_by(gate, ground(specs), &Progress::unheard()).unwrap();
    judge(specs, &RunFacts { faults, ..facts.clone() }, &[]).unwrap().faults
}

fn word(panel: &FaultPanel, id: &str) -> FaultWord {
    panel.faults.iter().find(|fault| fault.id == id).unwrap().word
}

/// All verdicts are passes, whatever the numbers are.
fn always_passing(bench: &Bench<'_>, evidence: &Evidence<'_>) -> Result<Results> {
    let mut results = bench.judge(evidence)?;
    results.checkpoints.iter_mut().for_each(|checkpoint| checkpoint.verdict = Verdict::Pass);
    results.quorum.verdict = Verdict::Pass;
    results.incidents.clear();
    results.first_divergence = None;
    Ok(results)
}

/// What overlaps is equal, so nothing is wrong: the first story of the KV cache.
fn without_shapes(bench: &Bench<'_>, evidence: &Evidence<'_>) -> Result<Results> {
    looking_away(bench, evidence, |found, correct| found.shape() != correct.shape())
}

/// A NaN is as good as any number.
fn with_nan_as_a_number(bench: &Bench<'_>, evidence: &Evidence<'_>) -> Result<Results> {
    looking_away(bench, evidence, |found, _| {
        found.dtype().is_float() && found.view().to_f64_lossy().iter().any(|value| value.is_nan())
    })
}

/// Judges as if tensors that are not looked at were as they should be.
fn looking_away(
    bench: &Bench<'_>,
    evidence: &Evidence<'_>,
    ignored: fn(&capture::Tensor, &capture::Tensor) -> bool,
) -> Result<Results> {
    let mut evidence = evidence.clone();
    for (name, tensor) in &mut evidence.subject.tensors {
        let correct = bench.carrier.run.tensors.get(name);
        if let Some(correct) = correct.filter(|correct| ignored(tensor, correct)) {
            *tensor = correct.clone();
        }
    }
    bench.judge(&evidence)
}

#[test]
fn every_declared_fault_is_bound_and_no_other() {
    let specs = SpecSet::bundled("gpt2").unwrap();
    assert_eq!(unbound(&specs), Vec::<String>::new());
    let stray = CATALOGUE.iter().find(|(id, _)| specs.faults().all(|(_, fault)| fault.id != *id));
    assert!(stray.is_none(), "{stray:?}");
}

#[test]
fn the_short_panel_is_killed_where_declared() {
    let panel = panel(|bench, evidence| bench.judge(evidence));
    let departures: Vec<_> = panel.departures().collect();
    assert!(departures.is_empty(), "{departures:#?}");
    assert_eq!((panel.verdict, panel.killed), (Verdict::Pass, panel.required));
    assert!(panel.required >= 13, "at least one fault of every checkpoint");
}

#[test]
fn a_gate_that_always_passes_makes_the_panel_red() {
    let panel = panel(always_passing);
    assert_eq!((panel.verdict, panel.killed), (Verdict::Fail, 0));
    assert!(panel.faults.iter().all(|fault| fault.word == FaultWord::Survived), "{panel:#?}");
}

#[test]
fn a_gate_that_compares_no_shapes_makes_the_panel_red() {
    let panel = panel(without_shapes);
    assert_eq!(panel.verdict, Verdict::Fail);
    assert_eq!(word(&panel, "cache-shape-heads-for-positions"), FaultWord::Survived);
    assert_eq!(word(&panel, "qkv-head-count-halved"), FaultWord::Survived);
    assert_eq!(word(&panel, "gelu-erf"), FaultWord::Killed);
}

#[test]
fn a_gate_that_lets_nan_pass_makes_the_panel_red() {
    let panel = panel(with_nan_as_a_number);
    assert_eq!(panel.verdict, Verdict::Fail);
    assert_eq!(word(&panel, "cache-k-and-v-swapped"), FaultWord::Killed);
    // Where it sits nobody sees it; the token that follows from NaN gives it away, too late.
    assert_eq!(word(&panel, "qkv-nan-in-one-element"), FaultWord::Elsewhere);
}

#[test]
fn a_carrier_that_is_refused_without_a_fault_shows_nothing() {
    let Stage { specs, facts, .. } = &*STAGE;
    let mut strict = specs.clone();
    for activation in &mut strict.specs[4].activations {
        // The mask is −∞ after the query: infinite where nothing may be.
        activation.non_finite = checkpoint_spec::NonFinitePolicy::Never;
    }
    let faults = examine(ground(&strict), &Progress::unheard()).unwrap();
    assert!(faults.problem.as_ref().unwrap().contains("at checkpoint 04"), "{:?}", faults.problem);
    assert!(faults.observations.is_empty());
    let panel = judge(specs, &RunFacts { faults, ..facts.clone() }, &[]).unwrap().faults;
    assert_eq!(panel.verdict, Verdict::Incomplete);
}
