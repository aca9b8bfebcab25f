//! The words of verdicts and reasons, the same in every rendering.

use checkpoint_spec::{ComparisonVerdict, Mode, Reason, Verdict};

/// `pass`, `conditional`, …
pub(crate) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Conditional => "conditional",
        Verdict::Blocked => "blocked",
        Verdict::Incomplete => "incomplete",
        Verdict::Error => "error",
        Verdict::Fail => "fail",
    }
}

/// `pass`, `missing`, …
pub(crate) const fn comparison(verdict: ComparisonVerdict) -> &'static str {
    match verdict {
        ComparisonVerdict::Pass => "pass",
        ComparisonVerdict::Incomplete => "incomplete",
        ComparisonVerdict::Error => "error",
        ComparisonVerdict::Missing => "missing",
        ComparisonVerdict::Fail => "fail",
    }
}

/// `isolated` or `chained`.
pub(crate) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Isolated => "isolated",
        Mode::Chained => "chained",
    }
}

/// The same in a sentence.
pub(crate) const fn judged(mode: Mode) -> &'static str {
    match mode {
        Mode::Isolated => "from its own inputs",
        Mode::Chained => "in a chained run",
    }
}

/// `shape`, `budget`, …
pub(crate) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Shape => "shape",
        Reason::DType => "dtype",
        Reason::NonFinite => "non_finite",
        Reason::Empty => "empty",
        Reason::Budget => "budget",
        Reason::Systematic => "systematic",
        Reason::Chained => "chained",
        Reason::Exact => "exact",
        Reason::Invariant => "invariant",
        Reason::Determinism => "determinism",
        Reason::Missing => "missing",
        Reason::Unexpected => "unexpected",
        Reason::Unreadable => "unreadable",
        Reason::Tie => "tie",
        Reason::Incident => "incident",
    }
}

/// What a reason means.
pub(crate) const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::Shape => "the shapes differ; no value was compared",
        Reason::DType => "the dtypes differ; no value was compared",
        Reason::NonFinite => "NaN, or an infinity where none may be",
        Reason::Empty => "no element was compared",
        Reason::Budget => "out of the rounding budget",
        Reason::Systematic => "a systematic error of scale or offset",
        Reason::Chained => "a chained error beyond what the errors of replicas allow",
        Reason::Exact => "not the same bits where they must be",
        Reason::Invariant => "an invariant of the checkpoint does not hold",
        Reason::Determinism => "not the same bits when asked the same again",
        Reason::Missing => "not there",
        Reason::Unexpected => "there, but no spec asks for it",
        Reason::Unreadable => "could not be read",
        Reason::Tie => "another token than the oracle's, the argmax of its own logits",
        Reason::Incident => "an implementation was stopped or did not answer",
    }
}

/// The same for a verdict of a run.
pub(crate) const fn verdict_meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "everything required was compared and is within its bounds",
        Verdict::Conditional => "within its bounds, with the reservations named",
        Verdict::Blocked => "diverges only downstream of another checkpoint",
        Verdict::Incomplete => "something required was not compared",
        Verdict::Error => "an implementation was stopped, or the references disagree",
        Verdict::Fail => "something compared is out of its bounds",
    }
}
