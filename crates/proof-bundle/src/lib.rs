//! The archive: the evidence of one run, and what a stranger does with it.
//!
//! A bundle is a BagIt 1.0 bag (RFC 8493), so that `sha256sum -c manifest-sha256.txt` and any BagIt tool check it
//! without this crate. The SHA-256 of `tagmanifest-sha256.txt` is its root.
//!
//! ```text
//! <commit12>-<spec8>-<run8>/
//!   bagit.txt  bag-info.txt  manifest-sha256.txt  tagmanifest-sha256.txt
//!   data/spec/*.toml                                          the specs as used
//!   data/materials.json                                       what the run was made from
//!   data/cases/<case>.json                                    what every implementation was given
//!   data/captures/<implementation>/<case>.safetensors         what it produced, chained
//!   data/captures/<implementation>/<case>.replay.safetensors  and in isolation
//!   data/results.json                                         what was compared, and what it means
//!   data/report.html  data/report.md  data/junit.xml          renderings of results.json
//! ```
//!
//! The same run gives the same bytes; only the day in `bag-info.txt` is told by the clock.
//!
//! Architecture invariant: PyO3 and models are never linked here. Nothing is judged here either: the verifier calls
//! the assay and the judge of `checkpoint-spec` on the stored tensors.
#![forbid(unsafe_code)]

mod bag;
mod digest;
#[cfg(test)]
mod fixtures;
mod layout;
mod materials;
mod shelf;
mod verify;
mod write;

pub use bag::date;
pub use digest::{Digest, DigestError};
pub use layout::{Role, spec_digest};
pub use materials::{Git, MATERIALS_SCHEMA, MaterialFile, Materials};
pub use verify::{Problem, Verification, VerifyError, verify};
pub use write::{BundleContents, CapturePaths, WriteError, write};
