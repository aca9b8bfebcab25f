use capture::TensorName;

use super::*;
use crate::Measured;
use crate::assay::{ExaminedRequirement, Observation};
use crate::checks::Examination;
use crate::judge::fixtures::{
    CASE, assay, compared, comparison, facts, failed, finding, missing, observation, requirement, specs,
    statistics,
};
use crate::results::{Mode, StatisticsRecord};
use ComparisonVerdict::{Error, Fail, Incomplete, Missing, Pass};

/// Of comparisons, each with whether it is a consequence, which are all that is required.
fn of(comparisons: &[(ComparisonVerdict, bool)], requirements: &[RequirementResult]) -> Verdict {
    let comparisons: Vec<Comparison> = comparisons.iter().map(|&(v, down)| comparison(v, down)).collect();
    let count = comparisons.len() as u64;
    verdict(&comparisons, requirements, count, count, Verdict::Pass)
}

#[test]
fn a_checkpoint_is_what_the_worst_of_its_own_comparisons_is() {
    for (comparisons, expected) in [
        (&[(Pass, false), (Pass, false)][..], Verdict::Pass),
        (&[(Pass, false), (Fail, false)], Verdict::Fail),
        (&[(Error, false), (Pass, false)], Verdict::Error),
        (&[(Error, false), (Fail, false)], Verdict::Fail),
        (&[(Fail, true), (Pass, false)], Verdict::Blocked),
        (&[(Error, true), (Pass, false)], Verdict::Blocked),
        (&[(Fail, true), (Fail, false)], Verdict::Fail),
        (&[(Fail, true), (Error, false)], Verdict::Error),
    ] {
        assert_eq!(of(comparisons, &[]), expected, "{comparisons:?}");
    }
}

#[test]
fn a_checkpoint_is_no_better_than_its_requirements() {
    let passed = [(Pass, false)];
    let with = |verdict| of(&passed, &[requirement(Pass, vec![]), requirement(verdict, vec![])]);
    assert_eq!(with(Pass), Verdict::Pass);
    assert_eq!(with(Fail), Verdict::Fail);
    assert_eq!(with(Error), Verdict::Error);
    assert_eq!(with(Missing), Verdict::Incomplete);
    let broken = [(Error, false)];
    assert_eq!(of(&broken, &[requirement(Fail, vec![])]), Verdict::Fail);
    let mut short = requirement(Pass, vec![]);
    short.checked = 1;
    assert_eq!(of(&passed, &[short.clone()]), Verdict::Incomplete);
    short.checked = 3;
    assert_eq!(of(&passed, &[short]), Verdict::Pass);
}

#[test]
fn a_requirement_that_holds_and_says_something_is_a_reservation() {
    let with = |verdict, reason| of(&[(Pass, false)], &[requirement(verdict, vec![finding(reason)])]);
    assert_eq!(with(Pass, Reason::Budget), Verdict::Conditional);
    assert_eq!(with(Pass, Reason::Missing), Verdict::Pass);
    assert_eq!(with(Incomplete, Reason::Budget), Verdict::Pass);
}

#[test]
fn as_many_are_compared_as_are_required_and_there_are_some() {
    let two = [comparison(Pass, false), comparison(Pass, false)];
    let counted = |compared, required| verdict(&two, &[], compared, required, Verdict::Pass);
    assert_eq!(counted(2, 2), Verdict::Pass);
    assert_eq!(counted(1, 2), Verdict::Incomplete);
    assert_eq!(counted(2, 1), Verdict::Incomplete);
    assert_eq!(counted(2, 3), Verdict::Incomplete);
    assert_eq!(verdict(&two[..1], &[], 2, 2, Verdict::Pass), Verdict::Incomplete);
    assert_eq!(verdict(&[], &[], 0, 0, Verdict::Pass), Verdict::Incomplete);
}

#[test]
fn without_references_that_agree_nothing_is_judged() {
    let under = |comparison, quorum| verdict(&[comparison], &[], 1, 1, quorum);
    assert_eq!(under(comparison(Fail, false), Verdict::Error), Verdict::Error);
    assert_eq!(under(comparison(Pass, false), Verdict::Error), Verdict::Error);
    assert_eq!(under(comparison(Pass, false), Verdict::Incomplete), Verdict::Incomplete);
    assert_eq!(under(comparison(Pass, false), Verdict::Conditional), Verdict::Pass);
    assert_eq!(under(comparison(Fail, false), Verdict::Incomplete), Verdict::Fail);
}

/// The requirement of a spec with this check, its place, and that of the spec.
fn asked(check: Check) -> (usize, usize, Requirement) {
    let specs = specs();
    let mut all = specs.specs.iter().enumerate().flat_map(|(spec, found)| {
        found.requirements.iter().enumerate().map(move |(place, asked)| (spec, place, asked.clone()))
    });
    all.find(|(_, _, asked)| asked.check == check).unwrap()
}

