//! The report as JUnit XML, for CI systems. Times are left out, so that the same record gives the same bytes.

use checkpoint_spec::{
    CheckpointResult, ComparisonVerdict, FaultPanel, FaultWord, Laws, Mode, Results, Verdict,
};
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::summary::{self, Group, Standing};
use crate::text::{lines, plain};
use crate::{faults, laws, phrases, repeats, words};

/// Departures and findings listed per test case.
const FEW: usize = 10;

/// Renders a run as JUnit XML. One suite per checkpoint, with a test case per case and kind of activation, per
/// requirement and for the checkpoint's verdict, so that a suite is green only where the verdict is. The suite `run`
/// holds quorum, determinism, laws, incidents and the overall verdict.
pub fn junit(results: &Results) -> Result<String, SerializeError> {
    let mut report = Report::new("trialplate");
    let mut run = TestSuite::new("run");
    run.set_system_out(phrases::statement(results));
    let mut quorum = phrases::quorum(results);
    quorum.extend(results.quorum.disagreement.iter().map(|finding| format!("; {}", plain(&finding.message))));
    run.add_test_case(of_verdict("quorum", "run", results.quorum.verdict, &quorum));
    let mut determinism = repeats::line(results);
    let difference = &results.determinism.finding;
    determinism.extend(difference.iter().map(|finding| format!("; {}", plain(&finding.message))));
    run.add_test_case(of_verdict("determinism", "run", results.determinism.verdict, &determinism));
    run.add_test_case(of_verdict("laws", "run", results.laws.verdict, &laws::line(results)));
    for incident in &results.incidents {
        let status = status(ComparisonVerdict::Error, &phrases::incident(incident), &incident.message);
        run.add_test_case(case(&plain(&phrases::incident(incident)), "run", status));
    }
    let compared = phrases::compared(summary::totals(results));
    run.add_test_case(of_verdict("verdict", "run", results.verdict, &compared));
    report.add_test_suite(run);
    report.add_test_suites(results.checkpoints.iter().map(suite));
    report.add_test_suite(panel(&results.faults));
    report.add_test_suite(kept(&results.laws));
    report.to_string()
}

fn suite(checkpoint: &CheckpointResult) -> TestSuite {
    let name = plain(&format!("{}-{}", checkpoint.id, checkpoint.name));
    let mut suite = TestSuite::new(name.as_str());
    let compared = format!("compared {} of {}", checkpoint.compared, checkpoint.required);
    suite.add_test_case(of_verdict("verdict", &name, checkpoint.verdict, &compared));
    for group in summary::groups(checkpoint, true) {
        suite.add_test_case(activation(&group, &name));
    }
    for requirement in &checkpoint.requirements {
        let findings = requirement.findings.iter().take(FEW);
        let findings = findings.map(|f| format!("{} {}: {}", f.case, f.tensor, f.message));
        let message = format!("checked {} of {}", requirement.checked, requirement.required);
        let details = findings.collect::<Vec<_>>().join("\n");
        let status = match summary::standing(requirement) {
            Standing::Holds => TestCaseStatus::success(),
            Standing::NotExercised => skipped("not exercised by these cases"),
            Standing::Broken(verdict) => status(verdict, &message, &details),
        };
        suite.add_test_case(case(
            &plain(&format!("{}: {}", requirement.id, requirement.text)),
            &name,
            status,
        ));
    }
    for exempt in &checkpoint.not_applicable {
        let status = skipped(&format!("not applicable: {}", exempt.reason));
        suite.add_test_case(case(&plain(&exempt.what), &name, status));
    }
    suite
}

/// A test case for every fault and one for the panel.
fn panel(panel: &FaultPanel) -> TestSuite {
    let mut suite = TestSuite::new("faults");
    suite.add_test_case(of_verdict("verdict", "faults", panel.verdict, &faults::summary(panel)));
    for fault in &panel.faults {
        let (found, _) = faults::found(fault);
        let status = match fault.word {
            FaultWord::Killed | FaultWord::Equivalent => TestCaseStatus::success(),
            FaultWord::NotExercised => skipped(&format!("no place in these cases: {found}")),
            FaultWord::Missing => status(ComparisonVerdict::Error, faults::word(fault.word), ""),
            _ => status(ComparisonVerdict::Fail, &faults::departure(fault), ""),
        };
        suite.add_test_case(case(&plain(&format!("{}: {}", fault.id, fault.what)), "faults", status));
    }
    suite
}

