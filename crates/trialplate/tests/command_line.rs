//! The program as a person meets it: real dumps of Hugging Face's models, an empty PATH, exit codes, colours.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

fn dumps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps")
}

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/models/gpt2-rustbook")
}

/// Nothing but the program itself: no interpreter, no library path, no environment.
fn trialplate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trialplate")).args(arguments).env_clear().output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn check(dump: &Path, model: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["check", dump.to_str().unwrap(), "--model", model.to_str().unwrap()];
    arguments.extend(more);
    trialplate(&arguments)
}

#[test]
fn dumps_of_hugging_faces_models_conform_without_a_map_in_a_moment() {
    let folder = dumps();
    let model = |name: &str| if name == "gpt2" { bundled() } else { folder.join(name).join("model") };
    let mut all: Vec<(&str, &str)> = vec![("qwen3", "hooks.pt"), ("qwen3", "debugger")];
    for name in ["gpt2", "llama", "mistral", "qwen3"] {
        all.extend([(name, "hooks.npz"), (name, "hidden.npz")]);
    }
    for (name, file) in all {
        let begun = Instant::now();
        let output = check(&folder.join(name).join(file), &model(name), &["--format", "json"]);
        let took = begun.elapsed();
        let results: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output.stderr)));
        assert_eq!(output.status.code(), Some(0), "{name}/{file}: {}", results["first_divergence"]);
        assert_eq!(results["verdict"], "conditional", "{name}/{file}");
        assert_eq!(results["compared"], results["dumped"], "{name}/{file}");
        assert!(
            results["names"].as_str().unwrap().contains("huggingface"),
            "{name}/{file}: {}",
            results["names"]
        );
        assert!(results["map"].is_null(), "{name}/{file}");
        assert!(took < Duration::from_secs(2), "{name}/{file} took {took:?}");
    }
}

#[test]
fn hooks_leave_nothing_unnamed_but_what_is_no_activation() {
    let output = check(&dumps().join("gpt2/hooks.npz"), &bundled(), &["--format", "json"]);
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    for unused in results["unused"].as_array().unwrap() {
        let (name, why) = (unused["name"].as_str().unwrap(), unused["why"].as_str().unwrap());
        let is_part = ["transformer.wte", "transformer.wpe"].contains(&name);
        assert!(is_part || why.contains("the same values"), "{name}: {why}");
    }
}

#[test]
fn another_model_does_not_conform_and_the_page_says_where() {
    let output = check(&dumps().join("llama/hooks.npz"), &dumps().join("mistral/model"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let page = said(&output.stdout);
    for word in ["first divergence", "00 foundation, embd", "verdict FAIL", "exit 1", "compared 30 of 30"] {
        assert!(page.contains(word), "{word} in {page}");
    }
    assert!(!page.contains('\u{1b}'), "a pipe has no colours");
    let coloured =
        check(&dumps().join("llama/hooks.npz"), &dumps().join("mistral/model"), &["--color", "always"]);
    assert!(said(&coloured.stdout).contains("\u{1b}["));
}

#[test]
fn strictness_texts_and_pages() {
    let dump = dumps().join("gpt2/hidden.npz");
    assert_eq!(check(&dump, &bundled(), &["--strict"]).status.code(), Some(1));
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check.html");
    let output = check(&dump, &bundled(), &["--html", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output.stderr));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("compared 7 of 7") && page.contains("07 block") && !page.contains("<script"));
    let output = check(&dump, &bundled(), &["--text", "The owner of a value"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output.stderr).contains("are not those of the dump"), "{}", said(&output.stderr));
    let output = check(&dump, &bundled(), &["--tokens", "464,200,x"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output.stderr).contains("--tokens 464,200,x"));
}

#[test]
fn what_cannot_be_used_is_told_with_what_to_do() {
    for (arguments, code, words) in [
        (&["check", "no.npz", "--model", "no"][..], 2, "no.npz"),
        (&["check"], 64, "--model"),
        (&["check", "a", "--model", "b", "--precision", "f8"], 64, "none of f32"),
        (&["compare", "a"], 64, "ACTUAL"),
        (&["compare", "a", "b", "--ulps", "3", "--atol", "1"], 64, "cannot be used with"),
        (&["verify"], 64, "<BUNDLE>"),
        (&["verify", "nowhere"], 64, "no bundle at nowhere"),
        (&["explain"], 64, "--model"),
    ] {
        let output = trialplate(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output.stderr));
        assert!(said(&output.stderr).contains(words), "{arguments:?}: {}", said(&output.stderr));
    }
    let model = check(&dumps().join("gpt2/hidden.npz"), &dumps(), &[]);
    assert_eq!(model.status.code(), Some(64));
    assert!(said(&model.stderr).contains("config.json"), "{}", said(&model.stderr));
    let map = check(&dumps().join("gpt2/hidden.npz"), &bundled(), &["--map", "huggingface"]);
    assert!(said(&map.stderr).contains("huggingface-gpt2"), "{}", said(&map.stderr));
}

#[test]
fn the_schema_is_printed() {
    for command in ["check", "compare"] {
        let output = trialplate(&[command, "--format", "schema"]);
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(schema["properties"]["first_divergence"].is_object(), "{command}");
    }
}

#[test]
fn what_a_map_can_name_is_explained() {
    let model = bundled().display().to_string();
    let all = said(&trialplate(&["explain", "--model", &model]).stdout);
    assert!(all.contains("h.{l}.attn.q") && all.contains("b s h d") && all.contains("b h s k"), "{all}");
    let one = said(&trialplate(&["explain", "h.2.attn.q", "--model", &model]).stdout);
    for words in ["linear(h.{l}.ln_1", "part 1 of 3", "qkv-heads-permuted", "rounding budget"] {
        assert!(one.contains(words), "{words} in {one}");
    }
    let none = trialplate(&["explain", "h.2.attn.x", "--model", &model]);
    assert_eq!(none.status.code(), Some(64));
    assert!(said(&none.stderr).contains("h.{l}.attn.q"), "{}", said(&none.stderr));
}

#[test]
fn two_dumps_side_by_side() {
    let [hooks, other] =
        ["llama/hooks.npz", "mistral/hooks.npz"].map(|file| dumps().join(file).display().to_string());
    let same = trialplate(&["compare", &hooks, &hooks]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same.stdout));
    assert!(said(&same.stdout).contains("picked, not derived"));
    let apart = trialplate(&["compare", &hooks, &other, "--atol", "1e-3", "--format", "json"]);
    assert_eq!(apart.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&apart.stdout).unwrap();
    assert_eq!((&found["verdict"], found["compared"] == found["names"]), (&Value::from("fail"), true));
    let archive = dumps().join("qwen3/hooks.pt").display().to_string();
    let array = dumps().join("qwen3/hooks.npz").display().to_string();
    assert_eq!(trialplate(&["compare", &array, &archive]).status.code(), Some(0));
}
