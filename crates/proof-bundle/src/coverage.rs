//! What a run was of, and what it left out.

use capture::Case;
use checkpoint_spec::{CaseTemplate, Results, SpecSet, bundled_cases};

/// Checkpoints and cases of a run, and those that it could have had beside them.
pub(crate) struct Coverage {
    /// Those of the run, and those left out.
    checkpoints: [Vec<String>; 2],
    cases: [Vec<String>; 2],
}

/// The coverage of a run under a law. Cases that do not fit the model's context are not left out; one that has the
/// name of another and fewer rows, steps or tokens stands in for nothing.
pub(crate) fn of(results: &Results, cases: &[Case], law: &SpecSet) -> Coverage {
    let context = results.architecture.sizes.get("C").copied().unwrap_or(0);
    let own = bundled_cases().unwrap_or_default().into_iter().filter(|case| case.fits(context));
    let is_there = |own: &CaseTemplate| cases.iter().any(|case| own.has_shape_of(case, context));
    let checkpoints: Vec<String> =
        results.checkpoints.iter().map(|checkpoint| checkpoint.id.clone()).collect();
    let not_reported = law.specs.iter().map(|spec| spec.id.clone()).filter(|id| !checkpoints.contains(id));
    let not_run = own.filter(|own| !is_there(own)).map(|own| own.id);
    Coverage {
        cases: [results.cases.iter().map(|case| case.id.clone()).collect(), not_run.collect()],
        checkpoints: [checkpoints.clone(), not_reported.collect()],
    }
}

impl Coverage {
    /// Whether something was left out.
    pub(crate) fn left_out(&self) -> bool {
        self.checkpoints_left_out() + self.cases_left_out() > 0
    }

    /// How many checkpoints were left out.
    pub(crate) fn checkpoints_left_out(&self) -> usize {
        self.checkpoints[1].len()
    }

    /// How many cases were left out.
    pub(crate) fn cases_left_out(&self) -> usize {
        self.cases[1].len()
    }

    /// For people.
    pub(crate) fn lines(&self) -> [String; 2] {
        let line = |of: &str, [ids, left_out]: &[Vec<String>; 2]| {
            let left_out = if left_out.is_empty() { "none".to_owned() } else { left_out.join(", ") };
            report::plain(&format!("{of:13} {}; left out: {left_out}", ids.join(", ")))
        };
        [line("checkpoints", &self.checkpoints), line("cases", &self.cases)]
    }
}
