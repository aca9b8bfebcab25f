//! What a bundle is called. Everything that makes it weaker than it could be is in words, and the beginning of the
//! payload's digest keeps it from ever having the name of another: no run replaces the evidence of another run.

use capture::Case;
use checkpoint_spec::{Extent, Keep, Results, SpecSet};

use crate::layout::name;
use crate::{Digest, Materials, coverage};

/// Longest name of a bundle; a folder that is on its way out or a signature has a longer one still.
const LONGEST: usize = 220;
/// Longest part of a name that somebody chose.
const LONGEST_LABEL: usize = 24;
/// The subject that a name does not tell of.
const USUAL_SUBJECT: &str = "rust@f32";
/// The references that a name does not tell of.
const USUAL_REFERENCES: [&str; 2] = ["torch", "tinygrad"];
/// The exit code of a run in which something was not compared.
const INCOMPLETE: u8 = 4;

/// `<commit12>-<spec8>-<payload8>`, then what makes the bundle another or a weaker one than a full run on a clean commit.
/// `payload` is the digest of `manifest-sha256.txt`.
pub fn bundle_name(
    results: &Results,
    materials: &Materials,
    cases: &[Case],
    law: &SpecSet,
    payload: Digest,
) -> String {
    let commit = materials.git.as_ref().map_or("no-commit", |git| &git.commit);
    let commit: String = name(commit).chars().take(12).collect();
    let mut parts = vec![commit, materials.specs.start(8), payload.start(8)];
    parts.extend(who(results, materials));
    parts.extend(how_much(results, materials, cases, law));
    parts.join("-")
}

/// Whether a bundle can be called that.
pub(crate) fn is_bundle_name(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"@._+-".contains(&b);
    (1..=LONGEST).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(known)
}

/// Which source, subject and references, where they are not the usual ones.
fn who(results: &Results, materials: &Materials) -> Vec<String> {
    let mut words = Vec::new();
    if materials.git.as_ref().is_some_and(|git| git.dirty) {
        words.push("dirty".to_owned());
    }
    let subject = results.subject.to_string();
    if subject != USUAL_SUBJECT {
        words.push(format!("subject-{}", label(&subject)));
    }
    if materials.subject_weights.is_some() {
        words.push("own-weights".to_owned());
    }
    let references: Vec<&str> = results.references.iter().map(|reference| reference.name.as_str()).collect();
    if references.is_empty() {
        words.push("references-none".to_owned());
    } else if references != USUAL_REFERENCES {
        words.push(format!("references-{}", label(&references.join("+"))));
    }
    words
}

/// What was not put in, kept, brought along, run, reported or compared.
fn how_much(results: &Results, materials: &Materials, cases: &[Case], law: &SpecSet) -> Vec<String> {
    let covered = coverage::of(results, cases, law);
    let (cases, checkpoints) = (covered.cases_left_out(), covered.checkpoints_left_out());
    let faults = match results.faults.extent {
        Extent::None => Some("faults-none".to_owned()),
        Extent::Fast => Some("faults-fast".to_owned()),
        Extent::All => None,
    };
    let tensors = match results.tensors.keep {
        Keep::Full => None,
        Keep::Failing => Some("tensors-failing".to_owned()),
        Keep::Digest => Some("tensors-digest".to_owned()),
    };
    let words = [
        faults,
        tensors,
        (!materials.weights_in_bundle).then(|| "without-weights".to_owned()),
        (cases > 0).then(|| format!("without-{cases}-cases")),
        (checkpoints > 0).then(|| format!("without-{checkpoints}-checkpoints")),
        (results.exit_code == INCOMPLETE).then(|| "incomplete".to_owned()),
    ];
    words.into_iter().flatten().collect()
}

/// As much of a name that somebody chose as a bundle's has room for.
fn label(text: &str) -> String {
    name(text).chars().take(LONGEST_LABEL).collect()
}

#[cfg(test)]
mod tests {
    use capture::Precision;
    use checkpoint_spec::{Extent, Keep};

    use super::*;
    use crate::fixtures::{Run, identity};
    use crate::materials::MaterialFile;

    /// What the name of a changed run says beside the three digests.
    fn words(change: impl FnOnce(&mut Run)) -> String {
        let mut run = Run::new();
        run.results.faults.extent = Extent::All;
        run.results.exit_code = 0;
        change(&mut run);
        let law = SpecSet::bundled("gpt2").unwrap();
        let payload = Digest::of(b"payload");
        let name = bundle_name(&run.results, &run.materials, &run.cases, &law, payload);
        assert!(is_bundle_name(&name), "{name}");
        let digests = format!("0123456789ab-{}-{}", run.materials.specs.start(8), payload.start(8));
        name.strip_prefix(&digests).unwrap().to_owned()
    }

    #[test]
    fn whatever_makes_a_bundle_weaker_is_in_its_name() {
        let usual = words(|_| ());
        assert_eq!(usual, "-without-2-cases");
        let without = |words: String| words.replacen(&usual, "", 1);
        let says = |change: fn(&mut Run), word: &str| assert_eq!(without(words(change)), word);
        says(|run| run.results.faults.extent = Extent::None, "-faults-none");
        says(|run| run.results.faults.extent = Extent::Fast, "-faults-fast");
        says(|run| run.results.tensors.keep = Keep::Failing, "-tensors-failing");
        says(|run| run.results.tensors.keep = Keep::Digest, "-tensors-digest");
        says(|run| run.materials.weights_in_bundle = false, "-without-weights");
        says(|run| run.materials.git.as_mut().unwrap().dirty = true, "-dirty");
        says(|run| drop(run.results.checkpoints.pop()), "-without-1-checkpoints");
        says(|run| run.results.exit_code = 4, "-incomplete");
        says(|run| drop(run.results.references.pop()), "-references-torch");
        says(|run| run.results.references.clear(), "-references-none");
        says(|run| run.results.subject = identity("torch", Precision::Bf16), "-subject-torch@bf16");
        says(|run| run.materials.subject_weights = Some(Vec::<MaterialFile>::new()), "-own-weights");
    }

    #[test]
    fn a_bundle_of_everything_weak_has_a_name_all_the_same() {
        let said = words(|run| {
            let name = "an engine/of ".repeat(20);
            run.results.subject = identity(&name, Precision::Bf16);
            run.results.references = vec![identity(&name, Precision::F64); 9];
            run.materials.subject_weights = Some(Vec::new());
            run.materials.weights_in_bundle = false;
            run.materials.git.as_mut().unwrap().dirty = true;
            run.results.faults.extent = Extent::None;
            run.results.tensors.keep = Keep::Failing;
            run.results.exit_code = 4;
            run.results.checkpoints.clear();
            run.cases.clear();
        });
        assert!(said.starts_with("-dirty-subject-an-engine-of") && said.ends_with("-incomplete"), "{said}");
    }

    #[test]
    fn names_of_bundles_cannot_leave_their_folder() {
        for text in ["", ".", "..", "a/b", "a b", "a\nb", "ä", &"a".repeat(LONGEST + 1)] {
            assert!(!is_bundle_name(text), "{text:?}");
        }
    }
}
