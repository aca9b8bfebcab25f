//! The fault panel: bugs put into a correct implementation from outside, to see that the gate refuses each.
//!
//! Specs declare the faults; here is how each gets in. The carrier is the Rust GPT-2, whoever the subject is, on the
//! model, references and one case of the run. What comes out goes through the very functions that judge a run.

mod carrier;
mod catalogue;
pub(crate) mod chain;
mod evidence;
pub(crate) mod look;
mod panel;
mod peers;

use anyhow::Result;
use capture::Tensor;
use gpt2::Gpt2;

pub(crate) use catalogue::arithmetic;
pub use panel::{Ground, examine, unbound};
pub use peers::{PEERS, Peer, PeerRow, PeerTable, against_peers};

use carrier::Carrier;
use evidence::Evidence;
use look::Look;

/// One fault and how it gets in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// As a spec declares it.
    pub id: &'static str,
    /// How it gets in.
    pub injection: Injection,
}

/// How a fault gets in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Injection {
    /// Other weights or constants, after the weights were read: their digests are those of the file.
    Model(fn(&mut Gpt2)),
    /// Other weights in the file.
    Stored(fn(&mut Gpt2)),
    /// A component that computes something else from what it is given: what it makes of an activation, or `None` where
    /// it leaves it alone. What follows is computed from that.
    Component(fn(&Look<'_>) -> Result<Option<Tensor>>),
    /// Other evidence: captures of the subject or of the references.
    Evidence(fn(&Carrier, &mut Evidence<'_>) -> Result<()>),
    /// A reference that does not answer as it should.
    Worker(Conduct),
}

/// How a reference's worker fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Conduct {
    /// It ends by a signal.
    Crashes,
    /// It does nothing, for longer than it may.
    Hangs,
}
