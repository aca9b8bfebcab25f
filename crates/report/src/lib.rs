//! Pure renderings of [`checkpoint_spec::Results`]: terminal, JSON, Markdown, HTML, JUnit and CI annotations.
//!
//! Architecture invariant: no I/O, no clock, no environment. The same record gives the same bytes, so that the
//! verifier of a proof bundle renders the reports again and compares. Nothing is judged here: a rendering says what
//! the record says. Every string of a record may come from a program under test; each rendering makes it harmless.
#![forbid(unsafe_code)]

mod annotations;
mod bounds;
mod check;
mod command;
mod faults;
mod figures;
#[cfg(test)]
mod fixtures;
mod html;
mod json;
mod junit;
mod laws;
mod markdown;
mod peers;
mod phrases;
mod repeats;
mod summary;
mod table;
mod terminal;
mod text;
mod words;

pub use annotations::annotations;
pub use check::{check_exit_code, check_html, check_terminal};
pub use html::html;
pub use json::{SCHEMA, json};
pub use junit::junit;
pub use markdown::markdown;
pub use phrases::conclusion;
pub use summary::exit_code;
pub use terminal::terminal;
pub use text::plain;

/// How a report is shown on a terminal.
#[derive(Clone, Debug)]
pub struct Presentation {
    /// Whether to write escape sequences for colour.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// Whether to show every activation, requirement and departure.
    pub verbose: bool,
    /// Whether reservations count as not conforming.
    pub strict: bool,
    /// Where the proof bundle is.
    pub bundle: Option<String>,
}

impl Default for Presentation {
    /// No colour, 110 columns, what is not a plain pass.
    fn default() -> Self {
        Self { colour: false, width: 110, verbose: false, strict: false, bundle: None }
    }
}
