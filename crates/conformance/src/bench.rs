//! Measurements that anyone can repeat. No verdict depends on a figure.

pub mod detection;
pub mod forward;
pub mod machine;
pub mod verify;