fn examination(spec: usize, requirement: usize, reasons: &[Reason]) -> ExaminedRequirement {
    let findings = reasons.iter().map(|&reason| finding(reason)).collect();
    ExaminedRequirement { spec, requirement, required: 3, examination: Examination { checked: 2, findings } }
}

#[test]
fn an_examination_is_as_bad_as_what_it_found() {
    for (reasons, expected) in [
        (&[][..], Pass),
        (&[Reason::Missing], Missing),
        (&[Reason::Missing, Reason::Unreadable], Error),
        (&[Reason::Unreadable], Error),
        (&[Reason::Missing, Reason::Budget], Fail),
        (&[Reason::Unreadable, Reason::Budget], Fail),
        (&[Reason::NonFinite], Fail),
    ] {
        let (spec, place, asked) = asked(Check::Finite);
        let mut found = assay(vec![]);
        // Neither those of another spec nor those of another requirement count.
        found.requirements = vec![
            examination(spec, place, reasons),
            examination(spec + 1, place, &[Reason::Invariant]),
            examination(spec, place + 1, &[Reason::Invariant]),
        ];
        let result = examined(spec, place, &asked, &[found.clone(), found]);
        assert_eq!((result.verdict, result.checked, result.required), (expected, 4, 6), "{reasons:?}");
        assert_eq!(result.findings.len(), (2 * reasons.len()).min(FINDINGS));
    }
}

#[test]
fn a_range_is_a_warning_and_findings_are_kept_up_to_a_number() {
    let (spec, place, asked) = asked(Check::PlausibleRange);
    let mut found = assay(vec![]);
    found.requirements = vec![examination(spec, place, &[Reason::Budget; 9])];
    let result = examined(spec, place, &asked, &[found]);
    assert_eq!((result.verdict, result.findings.len()), (Pass, FINDINGS));
}

fn agreed(comparisons: &[Comparison], of: &[&str]) -> RequirementResult {
    let (spec, _, mut asked) = asked(Check::Agreement);
    asked.of = of.iter().map(|&name| name.to_owned()).collect();
    agreement(&specs().specs[spec], &asked, comparisons, &[])
}

#[test]
fn agreement_is_that_of_the_comparisons_it_is_of() {
    let (spec, ..) = asked(Check::Agreement);
    let specs = specs();
    let [own, other] = [0, 1].map(|index| specs.specs[spec].activations[index].name.clone());
    let named = |name: &str, verdict, downstream| {
        let layer = name.contains("{l}").then_some(0);
        Comparison { name: name.replace("{l}", "0"), layer, ..comparison(verdict, downstream) }
    };
    let result = agreed(&[named(&own, Pass, false), named(&other, Fail, false)], &[&own]);
    assert_eq!((result.verdict, result.checked, result.required), (Pass, 1, 1));
    assert_eq!(result.findings, []);

    let mut absent = named(&own, Missing, false);
    absent.outcome = missing("subject");
    let result = agreed(&[absent, named(&own, Pass, false), named(&own, Fail, true)], &[&own]);
    assert_eq!((result.verdict, result.checked, result.required), (Missing, 2, 3));
    let reasons: Vec<Reason> = result.findings.iter().map(|finding| finding.reason).collect();
    assert_eq!(reasons, [Reason::Unreadable; 2]);
    assert_eq!(
        result.findings[0].message,
        format!("against {}: missing from subject", comparison(Pass, false).reference)
    );

    // Where all of it is a consequence nothing is known, and where there is none nothing is asked.
    assert_eq!(agreed(&[named(&own, Fail, true)], &[&own]).verdict, Incomplete);
    assert_eq!(agreed(&[], &[&own]).verdict, Pass);
}

#[test]
fn a_chained_error_is_told_with_what_is_allowed() {
    let chained = Comparison {
        reason: Some(Reason::Chained),
        chained_allowed: Some(Measured(1e-3)),
        ..comparison(Fail, false)
    };
    assert!(message(&chained).ends_with("1.000e-3 is allowed, by the errors of replicas"));
    assert!(!message(&Comparison { reason: Some(Reason::Budget), ..chained }).contains("allowed"));
}

#[test]
fn a_tensor_that_no_spec_asks_for_fails() {
    let (_, _, asked) = asked(Check::NothingUnexpected);
    let clean = nothing_unexpected(&asked, &[assay(vec![]), assay(vec![])]);
    assert_eq!((clean.verdict, clean.checked, clean.required), (Pass, 2, 2));
    let mut dirty = assay(vec![]);
    dirty.unexpected = vec![TensorName::of_step(0, "more")];
    let found = nothing_unexpected(&asked, &[dirty]);
    assert_eq!((found.verdict, found.findings[0].reason), (Fail, Reason::Unexpected));
    assert_eq!(found.findings[0].tensor, "step0/more");
}

