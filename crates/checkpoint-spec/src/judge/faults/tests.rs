mod killers;
mod panel;

use capture::Case;

use super::*;
use crate::spec::Need;

fn case(rows: &[&[i64]], schedule: &[usize], generate: usize) -> Case {
    Case {
        id: format!("{}x{}", rows.len(), schedule.len()),
        token_ids: rows.iter().map(|row| row.to_vec()).collect(),
        texts: None,
        schedule: schedule.to_vec(),
        generate,
        forced: None,
    }
}

fn architecture(layers: usize) -> Architecture {
    let sizes = [("B", 1), ("C", 8), ("D", 128), ("H", 2), ("Dh", 8)];
    Architecture {
        family: "gpt2".to_owned(),
        layers,
        sizes: sizes.map(|(symbol, size)| (symbol.to_owned(), size)).into(),
        constants: BTreeMap::new(),
        features: std::collections::BTreeSet::new(),
    }
}

fn fault() -> FaultSpec {
    FaultSpec {
        id: "gelu-erf".to_owned(),
        what: "GELU by erf".to_owned(),
        reasons: vec![Reason::Systematic, Reason::Budget],
        by: None,
        needs: Vec::new(),
        equivalent: None,
        fast: true,
        when: Vec::new(),
        unless: Vec::new(),
        places: Vec::new(),
    }
}

fn observation(by: &str, reason: Reason) -> FaultObservation {
    FaultObservation {
        id: "gelu-erf".to_owned(),
        changed: true,
        killer: Some(Killer {
            by: by.to_owned(),
            reason,
            tensor: None,
            mode: None,
            margin: None,
            message: String::new(),
        }),
        refusals: BTreeMap::new(),
        verdict: Verdict::Fail,
    }
}

#[test]
fn a_fault_is_killed_where_and_why_it_was_declared_and_nowhere_else() {
    let of = |observation: &FaultObservation| word(&fault(), "06", Some(observation));
    assert_eq!(of(&observation("06", Reason::Budget)), FaultWord::Killed);
    assert_eq!(of(&observation("07", Reason::Budget)), FaultWord::Elsewhere);
    assert_eq!(of(&observation("06", Reason::Shape)), FaultWord::OtherReason);
    let mut survivor = observation("06", Reason::Budget);
    survivor.verdict = Verdict::Conditional;
    assert_eq!(of(&survivor), FaultWord::Survived);
    survivor.killer = None;
    assert_eq!(of(&survivor), FaultWord::Survived);
    survivor.changed = false;
    assert_eq!(of(&survivor), FaultWord::Idle);
    assert_eq!(word(&fault(), "06", None), FaultWord::Missing);
}

#[test]
fn what_is_declared_to_change_nothing_must_change_nothing() {
    let fault = FaultSpec { equivalent: Some("no ties".to_owned()), ..fault() };
    let of = |observation: &FaultObservation| word(&fault, "06", Some(observation));
    let mut nothing = observation("06", Reason::Budget);
    assert_eq!(of(&nothing), FaultWord::Matters);
    nothing.killer = None;
    assert_eq!(of(&nothing), FaultWord::Matters);
    nothing.changed = false;
    assert_eq!(of(&nothing), FaultWord::Equivalent);
}

#[test]
fn the_case_with_most_places_for_faults_is_taken_and_of_those_the_shortest() {
    let single = case(&[&[1]], &[1], 4);
    let long = case(&[&[1, 2, 3, 4], &[4, 3, 2, 1]], &[2, 1, 1], 4);
    let short = case(&[&[1, 2, 3], &[3, 2, 1]], &[2, 1], 4);
    let alike = case(&[&[1, 2], &[1, 2]], &[2], 4);
    let chosen = fault_case(&architecture(2), [&single, &long, &short, &alike]);
    assert_eq!(chosen, Some(&short));
    assert_eq!(fault_case(&architecture(2), []), None);
    // Short is what has few positions in all, prompt and generation, of all rows.
    let shortest = |a: &Case, b: &Case| fault_case(&architecture(2), [a, b]).cloned();
    let three_rows = case(&[&[1, 2], &[2, 1], &[1, 1]], &[2], 1);
    let longer_rows = case(&[&[1, 2, 3], &[3, 2, 1]], &[3], 1);
    assert_eq!(shortest(&three_rows, &longer_rows), Some(longer_rows));
    let little_generated = case(&[&[1; 7], &[2; 7]], &[7], 1);
    let fewer_in_all = case(&[&[1, 2, 3, 4], &[4, 3, 2, 1]], &[4], 3);
    assert_eq!(shortest(&little_generated, &fewer_in_all), Some(fewer_in_all));
}

#[test]
fn needs_are_met_by_architecture_and_case_alone() {
    let rich = case(&[&[1; 5], &[2; 5]], &[4, 1], 3);
    let mut grouped = architecture(2);
    grouped.sizes.extend([("G".to_owned(), 2), ("H".to_owned(), 4)]);
    grouped.constants.insert("window".to_owned(), 4.0);
    assert!(Need::ALL.iter().all(|need| need.is_met(&grouped, &rich)));
    for need in [Need::Groups, Need::BeyondWindow] {
        assert!(!need.is_met(&architecture(2), &rich), "{need:?}");
    }
    assert!(!Need::Layers.is_met(&architecture(1), &rich));
    let poor = case(&[&[1], &[1]], &[1], 0);
    for need in [Need::Batch, Need::Tokens, Need::Decode, Need::Generation] {
        assert!(!need.is_met(&architecture(2), &poor), "{need:?}");
    }
    let full = case(&[&[1; 8]], &[8], 0);
    assert!(!Need::Room.is_met(&architecture(2), &full));
    let step_by_step = case(&[&[1; 5], &[2; 5]], &[1; 5], 3);
    assert!(!Need::ManyElements.is_met(&architecture(2), &step_by_step), "each step is judged by itself");
    let mut narrow = architecture(2);
    narrow.sizes.insert("D".to_owned(), 16);
    assert!(!Need::ManyElements.is_met(&narrow, &rich));
    let mut exact = architecture(2);
    exact.sizes.insert("Dh".to_owned(), 16);
    assert!(!Need::RoundedScale.is_met(&exact, &rich));
}

#[test]
fn a_panel_that_was_asked_for_and_shows_nothing_is_no_pass() {
    let facts = |extent, problem: Option<&str>| FaultFacts {
        extent,
        observations: Vec::new(),
        problem: problem.map(str::to_owned),
    };
    assert_eq!(verdict(&facts(Extent::All, None), &[]), Verdict::Incomplete);
    assert_eq!(verdict(&facts(Extent::Fast, Some("refused")), &[]), Verdict::Incomplete);
    assert_eq!(verdict(&facts(Extent::None, None), &[]), Verdict::Conditional);
}
