//! Facts of a record in one line, worded alike in every rendering. All of them are harmless text.

use capture::Identity;
use checkpoint_spec::{
    Comparison, Diagnosis, Divergence, Incident, Mode, NamedBug, Outcome, Reason, Results, StatisticsRecord,
    Voice,
};

use crate::bounds::bounds;
use crate::summary::{Divergent, Totals, totals};
use crate::text::plain;
use crate::{figures, words};

/// What the verdict rests on, and what it does not show.
const STATEMENT: &str = "The verdict follows from the recorded tensors, and anyone can recompute it. \
    That the model produced those tensors is proved by `--rerun`, or by a signature from a trusted CI.";

/// What the verdict rests on, and what it does not show. Every report says so, and of which cases there are digests only.
pub(crate) fn statement(results: &Results) -> String {
    let digest_only = &results.tensors.digest_only;
    if digest_only.is_empty() {
        return STATEMENT.to_owned();
    }
    plain(&format!(
        "DIGEST-ONLY: of {} of {} cases ({}) the bundle has digests in place of tensors. What is said of them cannot be \
         recomputed from it, and verifies as digest-only, not as a pass. {STATEMENT}",
        digest_only.len(),
        results.cases.len(),
        digest_only.join(", ")
    ))
}

/// `compared N of N required activations`, with the ties if there are any.
pub(crate) fn compared(totals: Totals) -> String {
    let counts = [totals.compared, totals.required].map(figures::count);
    let ties = match totals.ties {
        0 => String::new(),
        1 => ", 1 tie".to_owned(),
        n => format!(", {} ties", figures::count(n)),
    };
    format!("compared {} of {} required activations{ties}", counts[0], counts[1])
}

/// `paragraph step0/h.3.attn.q vs graph@f64`; of a chained run it is said that it is one.
pub(crate) fn place(comparison: &Comparison) -> String {
    let mode = if comparison.mode == Mode::Chained { " (chained)" } else { "" };
    let tensor = comparison.tensor_name();
    plain(&format!("{} {tensor} vs {}{mode}", comparison.case, comparison.reference))
}

/// One line that says what came of a comparison.
pub(crate) fn outcome(comparison: &Comparison) -> String {
    let line = match &comparison.outcome {
        Outcome::Compared { statistics, .. } => numbers(comparison, statistics),
        Outcome::ShapeMismatch { expected, found, side } => {
            format!("shape {found} in {side}, {expected} required; no value was compared")
        }
        Outcome::DtypeMismatch { expected, found, side } => {
            format!("dtype {found} in {side}, {expected} required; no value was compared")
        }
        Outcome::Missing { side } => format!("{side} has no such activation"),
        Outcome::Unreadable { problem } => format!("could not be read: {problem}"),
    };
    plain(&line)
}

fn numbers(comparison: &Comparison, s: &StatisticsRecord) -> String {
    let mut line = format!("max abs {}", figures::error(s.max_abs.0));
    for bound in bounds(comparison) {
        line += &format!("; {}: {}", bound.label, bound.text);
    }
    line.extend(non_finite(s).map(|found| format!("; {found}")));
    line
}

/// The errors of a comparison in one line.
pub(crate) fn errors(s: &StatisticsRecord) -> String {
    let [max_abs, mean_abs, max_rel, rmse] =
        [s.max_abs, s.mean_abs, s.max_rel, s.rmse].map(|error| figures::error(error.0));
    let mut errors = format!("max abs {max_abs}, mean abs {mean_abs}, max rel {max_rel}, rmse {rmse}");
    errors.extend(s.cosine.map(|cosine| format!(", cosine {}", cosine.0)));
    errors.extend(s.max_ulp.map(|ulp| format!(", max ulp {}", figures::count(ulp))));
    errors
}

/// Elements by size of error, the sizes that occur.
pub(crate) fn buckets(s: &StatisticsRecord) -> Vec<(String, String)> {
    let filled = s.buckets.iter().enumerate().filter(|&(_, &n)| n > 0);
    filled.map(|(index, &n)| (figures::bucket(index), figures::count(n))).collect()
}

/// Counts of NaN and infinities on both sides; none when everything is finite.
pub(crate) fn non_finite(s: &StatisticsRecord) -> Option<String> {
    let n = s.non_finite;
    (n != tensor_compare::NonFinite::default()).then(|| {
        format!(
            "NaN {} (expected {}), ±∞ {} (expected {}, the same {})",
            n.actual_nan, n.expected_nan, n.actual_infinite, n.expected_infinite, n.same_infinity
        )
    })
}

/// `06 ffn, h.2.mlp.act, step 0 of case paragraph, from its own inputs`.
pub(crate) fn divergence_place(divergent: &Divergent<'_>) -> String {
    let Divergence { checkpoint, activation, case, step, mode, .. } = divergent.divergence;
    let name = divergent.checkpoint.map(|c| format!(" {}", c.name)).unwrap_or_default();
    let step = step.map(|step| format!("step {step} of ")).unwrap_or_default();
    plain(&format!("{checkpoint}{name}, {activation}, {step}case {case}, {}", words::judged(*mode)))
}

