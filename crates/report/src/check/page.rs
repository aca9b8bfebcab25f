//! The same as one self-contained page.

use askama::Template;
use checkpoint_spec::{ComparisonVerdict, PartComparison, PartResults};

use super::{by_checkpoint, compared, diagnosed, from, layout_line, meaning, model, named, shows};
use crate::bounds::worst_figures;
use crate::text::plain;
use crate::{phrases, words};

/// Renders what was found in a dump as a page of HTML. Every text is escaped by the template, after it has been made harmless.
///
/// # Errors
/// If the template cannot be rendered.
pub fn check_html(results: &PartResults) -> Result<String, askama::Error> {
    Ok(CheckPage::new(results).render()? + "\n")
}

#[derive(Template)]
#[template(path = "check.html")]
struct CheckPage {
    verdict: &'static str,
    meaning: &'static str,
    compared: String,
    facts: Vec<(&'static str, String)>,
    first: Vec<(&'static str, String)>,
    checkpoints: Vec<Checkpoint>,
    remarks: Vec<(&'static str, String)>,
    map: Option<String>,
}

struct Checkpoint {
    name: String,
    verdict: &'static str,
    rows: Vec<[String; 5]>,
}

impl CheckPage {
    fn new(results: &PartResults) -> Self {
        let facts = vec![
            ("model", model(results)),
            ("dump", plain(&results.dump)),
            ("given", super::given(results)),
            ("names", plain(&results.names)),
            ("shows", shows(results)),
        ];
        let unused = results
            .unused
            .iter()
            .map(|unused| ("not used", plain(&format!("{} ({}): {}", unused.name, unused.what, unused.why))));
        let broken = results.requirements.iter().map(|requirement| {
            let found = requirement.findings.first().map(|found| found.message.as_str()).unwrap_or_default();
            ("requirement", plain(&format!("{} {} {found}", requirement.id, requirement.text)))
        });
        let layouts = results
            .layouts
            .iter()
            .map(|layout| ("layout", plain(&format!("{}: {}", layout.activation, layout_line(layout)))));
        let notes = results.notes.iter().map(|note| ("note", plain(note)));
        Self {
            verdict: words::verdict(results.verdict),
            meaning: meaning(results.verdict),
            compared: compared(results),
            facts,
            first: first(results),
            checkpoints: by_checkpoint(results).into_iter().map(|found| checkpoint(results, found)).collect(),
            remarks: broken.chain(layouts).chain(unused).chain(notes).collect(),
            map: results.map.as_deref().map(|map| crate::text::lines(map).collect::<Vec<_>>().join("\n")),
        }
    }
}

fn first(results: &PartResults) -> Vec<(&'static str, String)> {
    let (Some(divergence), Some(found)) = (&results.first_divergence, results.first()) else {
        return Vec::new();
    };
    let mut entries = vec![
        (
            "where",
            plain(&format!(
                "{}, {}",
                found.checkpoint,
                named(results, &found.comparison.tensor_name().to_string())
            )),
        ),
        ("reason", words::meaning(divergence.reason).to_owned()),
        ("judged", plain(&from(results, found))),
    ];
    entries.extend(results.diagnosis().map(|diagnosis| ("which bug", diagnosed(diagnosis))));
    entries.push(("numbers", phrases::outcome(&found.comparison)));
    entries
}

fn checkpoint(results: &PartResults, (name, found): (&str, Vec<&PartComparison>)) -> Checkpoint {
    let verdict = found.iter().map(|found| found.comparison.verdict).max();
    let row = |found: &PartComparison| {
        let (error, share) = worst_figures(&found.comparison);
        let verdict = words::comparison(found.comparison.verdict).to_owned();
        {
            let name = named(results, &found.comparison.tensor_name().to_string());
            [plain(&name), verdict, error, share, plain(&from(results, found))]
        }
    };
    Checkpoint {
        name: plain(name),
        verdict: words::comparison(verdict.unwrap_or(ComparisonVerdict::Missing)),
        rows: found.into_iter().map(row).collect(),
    }
}
