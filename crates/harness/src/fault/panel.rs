//! The panel: every declared fault, put in and judged.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use capture::protocol::Job;
use capture::{Case, Precision};
use checkpoint_spec::{
    CaseAssay, CaseEvidence, Extent, FaultFacts, FaultObservation, Incident, Judged, ReferenceAssay,
    ReferenceCaptures, Results, RunFacts, Setting, SpecSet, Traits, Verdict, assay_references, assay_subject,
    fault_case, judge, observe_fault,
};
use rayon::prelude::*;

use super::carrier::Carrier;
use super::catalogue::CATALOGUE;
use super::evidence::Evidence;
use super::{Conduct, Fault, Injection};
use crate::captures::{Produced, open_references, views};
use crate::events::Progress;
use crate::implementation::{Implementation, Means, Program, Worker};
use crate::request::{Law, Request};

/// How long a reference that hangs on purpose is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Evidence in, record out.
type Gate = fn(&Bench<'_>, &Evidence<'_>) -> Result<Results>;

/// What faults are put into: a run whose captures are there.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// What was asked for.
    pub request: &'a Request,
    /// What implementations need to be started.
    pub means: &'a Means,
    /// The captures.
    pub produced: &'a Produced,
    /// By what it is judged.
    pub law: Law<'a>,
    /// What is true of the run.
    pub facts: &'a RunFacts,
}

/// Puts every fault of the extent into the carrier and has each judged.
pub fn examine(ground: Ground<'_>, progress: &Progress) -> Result<FaultFacts> {
    examine_by(|bench, evidence| bench.judge(evidence), ground, progress)
}

fn examine_by(gate: Gate, ground: Ground<'_>, progress: &Progress) -> Result<FaultFacts> {
    let extent = ground.request.faults;
    Ok(match each_fault(ground, progress, |bench, fault, evidence| bench.observe(fault, evidence, gate))? {
        Ok(observations) => FaultFacts { extent, observations, problem: None },
        Err(problem) => FaultFacts { extent, observations: Vec::new(), problem: Some(problem) },
    })
}

/// Has `look` see the evidence with each fault of the extent; `Err` with what keeps faults from showing anything.
pub fn each_fault<T: Send>(
    ground: Ground<'_>,
    progress: &Progress,
    look: impl Fn(&Bench<'_>, &Fault<'_>, &Evidence<'_>) -> Result<T> + Sync,
) -> Result<Result<Vec<T>, String>> {
    let Ground { request, means, produced, law, facts } = ground;
    let cases = request.cases.iter().map(|planned| &planned.case);
    let Some(case) = fault_case(&request.model.architecture, cases) else {
        return Ok(Err("the run has no case".to_owned()));
    };
    let wanted = wanted(law.specs, request.faults, facts, case)?;
    if wanted.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    if request.subject.precision.is_half() {
        return Ok(Err("the carrier computes in f32, and the references of this run do not".to_owned()));
    }
    let opened = open_references(request, produced, &case.id)?;
    let references = views(&opened);
    let part = progress.part("faults", wanted.len());
    let case = Case { forced: oracle_tokens(request, produced, case)?, ..case.clone() };
    let label = Carrier::identity().to_string();
    let setting = Setting {
        specs: law.specs,
        architecture: &request.model.architecture,
        model: Some(law.model),
        traits: Traits { preallocated_cache: true, tokenizer: case.texts.is_some() },
        confidence: law.confidence,
        subject: &label,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(means.threads).build()?;
    let carrier = pool.install(|| Carrier::new(setting, case))?;
    let bench = match pool.install(|| Bench::new(&carrier, &references, facts, means))? {
        Ok(bench) => bench,
        Err(problem) => {
            part.finish("nothing shown");
            return Ok(Err(problem));
        }
    };
    let put_in = |fault: &Fault<'_>| {
        means.interrupt.check()?;
        let found = bench.evidence(fault).and_then(|evidence| look(&bench, fault, &evidence));
        part.step();
        found.with_context(|| format!("fault `{}`", fault.spec.id))
    };
    let found: Result<Vec<T>> = pool.install(|| wanted.par_iter().map(put_in).collect());
    part.finish("put in and judged");
    Ok(Ok(found?))
}

/// Faults that the specs declare and nothing puts in, or two things do.
pub fn unbound(specs: &SpecSet) -> Vec<String> {
    let is_here = |id: &str| CATALOGUE.iter().any(|(here, _)| *here == id);
    let faults = specs.faults().filter(|(_, fault)| fault.places.is_empty() != is_here(&fault.id));
    faults.map(|(_, fault)| fault.id.clone()).collect()
}

/// The declared faults that the run is to put in.
fn wanted<'a>(specs: &'a SpecSet, extent: Extent, facts: &RunFacts, case: &Case) -> Result<Vec<Fault<'a>>> {
    let here: BTreeMap<&str, Injection> = CATALOGUE.iter().copied().collect();
    let selected = |id: &str| facts.selected.is_empty() || facts.selected.iter().any(|chosen| chosen == id);
    let mut wanted = Vec::new();
    for (checkpoint, spec) in specs.specs.iter().enumerate().filter(|(_, spec)| selected(&spec.id)) {
        let declared = spec.faults.iter().filter(|fault| extent.has(fault));
        for fault in declared.filter(|fault| fault.lacks(&facts.architecture, case).is_empty()) {
            let injection = if fault.places.is_empty() {
                let here = here.get(fault.id.as_str()).copied();
                here.with_context(|| format!("nothing puts the fault `{}` in", fault.id))?
            } else {
                Injection::Places
            };
            wanted.push(Fault { spec: fault, checkpoint, injection });
        }
    }
    Ok(wanted)
}

