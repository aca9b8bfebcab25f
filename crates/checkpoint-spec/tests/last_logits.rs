//! Where a chain computes no more than the logits of the last position, they have the bits of those of a whole step.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests look at more of a scene")]
mod support;

use checkpoint_spec::SpecSet;
use graph::Step;
use oracle::{ApplyError, Arithmetic, Array, Chain, Exact, Model, Operand, Replica, Way, scheduled};
use support::model;

/// The logits of the last position of each step, once from all that is computed and once alone.
fn both_ways<A: Arithmetic<Value = Array<T>> + Copy, T: Copy + Into<f64>>(model: &Model, arithmetic: A) {
    let case = model::case(2, &[5, 1, 3], 0);
    let (mut whole, mut alone) =
        (Chain::new(model, arithmetic).unwrap(), Chain::new(model, arithmetic).unwrap());
    let bits = |array: &Array<T>| array.values.iter().map(|&x| x.into().to_bits()).collect::<Vec<u64>>();
    for (index, positions) in case.steps().enumerate() {
        let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
        let ids = scheduled(&case, step);
        let mut expected = None;
        whole
            .step(&ids, |node, value| {
                if let (true, Operand::Floats(value)) = (node.name == "logits.last", value) {
                    expected = Some(value.clone());
                }
                Ok::<(), ApplyError>(())
            })
            .unwrap();
        let (expected, found) = (expected.unwrap(), alone.last_logits(&ids).unwrap());
        assert_eq!(found.shape, expected.shape);
        assert_eq!(bits(&found), bits(&expected), "step {index}");
    }
}

#[test]
fn logits_that_are_computed_alone_are_the_same() {
    let model = model::tiny(SpecSet::bundled("gpt2").unwrap().graph());
    both_ways(&model, Exact);
    for way in Way::REPLICAS {
        both_ways(&model, Replica { way, half: None });
    }
}
