//! Laws between cases, asked of whole programs.

use serde_json::Value;

use crate::scene::Scene;

fn of_law<'a>(report: &'a Value, law: &str) -> &'a Value {
    let numbers = report["laws"]["numbers"].as_array().unwrap();
    numbers.iter().find(|found| found["law"] == law).unwrap()
}

#[test]
fn the_rust_gpt2_keeps_every_law_bit_for_bit() {
    let report = Scene::new().report(&["--no-bundle", "--reference", "torch"]);
    let numbers = report["laws"]["numbers"].as_array().unwrap();
    let of_subject: Vec<_> = numbers.iter().filter(|found| found["implementation"] == "rust@f32").collect();
    assert_eq!(of_subject.len(), 8, "{numbers:?}");
    for found in of_subject {
        assert_eq!((&found["verdict"], &found["bound"]), (&"pass".into(), &"bits".into()), "{found}");
        assert!(found["compared"] == found["required"] && found["max_abs"] == 0.0, "{found}");
    }
    // The reference did not answer: its laws are not kept by default.
    assert_eq!(report["laws"]["verdict"], "incomplete");
}

#[test]
fn an_engine_that_accepts_one_token_past_the_limit() {
    let scene = Scene::new();
    let program = env!("CARGO_BIN_EXE_conformance");
    // Past the limit of 16 positions it generates as many tokens as fit, and says nothing.
    scene.script("engine.sh", &format!(r#"sed 's/"generate":12/"generate":11/' | {program} worker"#));
    let arguments = ["--no-bundle", "--reference", "torch", "--subject", "command:./engine.sh"];
    let report = scene.report_with_code(&arguments, Some(1));
    let past = of_law(&report, "past-the-limit");
    assert_eq!(past["verdict"], "fail", "{past}");
    assert!(past["first"]["message"].as_str().unwrap().contains("context limit is 16"), "{past}");
    let finding = &report["laws"]["findings"][0];
    assert_eq!((&finding["reason"], &finding["case"]), (&"invariant".into(), &"law-past-the-limit".into()));
    assert_eq!(of_law(&report, "growth-to-the-limit")["verdict"], "pass");
}