/// What a divergence in isolation shows: nothing before it has a part in it. An output that is not there shows nothing.
pub(crate) fn divergence_inputs(divergence: &Divergence) -> Option<&'static str> {
    (divergence.mode == Mode::Isolated && divergence.reason != Reason::Missing)
        .then_some("the subject's own, as it observed them: the error is made here, none of it is carried in")
}

/// Which bug it is: `this is what "epsilon is 1e-6" gives (4 % of the budget): epsilon-1e-6`.
pub(crate) fn diagnosis(diagnosis: &Diagnosis) -> String {
    let Some((first, others)) = diagnosis.named.split_first() else {
        let tried = figures::count(diagnosis.tried);
        return format!("none of the {tried} known bugs of this operation gives what was observed");
    };
    let bug = |bug: &NamedBug| {
        format!("“{}” gives ({} of the budget used): {}", bug.what, figures::share(bug.used.0), bug.id)
    };
    let also: Vec<String> = others.iter().map(|other| format!("; and what {}", bug(other))).collect();
    plain(&format!("this is what {}{}", bug(first), also.concat()))
}

/// `58 of 60 hold; 1 not exercised by these cases, 1 not applicable`.
pub(crate) fn requirements(totals: Totals) -> String {
    let mut line = format!("{} of {} hold", totals.requirements_held, totals.requirements());
    let apart =
        [(totals.not_exercised, "not exercised by these cases"), (totals.not_applicable, "not applicable")];
    let apart: Vec<String> =
        apart.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !apart.is_empty() {
        line += &format!("; {}", apart.join(", "));
    }
    line
}

/// `tinygrad@f32 timed_out in case paragraph`.
pub(crate) fn incident(incident: &Incident) -> String {
    let case = incident.case.as_ref().map(|case| format!(" in case {case}")).unwrap_or_default();
    plain(&format!("{} {}{case}", incident.implementation, incident.kind))
}

/// What a run comes to, in three lines: what such a record does and does not prove, how much was compared, the verdict.
pub fn conclusion(results: &Results) -> [String; 3] {
    let verdict = words::verdict(results.verdict).to_uppercase();
    let line = if results.tensors.digest_only.is_empty() {
        format!("verdict {verdict}: {}", words::verdict_meaning(results.verdict))
    } else {
        format!(
            "verdict DIGEST-ONLY: the record says {verdict}, and the tensors that would show it are not all here"
        )
    };
    [statement(results), compared(totals(results)), line]
}

/// One line about the model.
pub(crate) fn model(results: &Results) -> String {
    let sizes = &results.architecture.sizes;
    let sizes: Vec<String> = sizes.iter().map(|(symbol, size)| format!("{symbol} {size}")).collect();
    plain(&format!(
        "{} ({}, {} layers, {})",
        results.model,
        results.architecture.family,
        results.architecture.layers,
        sizes.join(", ")
    ))
}

/// `torch@f32 2.15.0 on cpu`.
pub(crate) fn identity(identity: &Identity) -> String {
    plain(&format!("{identity} {} on {}", identity.version, identity.device))
}

/// A line per checkpoint that has figures: how each implementation fares against the oracle.
pub(crate) fn peers(results: &Results) -> Vec<String> {
    let mut lines: Vec<(&str, String)> = Vec::new();
    for peer in &results.peers {
        let errors = crate::peers::errors(peer).join(" / ");
        let figure = plain(&format!("{} {errors}", peer.implementation));
        match lines.iter_mut().find(|(id, _)| *id == peer.checkpoint) {
            Some((_, line)) => *line += &format!(", {figure}"),
            None => {
                let name =
                    results.checkpoints.iter().find(|c| c.id == peer.checkpoint).map(|c| c.name.as_str());
                let at = plain(&format!("{} {}", peer.checkpoint, name.unwrap_or_default()));
                lines.push((&peer.checkpoint, format!("{at}, max abs chained / isolated: {figure}")));
            }
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// One line about the quorum: its voices, and how far they agree.
pub(crate) fn quorum(results: &Results) -> String {
    let quorum = &results.quorum;
    let voices: Vec<&str> = quorum.voices.iter().map(|voice| voice.name.as_str()).collect();
    let voices = if voices.is_empty() { "no voice".to_owned() } else { voices.join(", ") };
    let mut line = format!(
        "{}: {voices}; {} of {} compared",
        words::verdict(quorum.verdict),
        figures::count(quorum.compared),
        figures::count(quorum.required)
    );
    if quorum.compared > 0 {
        line += &format!(", at most {} of the allowed disagreement", figures::share(quorum.used.0));
    }
    if let Some(worst) = &quorum.worst {
        line += &format!(" ({worst})");
    }
    plain(&line)
}

/// A voice of the quorum and where its computation comes from.
pub(crate) fn voice(voice: &Voice) -> String {
    plain(&format!("{}: {}", voice.name, voice.lineage))
}
