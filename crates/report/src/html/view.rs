//! What the template shows: texts that are harmless, in the order of the page.

use askama::Template;
use checkpoint_spec::{CheckpointResult, Comparison, FaultResult, Finding, Outcome, Results, Verdict};

use super::cards::{Card, cards};
use super::growth::Growth;
use super::peers::Table;
use crate::bounds::worst_elements;
use crate::peers::{self, share};
use crate::summary::{self, Divergent, Group, Standing};
use crate::text::{lines, plain};
use crate::{command, faults, figures, laws, phrases, repeats, words};

/// Departures listed per checkpoint; the record has all of them.
const DEPARTURES: usize = 20;

#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page {
    verdict: &'static str,
    meaning: &'static str,
    model: String,
    subject: String,
    references: Vec<String>,
    cases: Vec<CaseRow>,
    compared: String,
    cards: Vec<Card>,
    divergence: Option<DivergenceView>,
    checkpoints: Vec<CheckpointView>,
    budgets_about: &'static str,
    budgets: Table,
    peers_about: &'static str,
    peers: Table,
    ceilings: Table,
    over_ceiling: Vec<String>,
    growth: Option<Growth>,
    faults_about: String,
    faults: Vec<FaultRow>,
    repeats_about: &'static str,
    repeated: Vec<RepeatedView>,
    difference: Option<String>,
    laws_about: &'static str,
    laws: Vec<[String; 7]>,
    breaches: Vec<String>,
    voices: Vec<String>,
    disagreement: Option<String>,
    incidents: Vec<Titled>,
    reservations: Vec<String>,
    notes: Vec<String>,
    statement: String,
}

struct RepeatedView {
    implementation: String,
    outcome: String,
    rows: Vec<[String; 4]>,
}

struct CaseRow {
    id: String,
    about: String,
    sizes: String,
}

struct FaultRow {
    id: String,
    what: String,
    declared: String,
    word: &'static str,
    as_declared: bool,
    found: String,
    margin: String,
    refusals: String,
}

struct Titled {
    title: String,
    text: String,
}

struct DivergenceView {
    place: String,
    reason: String,
    inputs: Option<&'static str>,
    diagnosis: Option<String>,
    judged: Vec<Judged>,
    findings: Vec<String>,
    command: String,
}

struct Judged {
    reference: String,
    outcome: String,
    numbers: Option<Numbers>,
}

struct Numbers {
    shape: String,
    errors: String,
    buckets: Vec<(String, String)>,
    worst: Vec<[String; 5]>,
}

struct CheckpointView {
    id: String,
    name: String,
    title: String,
    verdict: &'static str,
    open: bool,
    compared: String,
    chained: String,
    isolated: String,
    /// What the subject uses of the rounding budget.
    budget: String,
    /// Percent of its bar that is filled.
    bar: u32,
    over: bool,
    /// What the subject's chained error comes to of a classic ceiling.
    ceiling: String,
    ties: String,
    place: String,
    kinds: Vec<Kind>,
    departures: Vec<Departure>,
    more_departures: usize,
    requirements: Vec<RequirementView>,
    not_applicable: Vec<String>,
}

struct Kind {
    name: String,
    verdict: &'static str,
    compared: String,
    error: String,
    used: String,
    place: String,
}

struct Departure {
    verdict: &'static str,
    downstream: bool,
    place: String,
    outcome: String,
}

struct RequirementView {
    id: String,
    text: String,
    verdict: &'static str,
    checked: String,
    findings: Vec<String>,
}

