//! The panel of a run: what is counted, and what its verdict is.

use crate::judge::fixtures::{facts, specs};

use super::super::*;

/// What the gate made of every fault, as it was declared.
fn as_declared(specs: &SpecSet) -> Vec<FaultObservation> {
    let observed = |(checkpoint, fault): (&str, &FaultSpec)| FaultObservation {
        id: fault.id.clone(),
        changed: fault.equivalent.is_none(),
        killer: fault.equivalent.is_none().then(|| Killer {
            by: fault.killer(checkpoint).to_owned(),
            reason: fault.reasons[0],
            tensor: None,
            mode: None,
            margin: None,
            message: String::new(),
        }),
        refusals: BTreeMap::new(),
        verdict: if fault.equivalent.is_none() { Verdict::Fail } else { Verdict::Pass },
    };
    specs.faults().map(observed).collect()
}

fn panel(extent: Extent, change: impl FnOnce(&mut RunFacts)) -> FaultPanel {
    let specs = specs();
    let observations = as_declared(&specs);
    let mut facts = RunFacts { faults: FaultFacts { extent, observations, problem: None }, ..facts() };
    change(&mut facts);
    judge(&specs, &facts)
}

#[test]
fn every_fault_is_counted_once() {
    let all = panel(Extent::All, |_| {});
    let specs = specs();
    assert_eq!((all.verdict, all.declared), (Verdict::Pass, specs.faults().count() as u64));
    assert_eq!(all.faults.len() as u64, all.declared);
    assert_eq!(all.required + all.not_exercised + all.equivalent, all.declared);
    assert_eq!((all.killed, all.case.as_deref()), (all.required, Some("tiny")));
    assert!(all.killed > 50 && all.not_exercised > 0, "{} {}", all.killed, all.not_exercised);
    let not_exercised = all.faults.iter().filter(|fault| fault.word == FaultWord::NotExercised);
    for fault in not_exercised {
        assert!(fault.note.as_deref().is_some_and(|note| note.starts_with("needs ")), "{fault:?}");
    }
    let fast = panel(Extent::Fast, |_| {});
    assert!(fast.faults.len() < all.faults.len() && !fast.faults.is_empty());
    assert_eq!((fast.verdict, fast.declared), (Verdict::Pass, all.declared));
    let none = panel(Extent::None, |_| {});
    assert_eq!((none.verdict, none.faults.len(), none.case), (Verdict::Conditional, 0, None));
}

#[test]
fn a_panel_is_that_of_the_checkpoints_that_were_asked_for() {
    let of = panel(Extent::All, |facts| facts.selected = vec!["06".to_owned()]);
    assert!(of.faults.iter().all(|fault| fault.checkpoint == "06") && !of.faults.is_empty());
    assert_eq!(of.declared, of.faults.len() as u64);
}

#[test]
fn without_a_case_nothing_that_needs_one_is_exercised() {
    let of = panel(Extent::All, |facts| facts.cases.clear());
    let specs = specs();
    for (fault, (_, declared)) in of.faults.iter().zip(specs.faults()) {
        assert_eq!(fault.word == FaultWord::NotExercised, !declared.needs.is_empty(), "{}", fault.id);
    }
}

#[test]
fn one_fault_that_is_not_as_declared_turns_the_panel() {
    let after = |change: fn(&mut FaultFacts)| panel(Extent::All, |facts| change(&mut facts.faults)).verdict;
    assert_eq!(after(|faults| drop(faults.observations.remove(0))), Verdict::Incomplete);
    assert_eq!(after(|faults| faults.problem = Some("refused".to_owned())), Verdict::Incomplete);
    assert_eq!(after(|faults| faults.observations[0].killer = None), Verdict::Fail);
    assert_eq!(after(|faults| faults.observations[0].changed = false), Verdict::Fail);
}
