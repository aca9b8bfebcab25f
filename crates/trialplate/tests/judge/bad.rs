//! Dumps that are none, or not of this model: each refused by name.

use capture::dump::Dump;
use checkpoint_spec::{ComparisonVerdict, Reason, Verdict};
use trialplate::{CheckOptions, Map, Names, Problem, Tokens, check};

use crate::support::{bundled, checked, floats32, integers, right};

fn one_changed(change: impl Fn(&mut Dump)) -> checkpoint_spec::PartResults {
    let subject = bundled();
    let mut dump = right(&subject, 1, 6);
    change(&mut dump);
    checked(&dump, &subject)
}

fn refused(change: impl Fn(&mut Dump), options: &CheckOptions) -> Problem {
    let subject = bundled();
    let mut dump = right(&subject, 1, 6);
    change(&mut dump);
    check("dump", &dump, &subject, options).unwrap_err()
}

#[test]
fn a_wrong_shape_fails_and_is_not_compared() {
    let results =
        one_changed(|dump| drop(dump.tensors.insert("h.1.ln_2".into(), floats32(&[1, 6, 64], &[0.0; 384]))));
    let first = results.first_divergence.clone().unwrap();
    assert_eq!((first.activation.as_str(), first.reason), ("h.1.ln_2", Reason::Shape));
    assert_eq!((results.verdict, results.exit_code), (Verdict::Fail, 1));
    // What follows from it is judged through it.
    let fc = results.comparisons.iter().find(|found| found.comparison.name == "h.1.mlp.fc").unwrap();
    assert_eq!(
        (fc.comparison.verdict, fc.through.as_slice()),
        (ComparisonVerdict::Pass, &["step0/h.1.ln_2".to_owned()][..])
    );
}

#[test]
fn nan_fails_where_it_is_and_what_follows_is_downstream() {
    let results = one_changed(|dump| {
        let own = &dump.tensors["h.2.attn.probs"];
        let mut values = own.to_f32().unwrap();
        values[3] = f32::NAN;
        let nan = floats32(&own.shape, &values);
        dump.tensors.insert("h.2.attn.probs".into(), nan);
    });
    let first = results.first_divergence.clone().unwrap();
    assert_eq!((first.activation.as_str(), first.reason), ("h.2.attn.probs", Reason::NonFinite));
    let context =
        results.comparisons.iter().find(|found| found.comparison.name == "h.2.attn.context").unwrap();
    assert!(context.comparison.downstream);
}

#[test]
fn what_is_missing_is_counted_and_what_is_extra_is_listed() {
    let results = one_changed(|dump| drop(dump.tensors.remove("h.0.attn.q")));
    assert_eq!((results.verdict, results.compared), (Verdict::Conditional, results.of_model));
    let results = one_changed(|dump| drop(dump.tensors.insert("h.9.attn.q".into(), floats32(&[1], &[0.0]))));
    assert_eq!((results.verdict, results.unused[0].name.as_str()), (Verdict::Conditional, "h.9.attn.q"));
}

#[test]
fn a_wrong_dtype_is_no_pass() {
    let results =
        one_changed(|dump| drop(dump.tensors.insert("h.0.mid".into(), integers(&[1, 6, 128], &[0; 768]))));
    let first = results.first_divergence.unwrap();
    assert_eq!((first.activation.as_str(), first.reason), ("h.0.mid", Reason::DType));
}

#[test]
fn tokens_beyond_the_vocabulary_are_refused_by_name() {
    let problem = refused(
        |dump| drop(dump.tensors.insert("token_ids".into(), integers(&[1, 6], &[1, 2, 3, 4, 5, 1024]))),
        &CheckOptions::default(),
    );
    assert!(problem.to_string().contains("token id 1024"), "{problem}");
    assert_eq!(problem.code(), 2);
}

#[test]
fn tokens_that_are_not_those_of_the_dump_are_refused_by_name() {
    for ids in [vec![vec![1, 2, 3, 4, 5, 6]], vec![vec![1, 2, 3]]] {
        let options = CheckOptions { tokens: Tokens::Ids(ids.clone()), ..CheckOptions::default() };
        let problem = refused(|_| (), &options);
        assert!(problem.to_string().contains("are not those of the dump"), "{problem}");
        let problem = refused(
            |dump| drop(dump.tensors.remove("token_ids")),
            &CheckOptions { tokens: Tokens::Ids(vec![vec![1, 2, 3]]), ..CheckOptions::default() },
        );
        assert!(problem.to_string().contains("are not those of the dump"), "{problem}");
    }
    let results = one_changed(|dump| {
        drop(dump.tensors.insert("token_ids".into(), integers(&[1, 6], &[9, 9, 9, 9, 9, 9])))
    });
    assert_eq!(results.first_divergence.unwrap().activation, "embd");
}

fn by_map(text: &str) -> CheckOptions {
    CheckOptions { names: Names::Map("m".into(), Map::parse("m", text).unwrap()), ..CheckOptions::default() }
}

#[test]
fn a_map_that_sends_two_tensors_to_one_name_is_refused() {
    let text = "[[tensor]]\ntheirs = \"h.0.ln_1\"\nours = \"h.0.ln_1\"\n[[tensor]]\ntheirs = \"h.0.ln_2\"\nours = \"h.0.ln_1\"";
    let problem = refused(|_| (), &by_map(text));
    assert!(problem.to_string().contains("both \"h.0.ln_1\" and \"h.0.ln_2\""), "{problem}");
    assert_eq!(problem.code(), 64);
}

#[test]
fn a_map_of_what_there_is_not_is_refused() {
    let problem = refused(|_| (), &by_map("[[tensor]]\ntheirs = \"h.0.ln_1\"\nours = \"h.0.lm_1\""));
    assert!(problem.to_string().contains("`h.0.lm_1` is no activation"), "{problem}");
    let problem = refused(|_| (), &by_map("[[tensor]]\ntheirs = \"nothing\"\nours = \"embd\""));
    assert!(problem.to_string().contains("no tensor of the dump"), "{problem}");
}

#[test]
fn a_dump_of_another_model_is_no_pass() {
    let problem = check("dump", &Dump::default(), &bundled(), &CheckOptions::default()).unwrap_err();
    assert!(problem.to_string().contains("no tensor of the dump"));
    let subject = bundled();
    let mut dump = right(&subject, 1, 6);
    for tensor in dump.tensors.values_mut().filter(|tensor| tensor.dtype.is_float()) {
        *tensor = floats32(&tensor.shape.clone(), &vec![1.0; tensor.elements()]);
    }
    assert_eq!(checked(&dump, &subject).verdict, Verdict::Fail);
}