#[test]
fn a_checkpoint_counts_what_was_compared_and_what_was_tied() {
    let specs = specs();
    let law = Law { specs: &specs, subject_weights: false };
    let tied = compared(StatisticsRecord { ties: 2, ..statistics() });
    let observed = |name: &str, outcome| observation(&specs, name, Mode::Isolated, outcome);
    let mut fails = observed("logits", failed());
    fails.inputs = vec![TensorName::of_step(0, "ln_f")];
    let assays = [assay(vec![
        observed("ln_f", missing("subject")),
        observed("token", tied.clone()),
        observed("token", missing("subject")),
        observed("token", tied),
        fails.clone(),
        Observation { outcome: compared(statistics()), ..fails },
    ])];
    let mut facts = facts();
    let what = NotApplicable { what: "here".to_owned(), reason: "so".to_owned() };
    let elsewhere = NotApplicable { what: "there".to_owned(), ..what.clone() };
    facts.not_applicable = vec![("10".to_owned(), what.clone()), ("11".to_owned(), elsewhere)];
    let found = judge(law, 10, &facts, &assays, 3, Verdict::Pass);
    assert_eq!((found.id.as_str(), found.compared, found.required, found.ties), ("10", 2, 3, 4));
    assert_eq!((found.comparisons.len(), found.not_applicable), (3, vec![what]));
    let flags = |index| {
        let comparisons = judge(law, index, &facts, &assays, 2, Verdict::Pass).comparisons;
        comparisons.iter().map(|found| (found.verdict, found.downstream)).collect::<Vec<_>>()
    };
    assert!(flags(8).ends_with(&[(Fail, true), (Pass, false)]), "{:?}", flags(8));
}

fn figure(checkpoint: &str, implementation: &str, used: Option<f64>) -> PeerFigure {
    PeerFigure {
        checkpoint: checkpoint.to_owned(),
        implementation: implementation.to_owned(),
        chained_max_abs: Measured(0.0),
        isolated_max_abs: Measured(0.0),
        budget_used: used.map(Measured),
        ceiling_used: None,
    }
}

/// What is said of which checkpoint, of a run with these figures and no fault panel.
fn said(peers: &[PeerFigure], requirements: Vec<RequirementResult>) -> Vec<(Option<String>, String)> {
    let specs = specs();
    let law = Law { specs: &specs, subject_weights: false };
    let mut checkpoint = judge(law, 1, &facts(), &[], 1, Verdict::Pass);
    checkpoint.requirements = requirements;
    let panel = crate::judge::faults::judge(&specs, &facts());
    let known = Reservation { checkpoint: None, message: "known".to_owned() };
    let facts = RunFacts { reservations: vec![known], ..facts() };
    let said = reservations(&specs, &facts, &[checkpoint], peers, &panel);
    said.into_iter().map(|found| (found.checkpoint, found.message)).collect()
}

#[test]
fn a_budget_that_is_half_used_is_a_reservation_of_the_subject() {
    let about = |checkpoint: &str, who: &str, used| said(&[figure(checkpoint, who, used)], vec![]).len() - 2;
    assert_eq!(about("01", "subject@f32", Some(0.5)), 0);
    assert_eq!(about("01", "subject@f32", Some(0.51)), 1);
    assert_eq!(about("01", "subject@f32", Some(1.0)), 1);
    // Beyond the budget it is no reservation any more; what others use, and elsewhere, is not asked.
    for (checkpoint, who, used) in [
        ("01", "subject@f32", Some(1.01)),
        ("01", "subject@f32", Some(f64::NAN)),
        ("01", "subject@f32", None),
        ("01", "first@f32", Some(0.9)),
        ("02", "subject@f32", Some(0.9)),
    ] {
        assert_eq!(about(checkpoint, who, used), 0, "{checkpoint} {who} {used:?}");
    }
}

#[test]
fn reservations_are_those_of_the_run_then_those_found() {
    let warning = requirement(Pass, vec![finding(Reason::Budget)]);
    let told = said(&[figure("01", "subject@f32", Some(0.75))], vec![warning, requirement(Pass, vec![])]);
    let [known, warned, heavy, unproven] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*known, (None, "known".to_owned()));
    assert_eq!(*warned, (Some("01".to_owned()), "01.1: said".to_owned()));
    assert!(heavy.1.starts_with("75 % of a rounding budget"), "{heavy:?}");
    assert_eq!(unproven.0.as_deref(), Some(FAULT_PANEL));

    let panel = FaultPanel { extent: Extent::Fast, ..crate::judge::faults::judge(&specs(), &facts()) };
    assert_eq!(reservations(&specs(), &facts(), &[], &[], &panel), []);
    assert_eq!(facts().cases[0].0.id, CASE);
}