/// What the oracle generated: fed to the carrier, so that a tie does not look like a fault.
fn oracle_tokens(request: &Request, produced: &Produced, case: &Case) -> Result<Option<Vec<Vec<i64>>>> {
    let oracle = request.references.first().and_then(|name| produced.reference(name, Precision::F64));
    let Some(tokens) = oracle.map(|captures| captures.generated(&case.id)).transpose()?.flatten() else {
        return Ok(case.forced.clone());
    };
    let ids = tokens.view().to_i64()?;
    Ok((case.generate > 0).then(|| ids.chunks(case.generate).map(<[i64]>::to_vec).collect()))
}

/// The carrier before the gate.
pub struct Bench<'a> {
    /// What faults are put into.
    pub carrier: &'a Carrier<'a>,
    references: &'a [ReferenceCaptures<'a>],
    /// The numbers of the unchanged references.
    compared: ReferenceAssay,
    /// The numbers of the carrier without a fault.
    judged: Judged,
    facts: RunFacts,
    means: &'a Means,
}

impl<'a> Bench<'a> {
    /// `Err` with what keeps faults from showing anything: a carrier that is refused without one.
    fn new(
        carrier: &'a Carrier<'a>,
        references: &'a [ReferenceCaptures<'a>],
        facts: &RunFacts,
        means: &'a Means,
    ) -> Result<Result<Self, String>> {
        let setting = &carrier.setting;
        let evidence = Evidence::new(carrier.run.clone(), references);
        let (compared, correct) = evidence.show(&carrier.case, |shown| {
            let compared = assay_references(setting, shown, None)?;
            let correct = assay_subject(setting, shown, compared.clone(), None)?;
            Ok::<_, checkpoint_spec::AssayError>((compared, correct))
        })?;
        let judged = Judged::of(&correct);
        let mut facts = carrier_facts(carrier, facts);
        let correct = judge(setting.specs, &facts, &[correct])?;
        if let Some(problem) = refused(&correct) {
            return Ok(Err(problem));
        }
        // What this case does not exercise cannot refuse anything.
        let passed =
            correct.checkpoints.iter().filter(|checkpoint| checkpoint.verdict <= Verdict::Conditional);
        facts.selected = passed.map(|checkpoint| checkpoint.id.clone()).collect();
        Ok(Ok(Self { carrier, references, compared, judged, facts, means }))
    }

    /// The evidence with a fault in it.
    fn evidence(&self, fault: &Fault<'_>) -> Result<Evidence<'a>> {
        if let Injection::Places = fault.injection {
            return Ok(Evidence::new(self.carrier.with(fault.spec)?, self.references));
        }
        let mut evidence = Evidence::new(self.carrier.run.clone(), self.references);
        match fault.injection {
            Injection::Evidence(change) => change(self.carrier, &mut evidence, fault.checkpoint)?,
            Injection::Worker(conduct) => self.fail(conduct, &mut evidence)?,
            Injection::Places => {}
        }
        Ok(evidence)
    }

    fn observe(&self, fault: &Fault<'_>, evidence: &Evidence<'_>, gate: Gate) -> Result<FaultObservation> {
        let subject_is_changed = evidence.subject != self.carrier.run;
        let changed =
            subject_is_changed || evidence.references_are_changed() || !evidence.incidents.is_empty();
        Ok(observe_fault(&fault.spec.id, changed, &gate(self, evidence)?))
    }

    /// What the functions that judge a run make of it.
    pub fn judge(&self, evidence: &Evidence<'_>) -> Result<Results> {
        let assayed = evidence.show(&self.carrier.case, |shown| self.assay(evidence, shown))?;
        let facts = RunFacts { incidents: evidence.incidents.clone(), ..self.facts.clone() };
        Ok(judge(self.carrier.setting.specs, &facts, &[assayed])?)
    }

    fn assay(&self, evidence: &Evidence<'_>, shown: &CaseEvidence<'_>) -> Result<CaseAssay> {
        let setting = &self.carrier.setting;
        let compared = match evidence.changes_references_at(Precision::F64) {
            true => assay_references(setting, shown, Some(&self.compared))?,
            false => self.compared.clone(),
        };
        let changed = self.carrier.changed(&evidence.subject);
        Ok(assay_subject(setting, shown, compared, Some((&self.judged, &changed)))?)
    }

    /// Asks a real worker that fails, in the place of a reference.
    fn fail(&self, conduct: Conduct, evidence: &mut Evidence<'_>) -> Result<()> {
        let arguments = match conduct {
            Conduct::Crashes => ["-c", "kill -9 $$"],
            Conduct::Hangs => ["-c", "exec sleep 600"],
        };
        let means = Means { time_limit: PATIENCE, ..self.means.clone() };
        let folder = tempfile::tempdir()?;
        let output: PathBuf = folder.path().join("run.safetensors");
        let job = Job { case: self.carrier.case.clone(), output };
        let mut worker = Worker::new(Program::found("failing", "sh", arguments)?, Precision::F64, means);
        let part = Progress::unheard().part("a failing reference", 1);
        let production = worker.produce(folder.path(), &[job], &part)?;
        part.finish("failed");
        let name = evidence.last_reference()?;
        evidence.remove(&name, Precision::F64);
        let named = |incident: Incident| Incident { implementation: format!("{name}@f64"), ..incident };
        evidence.incidents.extend(production.incident.map(named));
        Ok(())
    }
}

