//! What is told while work goes on. Whoever starts the work says who hears of it: a screen, a log, nobody.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// A part of the work is under way.
    Started {
        /// Its number; no other part has it.
        part: u64,
        /// What it is called.
        name: &'a str,
        /// How many steps it has.
        steps: u64,
        /// What a step is.
        unit: Unit,
    },
    /// What is being done in a part now.
    Doing {
        /// The part.
        part: u64,
        /// In words.
        what: &'a str,
    },
    /// So many steps of a part are done.
    Done {
        /// The part.
        part: u64,
        /// From its beginning.
        steps: u64,
    },
    /// A part is over.
    Finished {
        /// The part.
        part: u64,
        /// What became of it; none where it was left in the middle.
        outcome: Option<&'a str>,
        /// How long it took.
        took: Duration,
    },
    /// Something that the user should know before the end.
    Note(&'a str),
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A job, a case, a fault.
    Piece,
    /// A byte of a download.
    Byte,
}

/// Who hears of events, from any thread.
pub trait Listener: Send + Sync {
    /// Takes note of one.
    fn hear(&self, event: Event<'_>);
}

/// Tells of work that goes on.
#[derive(Clone)]
pub struct Progress {
    listener: Arc<dyn Listener>,
    parts: Arc<AtomicU64>,
}

/// One part of the work under way.
#[derive(Debug)]
pub struct Part {
    progress: Progress,
    number: u64,
    steps: AtomicU64,
    started: Instant,
    is_over: bool,
}

struct Nobody;

impl Listener for Nobody {
    fn hear(&self, _: Event<'_>) {}
}

impl Progress {
    /// Events go there.
    pub fn new(listener: Arc<dyn Listener>) -> Self {
        Self { listener, parts: Arc::default() }
    }

    /// Nobody hears of it.
    pub fn unheard() -> Self {
        Self::new(Arc::new(Nobody))
    }

    /// Starts a part of so many steps.
    pub fn part(&self, name: impl AsRef<str>, steps: usize) -> Part {
        self.start(name.as_ref(), steps as u64, Unit::Piece)
    }

    /// Starts a download of so many bytes; each byte is a step.
    pub fn download(&self, name: impl AsRef<str>, bytes: u64) -> Part {
        self.start(name.as_ref(), bytes, Unit::Byte)
    }

    /// Tells something that the user should know before the end.
    pub fn note(&self, text: &str) {
        self.listener.hear(Event::Note(text));
    }

    fn start(&self, name: &str, steps: u64, unit: Unit) -> Part {
        let part = self.parts.fetch_add(1, Ordering::Relaxed);
        self.listener.hear(Event::Started { part, name, steps, unit });
        let (progress, steps) = (self.clone(), AtomicU64::new(0));
        Part { progress, number: part, steps, started: Instant::now(), is_over: false }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl Part {
    /// What is being done now.
    pub fn say(&self, message: impl AsRef<str>) {
        self.tell(Event::Doing { part: self.number, what: message.as_ref() });
    }

    /// That many steps are done.
    pub fn at(&self, steps: usize) {
        self.steps.store(steps as u64, Ordering::Relaxed);
        self.tell(Event::Done { part: self.number, steps: steps as u64 });
    }

    /// One step is done.
    pub fn step(&self) {
        self.steps(1);
    }

    /// So many steps more are done.
    pub fn steps(&self, more: usize) {
        let steps = self.steps.fetch_add(more as u64, Ordering::Relaxed) + more as u64;
        self.tell(Event::Done { part: self.number, steps });
    }

    /// All steps are done, or it ended early.
    pub fn finish(mut self, outcome: &str) {
        self.end(Some(outcome));
    }

    fn end(&mut self, outcome: Option<&str>) {
        if !self.is_over {
            self.is_over = true;
            self.tell(Event::Finished { part: self.number, outcome, took: self.started.elapsed() });
        }
    }

    fn tell(&self, event: Event<'_>) {
        self.progress.listener.hear(event);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.end(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Listener for Heard {
        fn hear(&self, event: Event<'_>) {
            let text = match event {
                Event::Started { part, name, steps, .. } => format!("{part} {name} of {steps}"),
                Event::Doing { part, what } => format!("{part} {what}"),
                Event::Done { part, steps } => format!("{part} at {steps}"),
                Event::Finished { part, outcome, .. } => format!("{part} {outcome:?}"),
                Event::Note(text) => text.to_owned(),
            };
            self.0.lock().unwrap().push(text);
        }
    }

    #[test]
    fn every_part_begins_goes_on_and_ends_once_even_where_it_is_left() {
        let heard = Arc::new(Heard::default());
        let progress = Progress::new(heard.clone());
        let first = progress.part("first", 3);
        drop(progress.part("second", 1));
        first.say("a");
        first.step();
        first.steps(2);
        first.finish("done");
        progress.note("n");
        let expected =
            ["0 first of 3", "1 second of 1", "1 None", "0 a", "0 at 1", "0 at 3", "0 Some(\"done\")", "n"];
        assert_eq!(*heard.0.lock().unwrap(), expected);
    }
}
