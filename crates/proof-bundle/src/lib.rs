//! The archive: the evidence of one run, and what a stranger does with it.
//!
//! A bundle is a BagIt 1.0 bag (RFC 8493), so that `sha256sum -c manifest-sha256.txt` and any BagIt tool check it
//! without this crate. The SHA-256 of `tagmanifest-sha256.txt` is its root.
//!
//! ```text
//! <commit12>-<spec8>-<run8>/
//!   bagit.txt  bag-info.txt  manifest-sha256.txt  tagmanifest-sha256.txt
//!   data/spec/*.toml                                          the specs as used
//!   data/schema/*.json                                        a JSON Schema for every kind of record
//!   data/materials.json                                       what the run was made from
//!   data/cases/<case>.json                                    what every implementation was given
//!   data/captures.json                                        every capture: its digest, and whether it is here
//!   data/captures/<implementation>/<case>.safetensors         what it produced, chained
//!   data/captures/<implementation>/<case>.replay.safetensors  and in isolation
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
mod current;
mod digest;
#[cfg(test)]
mod fixtures;
pub mod heads;
mod layout;
mod materials;
mod moments;
mod schemas;
mod shelf;
mod signature;
mod verify;
mod write;

pub use attest::{PREDICATE_TYPE, STATEMENT_TYPE, statement};
pub use bag::date;
pub use captures::{ASSAY_SCHEMA, AssayRecord, CAPTURES_SCHEMA, CaptureEntry, CaptureList};
pub use current::{Current, CurrentModel};
pub use digest::{Digest, DigestError};
pub use heads::Head;
pub use layout::{Role, spec_digest};
pub use materials::{DIRTY, Git, MATERIALS_SCHEMA, MaterialFile, Materials};
pub use schemas::CASE_SCHEMA;
pub use signature::{AllowedSigners, NAMESPACE, SignatureError, sign, signature_path};
#[cfg(any(test, fuzzing))]
pub use verify::fuzzing;
pub use verify::{Demands, Evidence, Problem, Verification, VerifyError, verify, verify_as};
pub use write::{BundleContents, CapturePaths, WriteError, list_captures, write};
