//! Measurements that anyone can repeat. No verdict depends on a figure.
//!
//! Architecture invariant: no other crate uses this one.
#![forbid(unsafe_code)]

pub mod cli;
pub mod detection;
pub mod forward;
pub mod machine;
mod naive;
pub mod peers;
mod rules;
pub mod verify;
