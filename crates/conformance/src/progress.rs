//! Progress on standard error: bars on a terminal, a line per finished part otherwise.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where progress goes.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    terminal: bool,
    quiet: bool,
}

/// One part of the work under way.
#[derive(Debug)]
pub struct Part {
    bar: ProgressBar,
    name: String,
    started: Instant,
    says_when_done: bool,
}

impl Progress {
    /// Bars when standard error is a terminal; nothing at all when quiet.
    pub fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), terminal, quiet }
    }

    /// Starts a part of `steps` steps.
    pub fn part(&self, name: impl Into<String>, steps: usize) -> Part {
        self.start(name.into(), steps as u64, "{prefix:24} {bar:24} {pos:>3}/{len:<3} {elapsed:>5}  {msg}")
    }

    /// Starts a download of so many bytes; each byte is a step.
    pub fn download(&self, name: impl Into<String>, bytes: u64) -> Part {
        let name = name.into();
        if !self.terminal {
            self.note(&format!("{name:24} downloading {}", HumanBytes(bytes)));
        }
        self.start(name, bytes, "{prefix:24} {bar:24} {bytes}/{total_bytes} {bytes_per_sec}  {msg}")
    }

    /// Tells something that the user should know before the end.
    pub fn note(&self, text: &str) {
        if self.terminal {
            // A terminal that is gone cannot be told.
            let _ = self.bars.println(text);
        } else if !self.quiet {
            eprintln!("{text}");
        }
    }

    fn start(&self, name: String, steps: u64, template: &str) -> Part {
        let bar = self.bars.add(ProgressBar::new(steps));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(name.clone());
        if self.terminal {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Part { bar, name, started: Instant::now(), says_when_done: !self.terminal && !self.quiet }
    }
}

impl Part {
    /// What is being done now.
    pub fn say(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }

    /// That many steps are done.
    pub fn at(&self, steps: usize) {
        self.bar.set_position(steps as u64);
    }

    /// One step is done.
    pub fn step(&self) {
        self.steps(1);
    }

    /// So many steps more are done.
    pub fn steps(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// All steps are done, or it ended early.
    pub fn finish(self, outcome: &str) {
        self.bar.finish_with_message(outcome.to_owned());
        if self.says_when_done {
            eprintln!("{:24} {outcome} ({:.1} s)", self.name, self.started.elapsed().as_secs_f64());
        }
    }
}
