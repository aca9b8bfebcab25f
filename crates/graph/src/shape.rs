//! The shape that an operation gives, from the shapes of what it is given.

use std::collections::BTreeMap;

use crate::{Layout, Operation};

/// Why an operation cannot be applied to what it is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{operation}` cannot be applied to {given}")]
pub struct ShapeProblem {
    /// The operation.
    pub operation: &'static str,
    /// The shapes of inputs and weights.
    pub given: String,
}

/// The shape of the result: from the shapes of the inputs, in the order of [`Operation::inputs`], those of the weights,
/// in the order of [`Operation::weights`], `[batch, past, new]` of the step, and the model's sizes.
///
/// # Errors
/// If the shapes do not fit the operation.
pub fn output_shape(
    op: &Operation,
    inputs: &[Vec<usize>],
    weights: &[Vec<usize>],
    [batch, past, new]: [usize; 3],
    sizes: &BTreeMap<String, usize>,
) -> Result<Vec<usize>, ShapeProblem> {
    let x = inputs.first().map(Vec::as_slice).unwrap_or_default();
    let y = inputs.get(1).map(Vec::as_slice);
    let shape = match op {
        Operation::Rows { .. } => rows(x, weights),
        Operation::LayerNorm { .. } | Operation::RmsNorm { .. } => {
            let fits = |weight: &Vec<usize>| weight.as_slice() == &x[x.len().saturating_sub(1)..];
            (!x.is_empty() && weights.iter().all(fits)).then(|| x.to_vec())
        }
        Operation::Linear { layout, part, .. } => {
            linear(x, weights, *layout, part.map_or(1, |part| part.count))
        }
        Operation::Cache { .. } => match *x {
            [b, s, h, d] if s == new => Some(vec![b, past + new, h, d]),
            _ => None,
        },
        Operation::RopeTable { width, .. } => {
            let width = sizes.get(width).copied().filter(|width| width % 2 == 0);
            width.map(|width| vec![batch, new, width])
        }
        Operation::Rope { .. } => match (x, inputs) {
            (&[b, s, _, d], [_, cos, sin]) if d % 2 == 0 && cos == sin && *cos == [b, s, d] => {
                Some(x.to_vec())
            }
            _ => None,
        },
        Operation::Scores { .. } => match (x, y) {
            (&[b, s, h, d], Some(&[kb, k, g, kd])) if b == kb && d == kd && g > 0 && h % g == 0 => {
                Some(vec![b, h, s, k])
            }
            _ => None,
        },
        Operation::Mask { .. } => Some(vec![batch, new, past + new]),
        Operation::Softmax { .. } => match (x, y) {
            (_, None) if !x.is_empty() => Some(x.to_vec()),
            (&[b, _, s, k], Some(&[mb, ms, mk])) if (b, s, k) == (mb, ms, mk) => Some(x.to_vec()),
            _ => None,
        },
        Operation::WeightedValues { .. } => match (x, y) {
            (&[b, h, s, k], Some(&[vb, vk, g, d])) if (b, k) == (vb, vk) && g > 0 && h % g == 0 => {
                Some(vec![b, s, h * d])
            }
            _ => None,
        },
        Operation::Gelu { .. } | Operation::Silu { .. } | Operation::Relu { .. } => Some(x.to_vec()),
        Operation::Add { .. } | Operation::Mul { .. } => (y == Some(x)).then(|| x.to_vec()),
        Operation::Last { .. } => match *x {
            [b, s, v] if s > 0 => Some(vec![b, v]),
            _ => None,
        },
        Operation::Argmax { .. } => match *x {
            [b, v] if v > 0 => Some(vec![b]),
            _ => None,
        },
    };
    shape.ok_or_else(|| ShapeProblem {
        operation: op.name(),
        given: format!("{inputs:?} with weights {weights:?}"),
    })
}

fn rows(ids: &[usize], weights: &[Vec<usize>]) -> Option<Vec<usize>> {
    let (&[b, s], [table, positions @ ..]) = (ids, weights) else { return None };
    let &[_, width] = table.as_slice() else { return None };
    let fits = positions.iter().all(|positions| positions.len() == 2 && positions[1] == width);
    fits.then(|| vec![b, s, width])
}

