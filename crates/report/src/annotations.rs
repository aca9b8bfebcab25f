//! Workflow commands of GitHub Actions, which show up on a pull request.

use checkpoint_spec::{CheckpointResult, Results, Verdict};

use crate::text::lines;
use crate::{command, laws, phrases, repeats, summary, words};

/// Requirements named per checkpoint.
const FEW: usize = 5;
/// Lines shown of a longer message.
const LAST_LINES: usize = 12;

/// Renders a run as `::error`, `::warning` and `::notice` commands, one per line; the last one is the summary. A run
/// that does not conform always has an `::error`.
pub fn annotations(results: &Results) -> String {
    let mut commands = String::new();
    if let Some(divergent) = summary::divergent(results) {
        let mut message = vec![words::meaning(divergent.divergence.reason).to_owned()];
        message.extend(
            phrases::divergence_inputs(divergent.divergence).map(|inputs| format!("inputs: {inputs}")),
        );
        message.extend(
            divergent.comparisons.iter().map(|c| format!("{}: {}", c.reference, phrases::outcome(c))),
        );
        message.extend(divergent.findings.iter().map(|finding| finding.message.clone()));
        let (checkpoint, case) = (&divergent.divergence.checkpoint, &divergent.divergence.case);
        message.push(command::reproduce(results, checkpoint, Some(case)));
        let title = format!("First divergence: {}", phrases::divergence_place(&divergent));
        command(&mut commands, "error", &title, &message.join("\n"));
    }
    for checkpoint in &results.checkpoints {
        let level = match checkpoint.verdict {
            Verdict::Pass => continue,
            Verdict::Conditional => "warning",
            _ => "error",
        };
        let title = format!("{} {}: {}", checkpoint.id, checkpoint.name, words::verdict(checkpoint.verdict));
        command(&mut commands, level, &title, &reasons(checkpoint));
    }
    rest(&mut commands, results);
    commands
}

fn reasons(checkpoint: &CheckpointResult) -> String {
    let mut message = vec![format!("compared {} of {}", checkpoint.compared, checkpoint.required)];
    if let Some(worst) = summary::worst(&checkpoint.comparisons) {
        message.push(format!("worst: {}: {}", phrases::place(worst), phrases::outcome(worst)));
    }
    for (requirement, verdict) in summary::broken(checkpoint).into_iter().take(FEW) {
        message.push(format!("{} {}: {}", requirement.id, words::comparison(verdict), requirement.text));
    }
    message.join("\n")
}

fn rest(commands: &mut String, results: &Results) {
    if results.determinism.verdict != Verdict::Pass {
        let mut message = vec![repeats::line(results)];
        message.extend(results.determinism.finding.iter().map(|finding| finding.message.clone()));
        command(commands, "error", "Determinism", &message.join("\n"));
    }
    if !results.tensors.digest_only.is_empty() {
        command(commands, "warning", "Digest-only", &phrases::statement(results));
    }
    if results.laws.verdict != Verdict::Pass {
        let message: Vec<String> =
            std::iter::once(laws::line(results)).chain(laws::findings(results)).take(FEW + 1).collect();
        command(commands, "error", "Laws", &message.join("\n"));
    }
    for incident in &results.incidents {
        let message: Vec<&str> = incident.message.trim_end().lines().collect();
        let last = &message[message.len().saturating_sub(LAST_LINES)..];
        command(commands, "error", &phrases::incident(incident), &last.join("\n"));
    }
    for reservation in &results.reservations {
        let checkpoint = reservation.checkpoint.as_deref().unwrap_or("run");
        command(commands, "warning", &format!("Reservation: {checkpoint}"), &reservation.message);
    }
    for note in &results.notes {
        command(commands, "notice", "Note", note);
    }
    let level = match results.verdict {
        Verdict::Pass => "notice",
        Verdict::Conditional => "warning",
        _ => "error",
    };
    let message = format!(
        "{}: {}",
        phrases::compared(summary::totals(results)),
        words::verdict_meaning(results.verdict)
    );
    command(commands, level, &format!("Trialplate: {}", words::verdict(results.verdict)), &message);
}

/// One command. Data and properties are escaped as the runner unescapes them, after every character that could
/// deceive a reader of the log has been made visible.
fn command(commands: &mut String, level: &str, title: &str, message: &str) {
    let message = lines(message).collect::<Vec<_>>().join("\n");
    let title = data(&crate::text::plain(title)).replace(':', "%3A").replace(',', "%2C");
    *commands += &format!("::{level} title={title}::{}\n", data(&message));
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_pass_is_one_notice() {
        insta::assert_snapshot!(annotations(&fixtures::passing()));
    }

    #[test]
    fn a_subject_that_gives_other_bits_again() {
        let commands = annotations(&fixtures::not_deterministic());
        assert!(commands.contains("::error title=Determinism::fail"), "{commands}");
    }

    #[test]
    fn failures() {
        insta::assert_snapshot!("shape", annotations(&fixtures::failing_on_shape()));
        insta::assert_snapshot!("values", annotations(&fixtures::failing_on_values()));
        insta::assert_snapshot!("bits", annotations(&fixtures::failing_on_bits()));
        insta::assert_snapshot!("systematic", annotations(&fixtures::failing_on_systematic()));
        insta::assert_snapshot!("chained", annotations(&fixtures::failing_on_chain()));
    }

    #[test]
    fn hostile_text_stays_inside_its_command() {
        let commands = annotations(&fixtures::incomplete());
        assert!(commands.lines().all(|line| {
            ["::error title=", "::warning title=", "::notice title="]
                .iter()
                .any(|start| line.starts_with(start))
        }));
        assert!(commands.contains("%0A\\u{3a}:set-output name=verdict::pass%0A"), "{commands}");
        assert!(commands.contains("100%25"), "{commands}");
        insta::assert_snapshot!(commands);
    }

    #[test]
    fn properties_are_escaped_further_than_data() {
        let mut commands = String::new();
        command(&mut commands, "error", "a:b,c%\n", "a:b,c%\r\nd");
        assert_eq!(commands, "::error title=a%3Ab%2Cc%25\\n::a:b,c%25%0Ad\n");
    }
}
