//! GPT-2 in Rust: a readable forward pass, every activation of which can be observed.
//!
//! Read it from the top: [`model`] is the whole transformer, [`layers`] its two parametrized layers, [`functions`]
//! what has no parameters, [`cache`] the keys and values of earlier tokens. [`run`](Gpt2::run) writes down what an
//! [`Observer`] sees of it.
//!
//! Shapes are `[batch, sequence, …]`, per head `[batch, head, query, key]`. Everything is f32; sums of LayerNorm and
//! softmax are kept in f64.
//!
//! # Same bits
//!
//! Every element is computed by the same operations in the same order whatever stands around it: more rows in the
//! batch, more tokens in the step, more threads. So prefill gives the bits that decoding gives, and a row of a batch
//! gives the bits that it gives alone. [`ordered_product`] tells what that takes.
//!
//! Architecture invariant: this crate knows no spec, no tolerance and no fault. Tokens and weights in, capture out.
//! Whoever wants a broken model changes its public data: an epsilon, a scale, an activation function, a weight.

pub mod cache;
mod config;
pub mod functions;
pub mod layers;
mod load;
mod load_error;
pub mod model;
mod observer;
mod run;
mod safetensors;
pub mod synthetic;
mod tensors;

pub use config::Config;
pub use load_error::LoadError;
pub use model::{ForwardError, Gpt2};
pub use observer::{Observer, Scope};
pub use run::RunError;
