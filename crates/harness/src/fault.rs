//! The fault panel: bugs put into a correct implementation from outside, to see that the gate refuses each.
//!
//! Specs declare the faults, and where each is a mutation of the graph, also how it gets in. The carrier is the graph itself at
//! f32, whoever the subject is, on the model, references and one case of the run. What comes out goes through the very
//! functions that judge a run. Faults of evidence, of references and of their programs are here.

mod carrier;
mod catalogue;
mod evidence;
mod panel;

use anyhow::Result;
use checkpoint_spec::FaultSpec;

pub use carrier::Carrier;
pub use evidence::Evidence;
pub use panel::{Bench, Ground, each_fault, examine, unbound};

/// One fault and how it gets in.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    /// As a spec declares it.
    pub spec: &'a FaultSpec,
    /// The index of that spec.
    pub checkpoint: usize,
    /// How it gets in.
    pub injection: Injection,
}

/// How a fault gets in.
#[derive(Clone, Copy, Debug)]
pub enum Injection {
    /// The carrier computes otherwise at the places that the spec names.
    Places,
    /// Other evidence, captures of the subject or of the references, at the checkpoint with that index.
    Evidence(fn(&Carrier<'_>, &mut Evidence<'_>, usize) -> Result<()>),
    /// A reference that does not answer as it should.
    Worker(Conduct),
}

/// How a reference's worker fails.
#[derive(Clone, Copy, Debug)]
pub enum Conduct {
    /// It ends by a signal.
    Crashes,
    /// It does nothing, for longer than it may.
    Hangs,
}