/// A test case for every law and implementation.
fn kept(found: &Laws) -> TestSuite {
    let mut suite = TestSuite::new("laws");
    for numbers in &found.numbers {
        let [law, implementation, bound, parts, _, place, _] = laws::row(numbers);
        let message = format!("{parts} parts compared, {bound}; {place}");
        suite.add_test_case(of_verdict(
            &format!("{implementation}: {law}"),
            "laws",
            numbers.verdict,
            &message,
        ));
    }
    suite
}

fn activation(group: &Group<'_>, suite: &str) -> TestCase {
    let departures = group.comparisons.iter().filter(|c| c.verdict != ComparisonVerdict::Pass).take(FEW);
    let details = departures.map(|c| format!("{}: {}", phrases::place(c), phrases::outcome(c)));
    let message = format!("compared {} of {}", group.compared(), group.comparisons.len());
    let status = status(group.verdict(), &message, &details.collect::<Vec<_>>().join("\n"));
    let mut name = format!("{} {}", group.case.unwrap_or("all cases"), group.kind);
    if group.comparisons.iter().all(|c| c.mode == Mode::Chained) {
        name += " (chained)";
    }
    case(&plain(&name), suite, status)
}

fn of_verdict(name: &str, class: &str, verdict: Verdict, message: &str) -> TestCase {
    let status = match verdict {
        Verdict::Pass | Verdict::Conditional => ComparisonVerdict::Pass,
        Verdict::Blocked | Verdict::Fail => ComparisonVerdict::Fail,
        Verdict::Incomplete | Verdict::Error => ComparisonVerdict::Error,
    };
    let message = format!("{}: {message}", words::verdict(verdict));
    case(name, class, self::status(status, &message, ""))
}

fn case(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("trialplate.{class}"));
    case
}

fn status(verdict: ComparisonVerdict, message: &str, details: &str) -> TestCaseStatus {
    let kind = match verdict {
        ComparisonVerdict::Pass => return TestCaseStatus::success(),
        ComparisonVerdict::Incomplete | ComparisonVerdict::Error => NonSuccessKind::Error,
        ComparisonVerdict::Missing | ComparisonVerdict::Fail => NonSuccessKind::Failure,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(words::comparison(verdict)).set_message(plain(message));
    status.set_description(lines(details).collect::<Vec<_>>().join("\n"));
    status
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(plain(message));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_broken_law_is_a_failure() {
        let xml = junit(&fixtures::acausal()).unwrap();
        assert!(xml.contains("rust@f32: causality") && xml.contains("position 2"), "{xml}");
        assert!(xml.contains("<failure"), "{xml}");
    }

    #[test]
    fn a_pass_has_no_failure_and_no_time() {
        let xml = junit(&fixtures::passing()).unwrap();
        assert!(xml.contains(r#"failures="0" errors="0""#), "{xml}");
        assert!(!xml.contains("time"), "{xml}");
        insta::assert_snapshot!(xml);
    }

    #[test]
    fn a_divergence() {
        insta::assert_snapshot!(junit(&fixtures::failing_on_values()).unwrap());
    }

    #[test]
    fn a_subject_that_gives_other_bits_again() {
        let xml = junit(&fixtures::not_deterministic()).unwrap();
        let case = xml.split(r#"name="determinism""#).nth(1).unwrap().split("</testcase>").next().unwrap();
        assert!(case.contains("<failure") && case.contains("step0/h.1.mlp.act"), "{case}");
    }

    #[test]
    fn hostile_text_is_escaped() {
        let xml = junit(&fixtures::incomplete()).unwrap();
        assert!(!xml.contains("<script>") && !xml.contains('\u{1b}'), "{xml}");
    }

    #[test]
    fn no_verdict_but_a_pass_is_green() {
        for verdict in [Verdict::Blocked, Verdict::Incomplete, Verdict::Error, Verdict::Fail] {
            let mut results = fixtures::passing();
            results.verdict = verdict;
            results.checkpoints[0].verdict = verdict;
            let xml = junit(&results).unwrap();
            let red = xml.matches("<failure").count() + xml.matches("<error").count();
            assert_eq!(red, 2, "{xml}");
        }
    }
}
