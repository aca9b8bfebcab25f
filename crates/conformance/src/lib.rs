//! The hall where specs, implementations and captures meet: plan, run, assay, judge, bundle.
//!
//! Architecture invariant: nothing here decides a verdict (`checkpoint-spec` judges) or renders one (`report` does).
//! PyO3 is never linked: references are programs that speak the worker protocol.
#![forbid(unsafe_code)]

pub mod again;
pub mod bench;
pub mod cache;
pub mod cases;
pub mod cli;
pub mod exit;
pub mod fault;
pub mod implementation;
pub mod interrupt;
pub mod materials;
pub mod model;
pub mod place;
pub mod progress;
pub mod run;
