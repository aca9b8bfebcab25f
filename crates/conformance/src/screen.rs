//! Progress on standard error: bars on a terminal, a line per finished part otherwise.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::events::{Event, Listener, Progress, Unit};
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

const PIECES: &str = "{prefix:24} {bar:24} {pos:>3}/{len:<3} {elapsed:>5}  {msg}";
const BYTES: &str = "{prefix:24} {bar:24} {bytes}/{total_bytes} {bytes_per_sec}  {msg}";

/// Bars when standard error is a terminal; nothing at all when quiet.
pub fn progress(quiet: bool) -> Progress {
    if quiet {
        return Progress::unheard();
    }
    if std::io::stderr().is_terminal() {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Progress::new(Arc::new(Bars { bars, parts: Mutex::default() }))
    } else {
        Progress::new(Arc::new(Lines::default()))
    }
}

/// A bar for each part.
struct Bars {
    bars: MultiProgress,
    parts: Mutex<BTreeMap<u64, ProgressBar>>,
}

/// A line for each part, when it is over.
#[derive(Default)]
struct Lines {
    names: Mutex<BTreeMap<u64, String>>,
}

impl Bars {
    fn start(&self, name: &str, steps: u64, unit: Unit) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(steps));
        let template = if unit == Unit::Byte { BYTES } else { PIECES };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

impl Listener for Bars {
    fn hear(&self, event: Event<'_>) {
        let Ok(mut parts) = self.parts.lock() else { return };
        match event {
            Event::Started { part, name, steps, unit } => {
                parts.insert(part, self.start(name, steps, unit));
            }
            Event::Doing { part, what } => {
                parts.get(&part).into_iter().for_each(|bar| bar.set_message(what.to_owned()));
            }
            Event::Done { part, steps } => {
                parts.get(&part).into_iter().for_each(|bar| bar.set_position(steps));
            }
            // A bar whose part was left goes with it.
            Event::Finished { part, outcome, .. } => {
                if let Some((bar, outcome)) = parts.remove(&part).zip(outcome) {
                    bar.finish_with_message(outcome.to_owned());
                }
            }
            // A terminal that is gone cannot be told.
            Event::Note(text) => drop(self.bars.println(text)),
        }
    }
}

impl Listener for Lines {
    fn hear(&self, event: Event<'_>) {
        let Ok(mut names) = self.names.lock() else { return };
        match event {
            Event::Started { part, name, steps, unit } => {
                if unit == Unit::Byte {
                    eprintln!("{name:24} downloading {}", HumanBytes(steps));
                }
                names.insert(part, name.to_owned());
            }
            Event::Finished { part, outcome, took } => {
                if let Some((name, outcome)) = names.remove(&part).zip(outcome) {
                    eprintln!("{name:24} {outcome} ({:.1} s)", took.as_secs_f64());
                }
            }
            Event::Note(text) => eprintln!("{text}"),
            Event::Doing { .. } | Event::Done { .. } => {}
        }
    }
}
