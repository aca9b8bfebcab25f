//! Subjects that do not give the same bits again: each fails, and the first activation that differs is named.

use serde_json::Value;

use crate::scene::Scene;

/// An engine that computes as the Rust GPT-2 does, answers when all is done, and changes the last byte of captures where `when`, a shell command
/// that knows the work list as `$list` and a counter of starts as `$starts`, succeeds.
fn engine(scene: &Scene, when: &str) -> Value {
    let program = env!("CARGO_BIN_EXE_conformance");
    scene.script(
        "engine.sh",
        &format!(
            r#"list=$(cat)
echo >> starts
starts=$(wc -l < starts)
answers=$(printf %s "$list" | {program} worker) || exit
if {when}; then
  for output in $(printf %s "$list" | grep -o '"output":"[^"]*"' | cut -d'"' -f4); do
    bytes=$(($(wc -c < "$output") - 1))
    last=$(tail -c 1 "$output" | od -An -tu1)
    printf "\\$(printf %o $(((last + 1) % 256)))" | dd of="$output" bs=1 seek=$bytes conv=notrunc 2> /dev/null
  done
fi
printf '%s\n' "$answers""#
        ),
    );
    let arguments = ["--no-bundle", "--reference", "torch", "--subject", "command:./engine.sh"];
    let report = scene.report_with_code(&arguments, None);
    assert_eq!(report["subject"]["id"], "engine@f32");
    report
}

/// The run fails for it, between the run that is judged and that repeat.
#[track_caller]
fn assert_named(report: &Value, other: usize) {
    let determinism = &report["determinism"];
    assert_eq!((&report["verdict"], &report["exit_code"]), (&"fail".into(), &1.into()), "{report}");
    assert_eq!(determinism["verdict"], "fail", "{determinism}");
    let repeated = &determinism["implementations"][0];
    assert_eq!(repeated["first_difference"]["between"], serde_json::json!([0, other]), "{determinism}");
    assert_eq!(determinism["finding"]["reason"], "determinism");
    assert_eq!(determinism["finding"]["case"], "two-tokens");
    let name = repeated["first_difference"]["activation"].as_str().unwrap();
    assert!(determinism["finding"]["tensor"].as_str().unwrap().ends_with(name), "{determinism}");
}

#[test]
fn one_that_gives_the_same_bits() {
    let report = engine(&Scene::new(), "false");
    let determinism = &report["determinism"];
    assert_eq!(determinism["verdict"], "pass", "{determinism}");
    let repeated = &determinism["implementations"][0];
    assert!(repeated["compared"].as_u64().unwrap() > 30);
    assert_eq!(repeated["compared"], repeated["required"]);
    assert_eq!(repeated["repeats"].as_array().unwrap().len(), 5);
}

#[test]
fn one_that_depends_on_the_thread_count() {
    let report = engine(&Scene::new(), r#"case "$list" in *'"threads":1,'*) ;; *) false ;; esac"#);
    // The run that is judged may have had one thread as well: then the processes of two differ from it.
    let judged = &report["determinism"]["implementations"][0]["repeats"][0]["threads"];
    assert_named(&report, if *judged == 1 { 1 } else { 4 });
}

#[test]
fn one_that_is_another_at_every_start() {
    let report = engine(&Scene::new(), r#"[ "$starts" -gt 1 ]"#);
    assert_named(&report, 1);
}

#[test]
fn one_that_is_stopped_when_it_repeats() {
    let report = engine(&Scene::new(), r#"[ "$starts" -gt 1 ] && { printf '%s\n' "$answers"; exit 3; }"#);
    // What it left is there and the same; that it crashed is an incident, and the run is no pass.
    assert_eq!(report["determinism"]["verdict"], "pass", "{report}");
    let incidents = report["incidents"].as_array().unwrap();
    let of_it: Vec<_> =
        incidents.iter().filter(|incident| incident["implementation"] == "engine@f32").collect();
    assert_eq!(of_it.len(), 2, "{incidents:?}");
    assert!(of_it.iter().all(|incident| incident["kind"] == "crashed"), "{incidents:?}");
    assert_eq!((&report["verdict"], &report["exit_code"]), (&"error".into(), &4.into()));
}

#[test]
fn one_that_leaves_nothing_when_it_repeats() {
    let scene = Scene::new();
    let report = engine(&scene, r#"{ [ "$starts" -gt 1 ] && rm cache/work/run-*/*.repeat*; false; }"#);
    let determinism = &report["determinism"];
    assert_eq!(determinism["verdict"], "fail", "{determinism}");
    assert_eq!(determinism["implementations"][0]["compared"], 0);
}

#[test]
fn one_that_did_not_answer_is_not_repeated() {
    let scene = Scene::new();
    let report = scene.report(&["--no-bundle", "--reference", "torch", "--subject", "command:false"]);
    assert_eq!(report["determinism"]["verdict"], "incomplete", "{report}");
    assert_eq!(report["determinism"]["implementations"], serde_json::json!([]));
}