impl Page {
    pub(super) fn new(results: &Results) -> Self {
        let totals = summary::totals(results);
        let incident = |i| Titled {
            title: phrases::incident(i),
            text: lines(&i.message).collect::<Vec<_>>().join("\n"),
        };
        Self {
            verdict: words::verdict(results.verdict),
            meaning: words::verdict_meaning(results.verdict),
            model: phrases::model(results),
            subject: phrases::identity(&results.subject),
            references: results.references.iter().map(phrases::identity).collect(),
            cases: results.cases.iter().map(CaseRow::new).collect(),
            compared: phrases::compared(totals),
            cards: cards(results),
            divergence: summary::divergent(results).map(|d| DivergenceView::new(results, &d)),
            checkpoints: results.checkpoints.iter().map(|c| CheckpointView::new(results, c)).collect(),
            budgets_about: peers::BUDGETS,
            budgets: Table::budgets(results),
            peers_about: peers::ERRORS,
            peers: Table::errors(results),
            ceilings: Table::ceilings(results),
            over_ceiling: peers::over_ceiling(results),
            growth: Growth::new(results),
            faults_about: faults::summary(&results.faults),
            faults: results.faults.faults.iter().map(FaultRow::new).collect(),
            repeats_about: repeats::ABOUT,
            repeated: results.determinism.implementations.iter().map(RepeatedView::new).collect(),
            difference: results.determinism.finding.as_ref().map(finding),
            laws_about: laws::ABOUT,
            laws: results.laws.numbers.iter().map(laws::row).collect(),
            breaches: laws::findings(results).collect(),
            voices: results.quorum.voices.iter().map(phrases::voice).collect(),
            disagreement: results.quorum.disagreement.as_ref().map(finding),
            incidents: results.incidents.iter().map(incident).collect(),
            reservations: results.reservations.iter().map(reservation).collect(),
            notes: results.notes.iter().map(|note| plain(note)).collect(),
            statement: phrases::statement(results),
        }
    }
}

fn finding(finding: &Finding) -> String {
    plain(&format!("{} {}: {}", finding.case, finding.tensor, finding.message))
}

fn reservation(reservation: &checkpoint_spec::Reservation) -> String {
    let at = reservation.checkpoint.as_ref().map(|id| format!("{id}: ")).unwrap_or_default();
    plain(&format!("{at}{}", reservation.message))
}

impl FaultRow {
    fn new(fault: &FaultResult) -> Self {
        let (found, margin) = faults::found(fault);
        let refusals = fault.observation.iter().flat_map(|observation| &observation.refusals);
        let refusals = refusals.map(|(id, verdict)| format!("{id} {}", words::verdict(*verdict)));
        Self {
            id: plain(&fault.id),
            what: plain(&fault.what),
            declared: faults::declared(fault),
            word: faults::word(fault.word),
            as_declared: fault.word.is_as_declared(),
            found,
            margin,
            refusals: plain(&refusals.collect::<Vec<_>>().join(", ")),
        }
    }
}

impl RepeatedView {
    fn new(repeated: &checkpoint_spec::Repeated) -> Self {
        Self {
            implementation: plain(&repeated.implementation),
            outcome: repeats::outcome(repeated),
            rows: repeats::rows(repeated),
        }
    }
}

