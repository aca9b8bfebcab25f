//! Single mistakes, put in: the first culprit and the name of the bug.

use std::collections::BTreeMap;

use checkpoint_spec::{PartResults, SpecSet, Verdict};
use trialplate::Subject;

use crate::support::{bundled, case, checked, dump, only, qwen3, right};

/// What became of all mistakes that the family knows.
#[derive(Debug, Default)]
struct Tally {
    named: usize,
    located: Vec<String>,
    elsewhere: Vec<String>,
    unseen: Vec<String>,
}

impl Tally {
    fn put_in_all(subject: &Subject, keep: impl Fn(&str) -> bool) -> Self {
        let (mut tally, specs) = (Self::default(), &subject.specs);
        let case = case(subject, 1, 8, &[8]);
        let order = subject.model.graph.order(subject.architecture().layers).unwrap();
        let whole = right(subject, 1, 8);
        for (_, fault) in specs.faults().filter(|(_, fault)| !fault.places.is_empty()) {
            let Ok(mutations) = specs.mutated(&fault.places, &subject.model.graph, subject.architecture())
            else {
                continue;
            };
            let Some(wrong) = dump(subject, &case, &mutations) else { continue };
            if wrong == whole {
                continue;
            }
            let changed: Vec<&str> = order
                .iter()
                .filter(|node| mutations.contains_key(&node.name))
                .filter(|node| wrong.tensors[&node.name] != whole.tensors[&node.name])
                .map(|node| node.name.as_str())
                .collect();
            if changed.is_empty() {
                continue;
            }
            let results = checked(&only(&wrong, &keep), subject);
            tally.note(&fault.id, &changed, &results, specs);
        }
        tally
    }

    fn note(&mut self, id: &str, changed: &[&str], results: &PartResults, specs: &SpecSet) {
        let Some(divergence) = &results.first_divergence else {
            self.unseen.push(id.to_owned());
            return;
        };
        // Of a whole dump it is the first that was changed; a cut has one of them inside.
        let here = results.first().is_some_and(|found| {
            let inside =
                |name: &&str| found.through.iter().any(|through| through == &format!("step0/{name}"));
            let at = |name: &&str| divergence.activation == *name;
            if found.through.is_empty() {
                changed.iter().take(1).any(at)
            } else {
                changed.iter().any(|name| at(name) || inside(name))
            }
        });
        let first = changed[0];
        let named = results.diagnosis().and_then(|diagnosis| diagnosis.named.first());
        if !here {
            self.elsewhere.push(format!("{id}: {} for {first}", divergence.activation));
        } else if named.is_some_and(|bug| bug.id == id || is_same(specs, id, &bug.id)) {
            self.named += 1;
        } else {
            self.located.push(format!("{id} at {first}: {:?}", named.map(|bug| &bug.id)));
        }
    }

    fn all(&self) -> usize {
        self.named + self.located.len() + self.elsewhere.len() + self.unseen.len()
    }
}

/// Whether a fault puts that mutation in.
fn is_same(specs: &SpecSet, fault: &str, mutation: &str) -> bool {
    let fault = specs.faults().find(|(_, known)| known.id == fault);
    fault.is_some_and(|(_, fault)| {
        fault.places.iter().any(|place| place.mutation.as_deref() == Some(mutation))
    })
}

#[test]
fn a_whole_forward_pass_that_is_right_passes() {
    for subject in [bundled(), qwen3()] {
        let results = checked(&right(&subject, 1, 12), &subject);
        assert_eq!(
            (results.verdict, results.exit_code),
            (Verdict::Pass, 0),
            "{:?}",
            results.first_divergence
        );
        assert_eq!((results.compared, results.dumped - 1), (results.dumped, results.of_model));
        assert_eq!((results.reach.together, results.reach.unseen), (0, 0));
    }
}

#[test]
fn steps_of_a_decode_are_judged_alike() {
    for subject in [bundled(), qwen3()] {
        let case = case(&subject, 2, 9, &[6, 1, 2]);
        let results = checked(&dump(&subject, &case, &BTreeMap::new()).unwrap(), &subject);
        assert_eq!(results.verdict, Verdict::Pass, "{:?}", results.first_divergence);
        assert_eq!(results.case.steps, 3);
    }
}

#[test]
fn single_mistakes_are_found_where_they_are_and_named() {
    for subject in [bundled(), qwen3()] {
        let tally = Tally::put_in_all(&subject, |_| true);
        println!("{} of {} named; {tally:#?}", tally.named, tally.all());
        assert!(tally.all() >= 30, "{tally:#?}");
        assert!(tally.elsewhere.is_empty(), "{tally:#?}");
        assert!(tally.named * 10 >= tally.all() * 9, "{tally:#?}");
    }
}

#[test]
fn of_hidden_states_alone_most_mistakes_are_still_seen_and_named() {
    let subject = qwen3();
    let keep = |name: &str| name == "token_ids" || name == "embd" || name == "logits" || is_stream(name);
    let tally = Tally::put_in_all(&subject, keep);
    println!("{} of {} named; {tally:#?}", tally.named, tally.all());
    assert!(tally.elsewhere.is_empty(), "{tally:#?}");
    assert!(tally.unseen.len() * 3 <= tally.all(), "{tally:#?}");
    assert!(tally.named * 2 >= tally.all(), "{tally:#?}");
}

fn is_stream(name: &str) -> bool {
    name.strip_prefix("h.")
        .is_some_and(|rest| rest.split('.').nth(1) == Some("out") && rest.split('.').count() == 2)
}