fn linear(x: &[usize], weights: &[Vec<usize>], layout: Layout, parts: usize) -> Option<Vec<usize>> {
    let ((&width, before), [weight, bias @ ..]) = (x.split_last()?, weights) else { return None };
    let (input, output) = match (layout, weight.as_slice()) {
        (Layout::InOut, &[input, output]) | (Layout::OutIn, &[output, input]) => (input, output),
        _ => return None,
    };
    let fits = input == width && bias.iter().all(|bias| *bias == [output]) && output % parts == 0;
    fits.then(|| before.iter().copied().chain([output / parts]).collect())
}

/// Whether a declared shape is that of a result, the last axis of which may be split in two: width into heads.
pub fn is_split_of(declared: &[usize], result: &[usize]) -> bool {
    declared == result
        || match (declared, result.split_last()) {
            ([before @ .., heads, head], Some((&width, rest))) => {
                before == rest && heads.checked_mul(*head) == Some(width)
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> BTreeMap<String, usize> {
        [("Dh".to_owned(), 8), ("odd".to_owned(), 7)].into()
    }

    fn linear_op(layout: Layout, part: Option<crate::Part>) -> Operation {
        Operation::Linear { x: "x".to_owned(), weight: "w".to_owned(), bias: None, layout, part }
    }

    #[test]
    fn the_layout_says_which_axis_is_summed_over() {
        let shape = |layout, weight: [usize; 2]| {
            output_shape(&linear_op(layout, None), &[vec![2, 3, 8]], &[weight.to_vec()], [2, 0, 3], &sizes())
        };
        assert_eq!(shape(Layout::InOut, [8, 24]), Ok(vec![2, 3, 24]));
        assert_eq!(shape(Layout::OutIn, [24, 8]), Ok(vec![2, 3, 24]));
        assert!(shape(Layout::InOut, [24, 8]).is_err() && shape(Layout::OutIn, [8, 24]).is_err());
    }

    #[test]
    fn a_width_may_be_declared_as_heads_and_nothing_else() {
        assert!(is_split_of(&[2, 3, 4, 2], &[2, 3, 8]) && is_split_of(&[2, 3, 8], &[2, 3, 8]));
        assert!(!is_split_of(&[2, 12, 2], &[2, 3, 8]) && !is_split_of(&[3, 2, 8], &[2, 3, 8]));
    }

    #[test]
    fn sums_need_one_shape_and_scores_one_head_width() {
        let add = Operation::Add { x: "x".to_owned(), y: "y".to_owned() };
        assert!(output_shape(&add, &[vec![2, 3], vec![3, 2]], &[], [2, 0, 3], &sizes()).is_err());
        let scores = Operation::Scores { q: "q".to_owned(), k: "k".to_owned(), scale: None };
        let of =
            |k: [usize; 4]| output_shape(&scores, &[vec![2, 3, 4, 8], k.to_vec()], &[], [2, 5, 3], &sizes());
        assert_eq!(of([2, 8, 4, 8]), Ok(vec![2, 4, 3, 8]));
        assert_eq!(of([2, 8, 2, 8]), Ok(vec![2, 4, 3, 8]), "grouped heads");
        assert!(of([2, 8, 3, 8]).is_err() && of([2, 8, 4, 4]).is_err());
    }

    #[test]
    fn what_turns_heads_is_as_wide_as_they_are_and_even() {
        let table = |width: &str| Operation::RopeTable {
            of: crate::Wave::Cos,
            width: width.to_owned(),
            theta: crate::Constant::Named("theta".to_owned()),
            scaling: None,
        };
        assert_eq!(output_shape(&table("Dh"), &[], &[], [2, 5, 3], &sizes()), Ok(vec![2, 3, 8]));
        assert!(output_shape(&table("odd"), &[], &[], [2, 5, 3], &sizes()).is_err());
        let [x, cos, sin] = ["x", "cos", "sin"].map(str::to_owned);
        let rope = Operation::Rope { x, cos, sin, pairs: crate::Pairs::Half };
        let of = |tables: [[usize; 3]; 2]| {
            let inputs = [vec![2, 3, 4, 8], tables[0].to_vec(), tables[1].to_vec()];
            output_shape(&rope, &inputs, &[], [2, 5, 3], &sizes())
        };
        assert_eq!(of([[2, 3, 8]; 2]), Ok(vec![2, 3, 4, 8]));
        assert!(of([[2, 3, 4]; 2]).is_err() && of([[2, 3, 8], [2, 8, 8]]).is_err());
    }
}
