//! Words by which engines call the same thing.

/// Words of which each stands for all others of its line.
const ALIKE: [&[&str]; 20] = [
    &["q", "query", "queries", "qcur", "wq", "qproj"],
    &["k", "key", "keys", "kcur", "wk", "kproj"],
    &["v", "value", "values", "vcur", "wv", "vproj"],
    &["scores", "score", "kq", "qk", "logit"],
    &["probs", "prob", "probabilities", "softmax", "weights", "attn_weights", "att"],
    &["context", "ctx", "kqv", "mixed"],
    &["attn", "attention", "self_attn", "sa", "mha"],
    &["mlp", "ffn", "feed_forward", "ff"],
    &["fc", "fc1", "up", "w1", "c_fc", "hidden"],
    &["gate", "w3"],
    &["act", "gelu", "silu", "relu", "activation"],
    &["product", "gated", "swiglu"],
    &["out", "output", "proj", "down", "w2", "o"],
    &["ln_1", "norm1", "ln1", "input_layernorm", "attn_norm"],
    &["ln_2", "norm2", "ln2", "post_attention_layernorm", "mlp_norm", "ffn_norm"],
    &["ln_f", "norm_f", "final_norm", "norm"],
    &["embd", "embedding", "embeddings", "embed", "emb"],
    &["mid", "resid1", "resid_mid"],
    &["logits", "lm_head", "head"],
    &["cos", "sin", "rope"],
];

/// How many things both names speak of.
pub(super) fn in_common(theirs: &str, ours: &str) -> usize {
    let (theirs, ours) = (words(theirs), words(ours));
    let speaks = |of: &[String], line: &[&str]| line.iter().any(|word| of.iter().any(|found| found == word));
    ALIKE.iter().filter(|line| speaks(&theirs, line) && speaks(&ours, line)).count()
}

/// The words of a name, and each with the one after it.
fn words(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    let parts: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let fine: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    parts.into_iter().chain(fine).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_the_same_have_words_in_common() {
        assert_eq!(in_common("block.{l}.attention.query", "h.{l}.attn.q"), 2);
        assert!(in_common("blk.{l}.ffn.up", "h.{l}.mlp.fc") > in_common("blk.{l}.ffn.up", "h.{l}.attn.out"));
        assert_eq!(in_common("x.{l}.y", "h.{l}.attn.q"), 0);
    }
}
