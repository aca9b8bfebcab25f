//! The fault panel in words, for every rendering.

use checkpoint_spec::{Extent, FaultPanel, FaultResult, FaultWord, Mode};

use crate::text::plain;
use crate::{figures, words};

/// `91 of 91 killed where declared; 3 change nothing, as declared`.
pub(crate) fn summary(panel: &FaultPanel) -> String {
    if panel.extent == Extent::None {
        return "none put in: nothing shows on this model that the gate can fail".to_owned();
    }
    let [killed, required, equivalent, not_exercised] =
        [panel.killed, panel.required, panel.equivalent, panel.not_exercised].map(figures::count);
    let mut text = format!("{killed} of {required} killed where declared");
    if panel.equivalent > 0 {
        text += &format!("; {equivalent} change nothing, as declared");
    }
    if panel.not_exercised > 0 {
        text += &format!("; {not_exercised} have no place in these cases");
    }
    if panel.extent == Extent::Fast {
        text += &format!("; the short panel of {} declared", figures::count(panel.declared));
    }
    if let Some(problem) = &panel.problem {
        text += &format!("; nothing shown: {}", plain(problem));
    }
    text
}

/// `survived`, `refused elsewhere`, …
pub(crate) const fn word(word: FaultWord) -> &'static str {
    match word {
        FaultWord::Killed => "killed",
        FaultWord::Equivalent => "equivalent",
        FaultWord::NotExercised => "not exercised",
        FaultWord::Missing => "not put in",
        FaultWord::Idle => "changes nothing",
        FaultWord::Matters => "changes something",
        FaultWord::OtherReason => "refused for another reason",
        FaultWord::Elsewhere => "refused elsewhere",
        FaultWord::Survived => "survived",
    }
}

/// Who must refuse a fault and why: `04, budget or systematic`.
pub(crate) fn declared(fault: &FaultResult) -> String {
    let reasons: Vec<&str> = fault.reasons.iter().map(|reason| words::reason(*reason)).collect();
    plain(&format!("{}, {}", fault.by, reasons.join(" or ")))
}

/// Who refused it and why: `04, exact, step0/h.0.attn.mask`, or `…, chained`; and the margin.
pub(crate) fn found(fault: &FaultResult) -> (String, String) {
    let killer = fault.observation.as_ref().and_then(|observation| observation.killer.as_ref());
    let Some(killer) = killer else {
        return (fault.note.as_deref().map(plain).unwrap_or_else(|| "nobody".to_owned()), String::new());
    };
    let tensor = killer.tensor.as_ref().map(|tensor| format!(", {tensor}")).unwrap_or_default();
    let mode = if killer.mode == Some(Mode::Chained) { ", chained" } else { "" };
    let margin = killer.margin.map(|margin| format!("{}×", figures::error(margin.0))).unwrap_or_default();
    (plain(&format!("{}, {}{tensor}{mode}", killer.by, words::reason(killer.reason))), margin)
}

/// A fault that the gate did not treat as declared, in a line.
pub(crate) fn departure(fault: &FaultResult) -> String {
    let (found, _) = found(fault);
    plain(&format!(
        "{} ({}): {}; declared {}, found {found}",
        fault.id,
        fault.what,
        word(fault.word),
        declared(fault)
    ))
}
