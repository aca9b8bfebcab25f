//! The command line, and what it brings to the harness: models from wherever they come, the Rust GPT-2, a screen.
//!
//! Architecture invariant: nothing here decides a verdict (`checkpoint-spec` judges), renders one (`report` does) or runs an
//! implementation but the one that it links (`harness` does).
#![forbid(unsafe_code)]

pub mod again;
pub mod cli;
pub mod failure;
pub mod rust;
pub mod screen;
pub mod source;
pub mod start;
