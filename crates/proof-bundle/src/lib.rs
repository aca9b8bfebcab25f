//! The archive: the evidence of one run, and what a stranger does with it.
//!
//! A bundle is a BagIt 1.0 bag (RFC 8493), so that `sha256sum -c manifest-sha256.txt` and any BagIt tool check it
//! without this crate. The SHA-256 of `tagmanifest-sha256.txt` is its root.
//!
//! ```text
//! <commit12>-<spec8>-<payload8>[-<what makes it weaker>]/
//!   bagit.txt  bag-info.txt  manifest-sha256.txt  tagmanifest-sha256.txt
//!   data/spec/*.toml                                          the specs as used
//!   data/schema/*.json                                        a JSON Schema for every kind of record
//!   data/materials.json                                       what the run was made from
//!   data/materials.diff                                       changes that no commit holds, where there are any
//!   data/model/<file>                                         a small model: configuration, weights, tokenizer
//!   data/cases/<case>.json                                    what every implementation was given
//!   data/captures.json                                        every capture: its digest, and whether it is here
//!   data/captures/<implementation>/<case>.safetensors         what it produced, chained
//!   data/assays/<case>.json                                   the numbers of a case whose tensors are not here
//!   data/results.json                                         what was compared, and what it means
//!   data/report.html  data/report.md  data/junit.xml          renderings of results.json
//! ```
//!
//! The same run gives the same bytes; only the day in `bag-info.txt` is told by the clock.
//!
//! Architecture invariant: PyO3 and models are never linked here. Nothing is judged here either: the verifier calls
//! the assay and the judge of `checkpoint-spec` on the stored tensors.
#![forbid(unsafe_code)]

mod attest;
mod bag;
mod captures;
mod coverage;
mod current;
mod digest;
#[cfg(test)]
mod fixtures;
mod format;
pub mod heads;
mod layout;
mod materials;
mod model;
mod moments;
mod name;
mod schemas;
mod shelf;
mod signature;
mod verify;
mod write;
mod write_error;

pub use attest::{PREDICATE_TYPE, STATEMENT_TYPE, statement};
pub use bag::date;
pub use captures::{AssayRecord, CaptureEntry, CaptureList};
pub use current::{Current, CurrentModel};
pub use digest::{Digest, DigestError};
pub use format::{FORMAT, FormatError, FormatMajor, FormatMinor, FormatVersion, RecordKind};
pub use heads::Head;
pub use layout::{Role, spec_digest};
pub use materials::{
    Build, Cpu, DIRTY, Diff, Git, Known, LARGEST_DIFF, LARGEST_MODEL, MaterialFile, Materials,
};
pub use model::{ModelError, ModelFiles};
pub use name::bundle_name;
pub use signature::{AllowedSigners, NAMESPACE, SignatureError, sign, signature_path};
#[cfg(any(test, fuzzing))]
pub use verify::fuzzing;
pub use verify::{Demands, Evidence, Problem, Verification, VerifyError, verify, verify_as};
pub use write::{BundleContents, list_captures, write};
pub use write_error::WriteError;
