//! Generation past a flip: who may be asked again, fed the oracle's tokens.

use checkpoint_spec::{Verdict, first_flips_are_ties};

use crate::support::{Scene, checkpoint};

/// Tokens generated per row in [`Scene::correct`].
const GENERATED: usize = 3;
const VOCABULARY: usize = 11;

/// The subject's second token of the second row is another one; the oracle's logit of it is `gap` below the largest.
fn flipped(gap: f64) -> Scene {
    let mut scene = Scene::correct();
    let position = GENERATED + 1;
    let expected = scene.oracle(0).get("generated").view().to_i64().unwrap()[position];
    let other = (expected as usize + 1) % VOCABULARY;
    for index in 0..2 {
        scene.oracle(index).change("generated.logits", |logits| {
            let row = &mut logits[position * VOCABULARY..][..VOCABULARY];
            row[other] = row[expected as usize] - gap;
        });
    }
    scene.run().change("generated", |tokens| tokens[position] = other as f64);
    scene
}

fn may_be_asked_again(scene: &Scene) -> bool {
    scene.each_case(first_flips_are_ties) == [true]
}

#[test]
fn who_generates_what_the_oracle_generates_or_flips_at_a_tie_may_be_fed_its_tokens() {
    assert!(may_be_asked_again(&Scene::correct()));
    assert!(may_be_asked_again(&flipped(0.0)));
}

#[test]
fn a_wrong_generation_is_not_asked_again_until_it_is_right() {
    let scene = flipped(0.5);
    assert!(!may_be_asked_again(&scene));
    assert_eq!(checkpoint(&scene.results(), "12").verdict, Verdict::Fail);
}

#[test]
fn a_tie_does_not_excuse_the_row_beside_it() {
    let mut scene = flipped(0.0);
    scene.run().change("generated", |tokens| tokens[0] = (tokens[0] + 1.0) % VOCABULARY as f64);
    assert!(!may_be_asked_again(&scene));
}

#[test]
fn what_cannot_be_read_is_no_tie() {
    let mut scene = Scene::correct();
    scene.run().lose("generated");
    assert!(!may_be_asked_again(&scene));
    let mut scene = flipped(0.0);
    scene.oracle(0).lose("generated.logits");
    assert!(!may_be_asked_again(&scene));
}

/// The subject under another name, with its laws.
pub(super) fn name_subject(scene: &mut Scene, name: &str) {
    let before = scene.facts.subject.to_string();
    scene.facts.subject.name = name.to_owned();
    let after = scene.facts.subject.to_string();
    let its_own = scene.facts.laws.iter_mut().filter(|numbers| numbers.implementation == before);
    its_own.for_each(|numbers| numbers.implementation.clone_from(&after));
}
