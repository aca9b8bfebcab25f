//! Two dumps side by side, on a terminal.

use std::fmt::Write;

use checkpoint_spec::Verdict;

use super::{ComparedTensor, Comparison};

/// Tensors that are shown where not all are asked for.
const FEW: usize = 20;

impl Comparison {
    /// The page for a terminal.
    pub fn terminal(&self, colour: bool, verbose: bool) -> String {
        let paint = |on: bool, good: bool, text: &str| match (on, good) {
            (false, _) => text.to_owned(),
            (true, true) => format!("\u{1b}[32m{text}\u{1b}[0m"),
            (true, false) => format!("\u{1b}[1;31m{text}\u{1b}[0m"),
        };
        let mut page = String::new();
        let plain = report::plain;
        // Writing to a string cannot fail.
        let _ =
            writeln!(page, "expected      {}\nactual        {}", plain(&self.expected), plain(&self.actual));
        let _ = writeln!(page, "bounds        {}: picked, not derived from the computation\n", self.bounds);
        let shown: Vec<&ComparedTensor> = self.tensors.iter().filter(|t| verbose || !t.pass).collect();
        let most = if verbose { usize::MAX } else { FEW };
        for tensor in shown.iter().take(most) {
            let word = if tensor.pass { "pass" } else { "fail" };
            let word = paint(colour, tensor.pass, word);
            let _ = writeln!(page, "{word}  {}: {}", plain(&tensor.name), plain(&tensor.line()));
        }
        if shown.len() > most {
            let _ = writeln!(page, "… and {} more (--verbose shows them)", shown.len() - most);
        }
        for note in &self.notes {
            let _ = writeln!(page, "note          {}", plain(note));
        }
        let passed = self.tensors.iter().filter(|tensor| tensor.pass).count();
        let _ = writeln!(
            page,
            "\ncompared {} of {} tensors, {passed} within the bounds",
            self.compared, self.names
        );
        let word = if self.verdict == Verdict::Pass { "PASS" } else { "FAIL" };
        let word = if self.verdict == Verdict::Incomplete { "INCOMPLETE" } else { word };
        let word = paint(colour, self.verdict == Verdict::Pass, word);
        let _ = writeln!(page, "verdict {word} · exit {}", self.exit_code);
        page
    }
}

impl ComparedTensor {
    fn line(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!("{reason}: ")).unwrap_or_default();
        let Some(s) = &self.statistics else {
            return format!("{reason}{}", self.found.clone().unwrap_or_default());
        };
        let mut line = format!(
            "{reason}max abs {:.2e}, rmse {:.2e}, {} of {} out of the bound",
            s.max_abs.0, s.rmse.0, s.violations, s.elements
        );
        if let Some(ulps) = s.max_ulp {
            line += &format!(", at most {ulps} ulp");
        }
        let n = s.non_finite;
        if n.actual_nan + n.expected_nan + n.actual_infinite + n.expected_infinite > 0 {
            line += &format!(
                "; NaN {} (expected {}), ±∞ {} (expected {})",
                n.actual_nan, n.expected_nan, n.actual_infinite, n.expected_infinite
            );
        }
        if let Some(worst) = s.worst.first().filter(|_| !self.pass) {
            line += &format!("; worst at {:?}: {} for {}", worst.index, worst.actual.0, worst.expected.0);
        }
        line
    }
}