/// The facts of a run in which the carrier is the subject and this is the only case.
fn carrier_facts(carrier: &Carrier<'_>, facts: &RunFacts) -> RunFacts {
    RunFacts {
        subject: Carrier::identity(),
        traits: carrier.setting.traits,
        cases: vec![(carrier.case.clone(), String::new())],
        repeats: Vec::new(),
        laws: Vec::new(),
        subject_weights: false,
        selected: Vec::new(),
        incidents: Vec::new(),
        reservations: Vec::new(),
        faults: FaultFacts::default(),
        notes: Vec::new(),
        ..facts.clone()
    }
}

/// Why a correct carrier was refused, if it was.
fn refused(correct: &Results) -> Option<String> {
    let bad = correct
        .checkpoints
        .iter()
        .find(|c| matches!(c.verdict, Verdict::Fail | Verdict::Error | Verdict::Blocked));
    let quorum = correct.quorum.verdict;
    if quorum == Verdict::Error || quorum == Verdict::Incomplete {
        return Some(format!(
            "the references' agreement on the panel's case is `{quorum:?}`, so nothing is judged"
        ));
    }
    let bad = bad?;
    let killer = observe_fault("", false, correct).killer;
    let killer = killer.map_or_else(String::new, |killer| {
        format!(": {} {}", killer.tensor.unwrap_or_default(), killer.message)
    });
    Some(format!("the carrier is refused without a fault, at checkpoint {}{killer}", bad.id))
}