impl CaseRow {
    fn new(case: &checkpoint_spec::CaseSummary) -> Self {
        let generated =
            if case.generate > 0 { format!(", then {} generated", case.generate) } else { String::new() };
        let (rows, steps) = (plural(case.batch, "row"), plural(case.steps, "step"));
        let sizes = format!("{rows} of {} in {steps}{generated}", plural(case.tokens, "token"));
        Self { id: plain(&case.id), about: plain(&case.about), sizes }
    }
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

impl DivergenceView {
    fn new(results: &Results, divergent: &Divergent<'_>) -> Self {
        let divergence = divergent.divergence;
        Self {
            place: phrases::divergence_place(divergent),
            reason: words::meaning(divergence.reason).to_owned(),
            inputs: phrases::divergence_inputs(divergence),
            diagnosis: results.diagnosis().map(phrases::diagnosis),
            judged: divergent.comparisons.iter().map(|c| Judged::new(c)).collect(),
            findings: divergent.findings.iter().map(|f| plain(&f.message)).collect(),
            command: command::reproduce(results, &divergence.checkpoint, Some(&divergence.case)),
        }
    }
}

impl Judged {
    fn new(comparison: &Comparison) -> Self {
        let numbers = match &comparison.outcome {
            Outcome::Compared { shape, statistics: s } => Some(Numbers {
                shape: shape.to_string(),
                errors: phrases::errors(s),
                buckets: phrases::buckets(s),
                worst: worst_elements(s),
            }),
            _ => None,
        };
        Self { reference: plain(&comparison.reference), outcome: phrases::outcome(comparison), numbers }
    }
}

impl CheckpointView {
    fn new(results: &Results, checkpoint: &CheckpointResult) -> Self {
        let worst = summary::worst(&checkpoint.comparisons);
        let subject = peers::of_subject(results, &checkpoint.id);
        let budget = subject.and_then(|figure| figure.budget_used);
        let departures = summary::departures(results, checkpoint);
        Self {
            id: plain(&checkpoint.id),
            name: plain(&checkpoint.name),
            title: plain(&checkpoint.title),
            verdict: words::verdict(checkpoint.verdict),
            open: !matches!(checkpoint.verdict, Verdict::Pass | Verdict::Conditional),
            compared: format!(
                "{} of {}",
                figures::count(checkpoint.compared),
                figures::count(checkpoint.required)
            ),
            chained: peers::chained_error(results, &checkpoint.id),
            isolated: summary::isolated_error(checkpoint),
            budget: share(budget),
            bar: budget.map_or(0, |used| bar(used.0)),
            over: budget.is_some_and(|used| is_over(used.0)),
            ceiling: share(subject.and_then(|figure| figure.ceiling_used)),
            ties: figures::count(checkpoint.ties),
            place: worst.map(phrases::place).unwrap_or_default(),
            kinds: summary::groups(checkpoint, false).iter().map(Kind::new).collect(),
            more_departures: departures.len().saturating_sub(DEPARTURES),
            departures: departures.into_iter().take(DEPARTURES).map(Departure::new).collect(),
            requirements: checkpoint.requirements.iter().map(RequirementView::new).collect(),
            not_applicable: checkpoint
                .not_applicable
                .iter()
                .map(|n| plain(&format!("{}: {}", n.what, n.reason)))
                .collect(),
        }
    }
}

fn is_over(share: f64) -> bool {
    share.is_nan() || share > 1.0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100 before")]
fn bar(share: f64) -> u32 {
    if share.is_nan() { 100 } else { (share * 100.0).clamp(0.0, 100.0).ceil() as u32 }
}

impl Kind {
    fn new(group: &Group<'_>) -> Self {
        let (place, (error, used)) =
            group.worst().map(|(worst, figures)| (phrases::place(worst), figures)).unwrap_or_default();
        Self {
            name: plain(&group.kind),
            verdict: words::comparison(group.verdict()),
            compared: format!(
                "{} of {}",
                figures::count(group.compared() as u64),
                figures::count(group.comparisons.len() as u64)
            ),
            error,
            used,
            place,
        }
    }
}

impl Departure {
    fn new(comparison: &Comparison) -> Self {
        Self {
            verdict: words::comparison(comparison.verdict),
            downstream: comparison.downstream,
            place: phrases::place(comparison),
            outcome: phrases::outcome(comparison),
        }
    }
}

impl RequirementView {
    fn new(requirement: &checkpoint_spec::RequirementResult) -> Self {
        let verdict = match summary::standing(requirement) {
            Standing::Holds if !requirement.findings.is_empty() => "conditional",
            Standing::Holds => "pass",
            Standing::NotExercised => "not exercised",
            Standing::Broken(verdict) => words::comparison(verdict),
        };
        Self {
            id: plain(&requirement.id),
            text: plain(&requirement.text),
            verdict,
            checked: format!(
                "{} of {}",
                figures::count(requirement.checked),
                figures::count(requirement.required)
            ),
            findings: requirement.findings.iter().map(finding).collect(),
        }
    }
}
