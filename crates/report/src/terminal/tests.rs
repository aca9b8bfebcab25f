use super::*;
use crate::fixtures;

fn plainly(results: &Results) -> String {
    let bundle = Some("proof-bundles/0123456789ab-01234567-89abcdef".to_owned());
    terminal(results, &Presentation { bundle, ..Presentation::default() })
}

#[test]
fn a_pass() {
    insta::assert_snapshot!(plainly(&fixtures::passing()));
}

#[test]
fn a_shape_mismatch_shows_no_value_statistics() {
    let text = plainly(&fixtures::failing_on_shape());
    let section = text.split("first divergence").nth(1).unwrap().split("reproduce").next().unwrap();
    for word in ["max abs", "rmse", "cosine", "worst at"] {
        assert!(!section.contains(word), "{word} in:\n{section}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_divergence_and_what_follows_from_it() {
    insta::assert_snapshot!(plainly(&fixtures::failing_on_values()));
}

#[test]
fn moved_data_that_is_not_what_it_was() {
    insta::assert_snapshot!(plainly(&fixtures::failing_on_bits()));
}

#[test]
fn a_chained_error_over_a_ceiling_that_decides_nothing() {
    insta::assert_snapshot!(plainly(&fixtures::over_ceiling()));
}

#[test]
fn a_systematic_error_within_every_budget() {
    insta::assert_snapshot!(plainly(&fixtures::failing_on_systematic()));
}

#[test]
fn a_chained_error_beyond_those_of_replicas() {
    insta::assert_snapshot!(plainly(&fixtures::failing_on_chain()));
}

#[test]
fn where_no_ceiling_is_stated_none_is_shown() {
    let mut results = fixtures::passing();
    for peer in &mut results.peers {
        peer.ceiling_used = None;
    }
    let text = plainly(&results);
    assert!(text.contains("rounding budget used") && !text.contains("ceiling"), "{text}");
}

#[test]
fn an_incident_and_hostile_text() {
    let text = plainly(&fixtures::incomplete());
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
    assert!(!text.contains("##["), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn what_could_not_be_read() {
    insta::assert_snapshot!(plainly(&fixtures::unreadable()));
}

#[test]
fn everything_when_verbose_on_a_narrow_screen() {
    let presentation = Presentation { width: 72, verbose: true, ..Presentation::default() };
    insta::assert_snapshot!(terminal(&fixtures::failing_on_values(), &presentation));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let presentation = Presentation { colour: true, ..Presentation::default() };
    let coloured = terminal(&fixtures::failing_on_values(), &presentation);
    assert!(coloured.contains('\u{1b}'));
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    let plain = Presentation::default();
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&stripped), trimmed(&terminal(&fixtures::failing_on_values(), &plain)));
}
