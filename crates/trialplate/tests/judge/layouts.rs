//! Tensors whose axes stand in another order, recognised.

use capture::dump::{Dump, DumpTensor};
use checkpoint_spec::Verdict;
use trialplate::{CheckOptions, Map, Names, check};

use crate::support::{bundled, checked, only, qwen3, right};

/// A tensor with its axes in another order.
fn permuted(tensor: &DumpTensor, order: &[usize]) -> DumpTensor {
    let shape: Vec<usize> = order.iter().map(|axis| tensor.shape[*axis]).collect();
    let stride = |axis: usize| tensor.shape[axis + 1..].iter().product::<usize>();
    let size = tensor.dtype.size();
    let mut places = vec![0];
    for axis in order {
        places = places
            .iter()
            .flat_map(|at| (0..tensor.shape[*axis]).map(move |i| at + i * stride(*axis)))
            .collect();
    }
    let bytes = places.iter().flat_map(|at| tensor.bytes()[at * size..(at + 1) * size].to_vec());
    DumpTensor::new(tensor.dtype, &shape, bytes.collect()).unwrap()
}

fn orders(axes: usize) -> Vec<Vec<usize>> {
    if axes == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(axes - 1);
    shorter
        .iter()
        .flat_map(|order| {
            (0..=order.len()).map(|at| {
                let mut order = order.clone();
                order.insert(at, axes - 1);
                order
            })
        })
        .collect()
}

#[test]
fn every_order_of_the_axes_is_named() {
    let subject = bundled();
    let whole = only(&right(&subject, 2, 6), |name| {
        name.starts_with("h.0.") || name == "embd" || name == "token_ids"
    });
    let words = |name: &str| match name {
        "h.0.attn.q" => vec!["batch", "sequence", "head", "Dh"],
        "h.0.attn.scores" | "h.0.attn.probs" => vec!["batch", "head", "sequence", "key"],
        _ => vec!["batch", "sequence", "width"],
    };
    for name in ["h.0.attn.q", "h.0.attn.scores", "h.0.attn.probs", "h.0.out", "h.0.ln_1"] {
        let tensor = &whole.tensors[name];
        for order in orders(tensor.shape.len()) {
            let mut dump = whole.clone();
            dump.tensors.insert(name.to_owned(), permuted(tensor, &order));
            let results = checked(&dump, &subject);
            if order.is_sorted() {
                assert!(results.layouts.is_empty(), "{name} {order:?}");
                continue;
            }
            assert_eq!(results.verdict, Verdict::Fail, "{name} {order:?}");
            let words = words(name);
            let named = format!("[{}]", order.iter().map(|axis| words[*axis]).collect::<Vec<_>>().join(", "));
            let found = results.layouts.iter().find(|layout| layout.activation == name);
            let found = found.unwrap_or_else(|| panic!("{name} {order:?}: no layout was recognised"));
            assert_eq!((found.is.as_str(), found.by_values), (named.as_str(), true), "{name} {order:?}");
        }
    }
}

#[test]
fn a_map_with_the_named_axes_mends_it() {
    let subject = bundled();
    let mut dump: Dump = right(&subject, 2, 6);
    for layer in 0..4 {
        let name = format!("h.{layer}.attn.q");
        let other = permuted(&dump.tensors[&name], &[0, 2, 1, 3]);
        dump.tensors.insert(name, other);
    }
    let results = checked(&dump, &subject);
    assert_eq!((results.layouts.len(), results.layouts[0].axes.as_str()), (4, "b h s d"));
    let text = format!(
        "[[tensor]]\ntheirs = \"h.{{l}}.attn.q\"\nours = \"h.{{l}}.attn.q\"\naxes = \"{}\"\n\
         [[tensor]]\ntheirs = \"h.{{l}}.ln_1\"\nours = \"h.{{l}}.ln_1\"\n[[tensor]]\ntheirs = \"token_ids\"\nours = \"token_ids\"",
        results.layouts[0].axes
    );
    let map = Map::parse("mended", &text).unwrap();
    let options = CheckOptions { names: Names::Map("mended".into(), map), ..CheckOptions::default() };
    let results = check("dump", &dump, &subject, &options).unwrap();
    assert_eq!(results.verdict, Verdict::Conditional, "{:?}", results.first_divergence);
}

#[test]
fn fused_repeated_and_interleaved_heads_are_brought_over() {
    let subject = qwen3();
    let mut dump = right(&subject, 1, 7);
    let map = |extra: &str| {
        let text = format!(
            "[[tensor]]\ntheirs = \"k.{{l}}\"\nours = \"h.{{l}}.attn.k\"\n{extra}\n[[tensor]]\ntheirs = \"kn.{{l}}\"\nours = \
             \"h.{{l}}.attn.k_norm\"\n[[tensor]]\ntheirs = \"token_ids\"\nours = \"token_ids\""
        );
        let map = Map::parse("m", &text).unwrap();
        CheckOptions { names: Names::Map("m".into(), map), ..CheckOptions::default() }
    };
    let copied = |tensor: &DumpTensor, of: &dyn Fn(usize) -> usize, heads: usize| {
        let [batch, new, old, width] = tensor.shape[..] else { panic!("four axes") };
        let bytes = (0..batch * new * heads * width).flat_map(|at| {
            let (row, head, d) = (at / (heads * width), at / width % heads, at % width);
            let at = (row * old + if heads == old { head } else { head * old / heads }) * width + of(d);
            tensor.bytes()[4 * at..4 * at + 4].to_vec()
        });
        DumpTensor::new(tensor.dtype, &[batch, new, heads, width], bytes.collect()).unwrap()
    };
    for layer in 0..3 {
        let own = dump.tensors[&format!("h.{layer}.attn.k")].clone();
        dump.tensors.insert(format!("kn.{layer}"), dump.tensors[&format!("h.{layer}.attn.k_norm")].clone());
        dump.tensors.insert(format!("k.{layer}"), copied(&own, &|d| d, 6));
    }
    let results = check("dump", &dump, &subject, &map("axes = \"b s h d\"\nrepeated = true")).unwrap();
    assert_eq!(results.verdict, Verdict::Conditional, "{:?}", results.first_divergence);
    for layer in 0..3 {
        let own = dump.tensors[&format!("h.{layer}.attn.k")].clone();
        dump.tensors.insert(format!("k.{layer}"), copied(&own, &|d| d / 2 + d % 2 * 6, 3));
    }
    let results = check("dump", &dump, &subject, &map("axes = \"b s h d\"\ninterleaved = true")).unwrap();
    assert_eq!(results.verdict, Verdict::Conditional, "{:?}", results.first_divergence);
    let results = check("dump", &dump, &subject, &map("")).unwrap();
    assert_eq!(results.verdict, Verdict::Fail);
}
