//! How each declared fault gets in, checkpoint by checkpoint. What each is, and who must refuse it, say the specs.

pub(crate) mod arithmetic;
mod attention;
mod cache;
mod feed_forward;
mod foundation;
mod head;
mod norm;
mod projection;
mod residual;

use super::Fault;

/// Every fault.
pub(super) fn catalogue() -> Vec<Fault> {
    [
        foundation::FAULTS,
        norm::FAULTS,
        projection::FAULTS,
        cache::FAULTS,
        attention::FAULTS,
        feed_forward::FAULTS,
        residual::FAULTS,
        head::FAULTS,
    ]
    .concat()
}

/// The layer in which a fault of the weights sits: the second, or the only one.
fn layer(model: &gpt2::Gpt2) -> usize {
    model.config.layers.min(2) - 1
}
