//! What a run was of, and what it left out.

use checkpoint_spec::{Results, SpecSet, bundled_cases};

/// Checkpoints and cases of a run, and those that it could have had beside them.
pub(super) struct Coverage {
    checkpoints: [Vec<String>; 2],
    cases: [Vec<String>; 2],
}

/// The coverage of a run under a law. Cases that do not fit the model's context are not left out.
pub(super) fn of(results: &Results, law: &SpecSet) -> Coverage {
    let context = results.architecture.sizes.get("C").copied().unwrap_or(0);
    let cases = bundled_cases().unwrap_or_default().into_iter().filter(|case| case.fits(context));
    let split = |ids: Vec<String>, all: Vec<String>| {
        let left_out = all.into_iter().filter(|id| !ids.contains(id)).collect();
        [ids, left_out]
    };
    Coverage {
        checkpoints: split(
            results.checkpoints.iter().map(|checkpoint| checkpoint.id.clone()).collect(),
            law.specs.iter().map(|spec| spec.id.clone()).collect(),
        ),
        cases: split(
            results.cases.iter().map(|case| case.id.clone()).collect(),
            cases.map(|case| case.id).collect(),
        ),
    }
}

impl Coverage {
    /// Whether something was left out.
    pub(super) fn left_out(&self) -> bool {
        !self.checkpoints[1].is_empty() || !self.cases[1].is_empty()
    }

    /// For people.
    pub(super) fn lines(&self) -> [String; 2] {
        let line = |of: &str, [ids, left_out]: &[Vec<String>; 2]| {
            let left_out = if left_out.is_empty() { "none".to_owned() } else { left_out.join(", ") };
            report::plain(&format!("{of:13} {}; left out: {left_out}", ids.join(", ")))
        };
        [line("checkpoints", &self.checkpoints), line("cases", &self.cases)]
    }
}
