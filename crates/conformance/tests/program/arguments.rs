//! What the command line names and is not there.

use crate::scene::Scene;

/// Arguments of `checkpoint`, and what the error must say.
const UNUSABLE: [(&[&str], &[&str]); 20] = [
    (&["99"], &["no checkpoint `99`", "03 kv-cache"]),
    (&["all", "03"], &["no checkpoint `all`", "there are: all,"]),
    (&["show"], &["`show` needs a checkpoint"]),
    (&["show", "kv"], &["no checkpoint `kv`"]),
    (&["all", "--case", "poem"], &["no case `poem`", "two-tokens"]),
    (&["all", "--reference", "candle"], &["no reference `candle`", "torch, tinygrad"]),
    (&["all", "--reference", "torch", "--reference", "torch"], &["given twice", "cannot confirm itself"]),
    (&["all", "--subject", "candle"], &["implementation `candle` is not known", "rust, torch, tinygrad"]),
    (&["all", "--subject", "rust@f16"], &["computes in f32", "rust@f32"]),
    (&["all", "--subject", "torch@f8"], &["precision `f8` is not known", "f32, f64"]),
    (&["all", "--subject", "torch@f64"], &["subjects are judged at f32"]),
    (&["all", "--subject", "command:"], &["`command:` needs a program"]),
    (&["all", "--subject", "command:./engine"], &["command:./engine", "no such program", "PATH"]),
    (&["all", "--subject", "command:no-such-engine"], &["command:no-such-engine", "no such program"]),
    (&["all", "--subject", "command:reference"], &["command:reference", "no such program"]),
    (&["all", "--threads", "0"], &["--threads 0", "at least one thread"]),
    (&["all", "--model", "synthetic:gpt3"], &["gpt3", "gpt2-medium"]),
    (&["all", "--model", "synthetic:1,8,3,300,16"], &["not a multiple of n_head 3"]),
    (&["all", "--model", "hf:a/b/c"], &["hf:a/b/c", "hf:OWNER/NAME"]),
    (&["all", "--bundles", "b", "--no-bundle"], &["--no-bundle", "cannot be used with"]),
];

#[test]
fn what_cannot_be_used_is_named_with_what_could_be() {
    let scene = Scene::new();
    scene.model("tiny");
    for (arguments, parts) in UNUSABLE {
        let mut arguments = arguments.to_vec();
        if !arguments.contains(&"--model") && arguments[0] == "all" {
            arguments.extend(["--model", "tiny"]);
        }
        scene.checkpoint(&arguments).assert_error(64, parts);
    }
    scene.assert_nothing_left();
}

#[test]
fn a_program_cannot_pass_for_another_implementation() {
    let scene = Scene::new();
    scene.model("tiny");
    for name in ["rust", "torch", "tinygrad.sh"] {
        scene.script(name, "exit 0");
        let subject = format!("command:./{name}");
        let told = scene.checkpoint(&["all", "--model", "tiny", "--subject", &subject]);
        told.assert_error(64, &[&subject, "another implementation", "another name"]);
    }
}

#[test]
fn a_worker_that_is_not_there_is_told_of_before_anything_runs() {
    for worker in ["no-such-worker", "tiny", "tiny/config.json"] {
        let scene = Scene::new();
        scene.model("tiny");
        let mut program = scene.program();
        program.env("TRIALPLATE_WORKER", scene.at(worker)).args(["checkpoint", "all", "--model", "tiny"]);
        let told = crate::scene::Told::from(program.output().unwrap());
        told.assert_error(
            70,
            &[scene.at(worker).to_str().unwrap(), "cargo xtask checkpoint", "TRIALPLATE_WORKER"],
        );
        scene.assert_nothing_left();
    }
}
