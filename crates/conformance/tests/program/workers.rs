//! Workers that misbehave: each is an incident with a name, and never a pass.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use capture::protocol::{Event, Job, SCHEMA, WorkList};
use capture::{Case, Precision};
use serde_json::Value;

use crate::scene::{Scene, Told};

const READY: &str =
    r#"{"event":"ready","identity":{"name":"engine","version":"1","precision":"f32","device":"cpu"}}"#;

/// Runs a script as the subject, and gives the report and the subject's incidents.
fn subject(scene: &Scene, script: &str) -> (Value, Vec<Value>) {
    scene.script("engine.sh", script);
    let report = scene.report(&["--no-bundle", "--time-limit", "1", "--subject", "command:./engine.sh"]);
    let incidents = incidents_of(&report, "engine@f32");
    (report, incidents)
}

fn incidents_of(report: &Value, implementation: &str) -> Vec<Value> {
    let incidents = report["incidents"].as_array().unwrap();
    incidents.iter().filter(|incident| incident["implementation"] == implementation).cloned().collect()
}

/// A report of something that went wrong: not one checkpoint passes.
#[track_caller]
fn assert_no_pass(report: &Value) {
    assert_eq!((&report["verdict"], &report["exit_code"]), (&"error".into(), &4.into()), "{report}");
    assert_eq!(report["compared"], 0, "{report}");
    for checkpoint in report["checkpoints"].as_array().unwrap() {
        assert!(
            ["incomplete", "error", "blocked"].contains(&checkpoint["verdict"].as_str().unwrap()),
            "{checkpoint}"
        );
    }
}

/// Says that a job is done.
fn done(job: usize) -> String {
    format!("echo '{{\"event\":\"done\",\"job\":{job}}}'")
}

#[track_caller]
fn assert_incident(script: &str, kind: &str, parts: &[&str]) {
    let (report, incidents) = subject(&Scene::new(), script);
    let [incident] = &incidents[..] else { panic!("{incidents:?}") };
    assert_eq!(incident["kind"], kind, "{incident}");
    let message = incident["message"].as_str().unwrap();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert_no_pass(&report);
}

#[test]
fn one_that_crashes() {
    assert_incident("echo out of luck >&2; kill -SEGV $$", "crashed", &["signal: 11", "out of luck"]);
    assert_incident("exit 3", "crashed", &["1 of 1 jobs unanswered", "exit status: 3"]);
}

#[test]
fn one_that_ends_early() {
    assert_incident("exit 0", "crashed", &["1 of 1 jobs unanswered", "exit status: 0"]);
}

#[test]
fn one_that_refuses_a_job() {
    let failed = r#"echo '{"event":"failed","job":0,"error":"out of memory"}'"#;
    let script = format!("echo '{READY}'; {failed}");
    assert_incident(&script, "failed", &["out of memory"]);
}

#[test]
fn one_that_speaks_something_else() {
    assert_incident("echo hello", "broke_protocol", &["not an event", "hello"]);
    assert_incident("exec cat", "broke_protocol", &["not an event", "trialplate/work/2"]);
    assert_incident("exec cat /dev/zero", "broke_protocol", &["not an event"]);
    assert_incident("printf '\\377\\376\\n'", "broke_protocol", &["not an event"]);
    assert_incident("echo", "broke_protocol", &["not an event"]);
}

#[test]
fn one_that_passes_for_somebody_else() {
    let other = READY.replace("engine", "torch");
    assert_incident(&format!("echo '{other}'"), "broke_protocol", &["torch@f32", "engine@f32 was asked for"]);
    let other = READY.replace("f32", "f64");
    assert_incident(
        &format!("echo '{other}'"),
        "broke_protocol",
        &["engine@f64", "engine@f32 was asked for"],
    );
    assert_incident(&format!("echo '{READY}'; echo '{READY}'"), "broke_protocol", &["twice"]);
}

#[test]
fn one_that_answers_what_was_not_asked() {
    assert_incident(&done(0), "broke_protocol", &["before it said who it is"]);
    let script = format!("echo '{READY}'; {}", done(2));
    assert_incident(&script, "broke_protocol", &["job 2", "does not exist"]);
    let script = format!("echo '{READY}'; {}; {}", done(0), done(0));
    assert_incident(&script, "broke_protocol", &["job 0", "answered already"]);
}

#[test]
fn one_that_answers_everything_and_fails_then() {
    assert_incident(&format!("echo '{READY}'; {}; exit 9", done(0)), "crashed", &["exit status: 9"]);
    let script = format!("echo '{READY}'; {}; exec >&-; exec sleep 600", done(0));
    assert_incident(&script, "timed_out", &["did not end"]);
}

#[test]
fn one_that_says_done_and_leaves_nothing_or_garbage() {
    let (report, incidents) = subject(&Scene::new(), &format!("echo '{READY}'; {}", done(0)));
    assert_eq!(incidents, Vec::<Value>::new());
    assert_no_pass(&report);
    let garbage = r#"output=$(sed 's/.*"output":"\([^"]*\)".*/\1/'); echo garbage > "$output""#;
    let (report, _) = subject(&Scene::new(), &format!("{garbage}; echo '{READY}'; {}", done(0)));
    assert_no_pass(&report);
}

