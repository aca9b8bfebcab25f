//! What is going on and since when: a spinner on a terminal, plain lines elsewhere. Progress is always on standard
//! error, because standard output belongs to the command.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write as _, stderr, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a log that nobody redraws is told that the work goes on.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// One piece of work that takes a while.
pub(crate) struct Progress {
    title: String,
    started: Instant,
    shown: Shown,
}

enum Shown {
    Spinner(ProgressBar),
    Lines {
        spoken: Cell<Instant>,
        latest: RefCell<String>,
    },
    #[cfg(test)]
    Nothing,
}

impl Progress {
    /// Announces the work.
    pub(crate) fn start(title: &str) -> Self {
        let shown = if stderr().is_terminal() {
            Shown::Spinner(spinner(title))
        } else {
            eprintln!("{title}");
            Shown::Lines { spoken: Cell::new(Instant::now()), latest: RefCell::default() }
        };
        Self { title: title.to_owned(), started: Instant::now(), shown }
    }

    /// Work that nobody watches.
    #[cfg(test)]
    pub(crate) fn hidden() -> Self {
        Self { title: String::new(), started: Instant::now(), shown: Shown::Nothing }
    }

    /// The latest that the tool said.
    pub(crate) fn note(&self, line: &str) {
        match &self.shown {
            Shown::Spinner(bar) => bar.set_message(line.to_owned()),
            Shown::Lines { latest, .. } => line.clone_into(&mut latest.borrow_mut()),
            #[cfg(test)]
            Shown::Nothing => {}
        }
        self.tick();
    }

    /// Time has passed.
    pub(crate) fn tick(&self) {
        if let Shown::Lines { spoken, latest } = &self.shown
            && spoken.get().elapsed() >= HEARTBEAT
        {
            spoken.set(Instant::now());
            eprintln!("  {} … {}", seconds(self.started.elapsed()), latest.borrow());
        }
    }

    /// The work is done.
    pub(crate) fn done(self) {
        let line = format!("{} ({})", self.title, seconds(self.started.elapsed()));
        match self.shown {
            Shown::Spinner(bar) => {
                bar.finish_and_clear();
                eprintln!("{line}");
            }
            Shown::Lines { .. } => eprintln!("  done in {}", seconds(self.started.elapsed())),
            #[cfg(test)]
            Shown::Nothing => {}
        }
    }
}

/// Prints to standard output. That nobody reads any more must change neither work nor exit code.
pub(crate) fn say(text: &str) {
    let mut out = stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// A duration as a person reads it: `0.4 s`, `12 s`, `3 min 05 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

fn spinner(title: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_prefix(title.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} ({elapsed})  {wide_msg:.dim}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(12)), "12 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 05 s");
    }
}
