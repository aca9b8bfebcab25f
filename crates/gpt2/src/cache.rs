//! The KV cache: keys and values of earlier tokens, preallocated for the whole context.

use ndarray::{Array5, ArrayView4, Axis, CowArray, Ix4, s};

use crate::Config;

#[cfg(test)]
mod tests;

/// The cache of all layers.
#[derive(Clone, Debug)]
pub struct Cache {
    /// One per layer.
    pub layers: Vec<LayerCache>,
    /// Positions filled so far, the same in every layer and row.
    pub length: usize,
}

/// The cache of one layer.
#[derive(Clone, Debug)]
pub struct LayerCache {
    /// `[2, batch, context, head, head_dim]`; 0 holds keys, 1 holds values. Slots not yet used are 0.
    pub slots: Array5<f32>,
}

/// Keys and values as attention reads them, each `[B, K, H, Dh]` in C order.
pub type KeysAndValues<'a> = (CowArray<'a, f32, Ix4>, CowArray<'a, f32, Ix4>);

/// More positions than the context has; nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{new} tokens after {past} earlier ones need {} positions; the model's context limit is {context}",
    past.saturating_add(*new)
)]
pub struct ContextError {
    /// Positions filled before.
    pub past: usize,
    /// Positions asked for.
    pub new: usize,
    /// The limit.
    pub context: usize,
}

impl Cache {
    /// An empty cache for `batch` rows of at most `context` positions.
    pub fn new(config: &Config, batch: usize, context: usize) -> Self {
        let layer = || LayerCache::new(batch, context, config.heads, config.head_dim());
        Self { layers: (0..config.layers).map(|_| layer()).collect(), length: 0 }
    }
}

impl LayerCache {
    /// An empty cache.
    pub fn new(batch: usize, context: usize, heads: usize, head_dim: usize) -> Self {
        Self { slots: Array5::zeros((2, batch, context, heads, head_dim)) }
    }

    /// Positions there is room for.
    pub fn context(&self) -> usize {
        self.slots.len_of(Axis(2))
    }

    /// Whether `new` positions after `past` ones fit.
    pub fn check(&self, past: usize, new: usize) -> Result<(), ContextError> {
        let context = self.context();
        match past.checked_add(new) {
            Some(needed) if needed <= context => Ok(()),
            _ => Err(ContextError { past, new, context }),
        }
    }

    /// Stores keys and values, each `[B, S, H, Dh]`, at the positions from `past` on. Beyond the context it stores
    /// nothing.
    ///
    /// # Panics
    /// If batch, heads or head size are not the cache's.
    pub fn store(
        &mut self,
        past: usize,
        keys: ArrayView4<'_, f32>,
        values: ArrayView4<'_, f32>,
    ) -> Result<(), ContextError> {
        let new = keys.len_of(Axis(1));
        self.check(past, new)?;
        assert_eq!(keys.dim(), values.dim(), "as many keys as values");
        self.slots.slice_mut(s![0, .., past..past + new, .., ..]).assign(&keys);
        self.slots.slice_mut(s![1, .., past..past + new, .., ..]).assign(&values);
        Ok(())
    }

    /// The first `length` keys and values. One row is borrowed; several are copied, to lie next to each other.
    ///
    /// # Panics
    /// If `length` is above the context.
    pub fn retrieve(&self, length: usize) -> KeysAndValues<'_> {
        let part = |index| self.slots.index_axis(Axis(0), index).slice_move(s![.., ..length, .., ..]);
        (in_c_order(part(0)), in_c_order(part(1)))
    }
}

fn in_c_order(view: ArrayView4<'_, f32>) -> CowArray<'_, f32, Ix4> {
    if view.is_standard_layout() { view.into() } else { view.to_owned().into() }
}