#[test]
fn one_that_hangs_is_ended_with_all_that_it_started() {
    let scene = Scene::new();
    let (report, incidents) = subject(&scene, "sleep 600 & echo $$ $! > processes; wait");
    assert_eq!(incidents[0]["kind"], "timed_out");
    assert!(incidents[0]["message"].as_str().unwrap().contains("no answer for 1 s"), "{incidents:?}");
    assert_no_pass(&report);
    for process in fs::read_to_string(scene.at("processes")).unwrap().split_whitespace() {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // Whoever inherits an ended process may not have collected it yet.
        assert!(state.is_empty() || state.contains(") Z "), "{process} still runs: {state}");
    }
}

#[test]
fn references_that_fail_judge_nothing() {
    let scene = Scene::with_worker("grep -q '\"precision\":\"f32\"' && exit 7; echo nonsense");
    let report = scene.report(&["--no-bundle"]);
    for name in ["torch", "tinygrad"] {
        let crashed = incidents_of(&report, &format!("{name}@f32"));
        assert_eq!(crashed[0]["kind"], "crashed");
        assert!(crashed[0]["message"].as_str().unwrap().contains("exit status: 7"));
        assert_eq!(incidents_of(&report, &format!("{name}@f64"))[0]["kind"], "broke_protocol");
    }
    assert_eq!(report["verdict"], "error");
    assert_eq!(report["quorum"]["compared"], 0);
    for checkpoint in report["checkpoints"].as_array().unwrap() {
        assert_eq!(checkpoint["verdict"], "incomplete", "{checkpoint}");
    }
}

#[test]
fn a_reference_that_hangs() {
    let scene = Scene::with_worker("exec sleep 600");
    let report = scene.report(&["--no-bundle", "--reference", "torch", "--time-limit", "1"]);
    let kinds: Vec<&Value> =
        report["incidents"].as_array().unwrap().iter().map(|incident| &incident["kind"]).collect();
    assert_eq!(kinds, ["timed_out", "timed_out"]);
    assert_eq!(report["verdict"], "error");
}

/// The program as a worker, given a case on the tiny model; what it answers after it is ready.
fn answer(case: Case) -> Event {
    let scene = Scene::new();
    let list = WorkList {
        schema: SCHEMA.to_owned(),
        implementation: "engine".to_owned(),
        precision: Precision::F32,
        model: scene.model("tiny"),
        threads: 1,
        jobs: vec![Job { case, output: scene.at("run.safetensors") }],
    };
    let told = worker(&scene, &serde_json::to_string(&list).unwrap());
    assert_eq!(told.code, Some(0), "{told:?}");
    let events: Vec<Event> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [Event::Ready { identity }, event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(identity.to_string(), "engine@f32");
    assert_eq!(matches!(event, Event::Done { .. }), scene.at("run.safetensors").exists());
    event.clone()
}

fn worker(scene: &Scene, list: &str) -> Told {
    let mut child = scene
        .program()
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

fn case(token_ids: Vec<i64>) -> Case {
    let schedule = vec![token_ids.len()];
    Case {
        id: "own".to_owned(),
        token_ids: vec![token_ids],
        texts: None,
        schedule,
        generate: 0,
        forced: None,
    }
}

#[test]
fn the_rust_gpt2_refuses_cases_that_its_model_cannot_have() {
    assert_eq!(answer(case(vec![0, 299])), Event::Done { job: 0 });
    for (case, parts) in [
        (case(vec![0, 300]), ["token id 300", "vocabulary of 300"]),
        (case(vec![-1]), ["token id -1", "vocabulary of 300"]),
        (case(vec![]), ["the prompt is empty", "at least one"]),
        (case(vec![0; 17]), ["17 tokens", "context limit is 16"]),
        (Case { generate: 16, ..case(vec![0, 1]) }, ["17 positions", "context limit is 16"]),
    ] {
        let Event::Failed { job: 0, error } = answer(case.clone()) else { panic!("{case:?}") };
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn the_rust_gpt2_as_a_worker_refuses_work_it_cannot_do() {
    let scene = Scene::new();
    worker(&scene, "{").assert_error(64, &["malformed work list"]);
    let list = |precision: &str| {
        format!(
            r#"{{"schema":"{SCHEMA}","implementation":"engine","precision":"{precision}","model":"nowhere","threads":1,"jobs":[]}}"#
        )
    };
    worker(&scene, &list("f64")).assert_error(64, &["f64 was asked for", "f32"]);
    worker(&scene, &list("f32")).assert_error(70, &["nowhere/config.json"]);
}

#[test]
fn the_rust_gpt2_in_a_process_of_its_own_is_a_subject() {
    let scene = Scene::new();
    let command = format!("command:{} worker", env!("CARGO_BIN_EXE_conformance"));
    let arguments = ["all", "--model", "tiny", "--case", "two-tokens", "--no-bundle", "--format", "json"];
    scene.model("tiny");
    let told = scene.checkpoint(&[&arguments[..], &["--subject", &command]].concat());
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(report["subject"]["id"], "conformance@f32");
    assert_eq!(incidents_of(&report, "conformance@f32"), Vec::<Value>::new());
    // What needs no reference was compared; the references did not answer.
    assert!(report["compared"].as_u64().unwrap() > 0);
    assert_ne!(told.code, Some(0));
}
