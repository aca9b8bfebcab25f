//! The harness: it has implementations run cases, has what they leave judged, and files the evidence.
//!
//! `jobs → captures → evidence`, the same way for a run, for repeats and for laws; faults take the place of a subject. Who
//! computes is behind [`implementation::Implementation`]: a program that speaks the worker protocol, or something that the
//! caller links and hands in ([`implementation::Local`]). What goes on is told in [`events`], and whoever starts a run says who
//! hears of it.
//!
//! Architecture invariant: no command line, no screen and no model is linked here, nor PyO3; nothing here decides a verdict
//! (`checkpoint-spec` judges) or renders one (`report` does).
#![forbid(unsafe_code)]

pub mod bundle;
pub mod cache;
pub mod captures;
pub mod cases;
mod digest;
pub mod events;
pub mod exit;
pub mod fault;
#[cfg(test)]
mod fixtures;
pub mod implementation;
pub mod interrupt;
pub mod materials;
pub mod model;
pub mod place;
pub mod request;
pub mod run;
