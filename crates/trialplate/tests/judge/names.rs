//! Names that engines give, understood or guessed.

use capture::dump::Dump;
use checkpoint_spec::Verdict;
use trialplate::{CheckOptions, Map, Names, Subject, check};

use crate::support::{bundled, checked, only, qwen3, right};

/// A dump in other names, where the rename says one.
fn renamed(dump: &Dump, rename: impl Fn(&str) -> Option<String>) -> Dump {
    let tensors = dump.tensors.iter().filter_map(|(name, tensor)| Some((rename(name)?, tensor.clone())));
    Dump { tensors: tensors.collect(), notes: Vec::new() }
}

/// `h.3.attn.q` as layer and rest.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("h.")?.split_once('.')
}

/// The names that llama.cpp gives what a Qwen3 has.
fn llama_cpp(name: &str) -> Option<String> {
    let whole = match name {
        "token_ids" => "inp_tokens",
        "embd" => "inp_embd",
        "norm_f" => "result_norm",
        "logits" => "result_output",
        _ => "",
    };
    if !whole.is_empty() {
        return Some(whole.to_owned());
    }
    let (layer, rest) = parts(name)?;
    let theirs = match rest {
        "attn_norm" => "attn_norm",
        "attn.q_norm" => "Qcur_normed",
        "attn.k_norm" => "Kcur_normed",
        "attn.q" => "Qcur",
        "attn.k" => "Kcur",
        "attn.v" => "Vcur",
        "attn.context" => "kqv_merged_cont",
        "attn.out" => "kqv_out",
        "mid" => "ffn_inp",
        "mlp_norm" => "ffn_norm",
        "mlp.gate" => "ffn_gate",
        "mlp.up" => "ffn_up",
        "mlp.product" => "ffn_gate_par",
        "mlp.out" => "ffn_out",
        "out" => "l_out",
        _ => return None,
    };
    Some(format!("{theirs}-{layer}"))
}

#[test]
fn llama_cpps_names_need_no_map() {
    let subject = qwen3();
    let dump = renamed(&right(&subject, 1, 9), llama_cpp);
    let results = checked(&dump, &subject);
    assert!(results.names.contains("llama.cpp-llama"), "{}", results.names);
    assert_eq!((results.verdict, results.unused.len()), (Verdict::Conditional, 0), "{:?}", results.unused);
    assert_eq!(results.dumped as usize, dump.tensors.len());
}

/// Names that tell something, and names that tell nothing.
fn shuffled(name: &str, telling: bool) -> Option<String> {
    let Some((layer, rest)) = parts(name) else {
        return match name {
            "token_ids" => Some("tokens".to_owned()),
            "logits" => Some(if telling { "head.output".to_owned() } else { "zz".to_owned() }),
            _ => None,
        };
    };
    let (clear, dark) = match rest {
        "ln_1" => ("norm1", "a"),
        "attn.q" => ("attention.query", "b"),
        "attn.k" => ("attention.key", "c"),
        "attn.v" => ("attention.value", "d"),
        "attn.probs" => ("attention.softmax", "e"),
        "attn.out" => ("attention.proj", "f"),
        "ln_2" => ("norm2", "g"),
        "mlp.act" => ("ffn.gelu", "i"),
        "mlp.out" => ("ffn.down", "j"),
        "out" => ("output", "k"),
        _ => return None,
    };
    Some(format!("block{layer}/{}", if telling { clear } else { dark }))
}

fn guessed(subject: &Subject, telling: bool) {
    let dump = renamed(&right(subject, 1, 9), |name| shuffled(name, telling));
    let results = checked(&dump, subject);
    let text = results.map.clone().unwrap();
    assert_eq!(
        results.verdict,
        Verdict::Conditional,
        "{}\n{:?}\n{text}",
        results.names,
        results.first_divergence
    );
    assert!(results.unused.is_empty(), "{:?}\n{text}", results.unused);
    let map = Map::parse("guessed", &text).unwrap();
    let again = CheckOptions { names: Names::Map("guessed".into(), map), ..CheckOptions::default() };
    let again = check("dump", &dump, subject, &again).unwrap();
    assert_eq!((again.verdict, again.dumped), (Verdict::Conditional, results.dumped));
}

#[test]
fn a_map_is_guessed_and_printed_to_keep() {
    guessed(&bundled(), true);
    guessed(&bundled(), false);
}

#[test]
fn the_first_three_thirds_of_a_fused_tensor_are_its_parts() {
    let subject = bundled();
    let mut dump = right(&subject, 1, 8);
    for layer in 0..4 {
        let [q, k, v] = ["q", "k", "v"].map(|name| dump.tensors[&format!("h.{layer}.attn.{name}")].clone());
        let width = 128 * 4;
        let rows = (0..8).flat_map(|row| {
            [&q, &k, &v].map(|tensor| tensor.bytes()[row * width..(row + 1) * width].to_vec()).concat()
        });
        let fused = capture::dump::DumpTensor::new(q.dtype, &[1, 8, 384], rows.collect()).unwrap();
        dump.tensors.insert(format!("transformer.h.{layer}.attn.c_attn"), fused);
        dump.tensors
            .insert(format!("transformer.h.{layer}.ln_1"), dump.tensors[&format!("h.{layer}.ln_1")].clone());
    }
    let dump = only(&dump, |name| name.starts_with("transformer.") || name == "token_ids");
    let results = checked(&dump, &subject);
    assert!(results.names.contains("huggingface-gpt2"), "{}", results.names);
    assert_eq!(
        (results.verdict, results.dumped),
        (Verdict::Conditional, 17),
        "{:?}",
        results.first_divergence
    );
}
