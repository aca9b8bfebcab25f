//! GPT-2, top-down: the model, its block, the block's two halves.
//!
//! Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019. Pre-norm: each half of a block reads
//! the normalized stream and adds its result to the stream itself. Parts carry the names of the Hugging Face
//! checkpoint, so that code, weights and activations are called alike.

use ndarray::{ArcArray2, Array2, Array3, Array4, ArrayView2, ArrayView3, ArrayView4, ArrayViewD, Axis, s};

use crate::cache::{Cache, ContextError, LayerCache};
use crate::functions::{attention_context, attention_probs, attention_scores, causal_mask};
use crate::layers::{LayerNorm, Linear, matmul_last_axis};
use crate::{Config, Scope};

/// The model. Weights are shared by clones until one of them is written to.
#[derive(Clone, Debug)]
pub struct Gpt2 {
    /// Its sizes.
    pub config: Config,
    /// Token embedding, `[V, D]`.
    pub wte: ArcArray2<f32>,
    /// Position embedding, `[C, D]`.
    pub wpe: ArcArray2<f32>,
    /// One per layer.
    pub blocks: Vec<Block>,
    /// The last norm.
    pub ln_f: LayerNorm,
    /// Output head, `[V, D]`: the same storage as [`Gpt2::wte`], until one of the two is written to.
    pub head: ArcArray2<f32>,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Block {
    /// Before attention.
    pub ln_1: LayerNorm,
    /// What tokens tell each other.
    pub attn: Attention,
    /// Before the feed-forward half.
    pub ln_2: LayerNorm,
    /// What each token makes of it.
    pub mlp: Mlp,
}

/// Causal self-attention of several heads.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Queries, keys and values in one, `[D, 3·D]`.
    pub c_attn: Linear,
    /// Back into the stream, `[D, D]`.
    pub c_proj: Linear,
    /// Heads.
    pub heads: usize,
    /// Factor of `q · kᵀ`: `1/√Dh`.
    pub scale: f32,
}

/// The feed-forward half.
#[derive(Clone, Debug)]
pub struct Mlp {
    /// `[D, F]`.
    pub c_fc: Linear,
    /// `[F, D]`.
    pub c_proj: Linear,
    /// Applied to each element between the two.
    pub activation: fn(f32) -> f32,
}

/// Why a step cannot be computed. Nothing was computed or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// A token that has no embedding.
    #[error("token id {token} is outside the vocabulary of {vocabulary} tokens")]
    Token {
        /// The id found.
        token: i64,
        /// Vocabulary size.
        vocabulary: usize,
    },
    /// A cache that was made for another model or another batch.
    #[error("the cache has {} layers of {:?}; the step needs {} of {:?}", found.0, found.1, expected.0, expected.1)]
    Cache {
        /// Layers, and the `[2, batch, context, head, head_dim]` that each needs.
        expected: (usize, [usize; 5]),
        /// Layers, and the shape of the first that differs.
        found: (usize, [usize; 5]),
    },
    /// The tokens do not fit the context.
    #[error(transparent)]
    Context(#[from] ContextError),
}

impl Gpt2 {
    /// Logits `[B, S, V]` for all tokens of a plain prompt, ids `[B, S]`.
    pub fn logits(&self, ids: ArrayView2<'_, i64>) -> Result<Array3<f32>, ForwardError> {
        let positions = ids.ncols().min(self.config.context);
        let mut cache = Cache::new(&self.config, ids.nrows(), positions);
        self.forward(ids, &mut cache, &mut Scope::unobserved())
    }

    /// Logits `[B, S, V]` for the tokens that follow those in the cache, ids `[B, S]`. Stores their keys and values.
    pub fn forward(
        &self,
        ids: ArrayView2<'_, i64>,
        cache: &mut Cache,
        scope: &mut Scope<'_>,
    ) -> Result<Array3<f32>, ForwardError> {
        let (batch, new) = ids.dim();
        let past = cache.length;
        self.check_cache(cache, batch, new)?;
        let mask = causal_mask(batch, past, new);
        let mut x = self.embed(ids, past)?;
        scope.see("embd", &x);
        for (l, (block, cache)) in self.blocks.iter().zip(&mut cache.layers).enumerate() {
            x = block.forward(x.view(), past, cache, mask.view(), &mut scope.within(&format!("h.{l}.")))?;
        }
        cache.length += new;
        let x = self.ln_f.forward(x.view(), "ln_f", scope);
        let logits = self.unembed(x.view());
        scope.see("logits", &logits);
        Ok(logits)
    }

    /// `wte[ids] + wpe[past..past + S]`: `[B, S] → [B, S, D]`.
    pub fn embed(&self, ids: ArrayView2<'_, i64>, past: usize) -> Result<Array3<f32>, ForwardError> {
        let (batch, new) = ids.dim();
        let context = self.wpe.nrows();
        if past.checked_add(new).is_none_or(|needed| needed > context) {
            return Err(ContextError { past, new, context }.into());
        }
        let mut x = Array3::zeros((batch, new, self.wte.ncols()));
        for ((row, position), &token) in ids.indexed_iter() {
            let id = self.token_index(token)?;
            let embedded = &self.wte.row(id) + &self.wpe.row(past + position);
            x.slice_mut(s![row, position, ..]).assign(&embedded);
        }
        Ok(x)
    }

    /// `x · headᵀ`, without bias: `[B, S, D] → [B, S, V]`.
    pub fn unembed(&self, x: ArrayView3<'_, f32>) -> Array3<f32> {
        matmul_last_axis(x, self.head.t())
    }

    /// Whether the head is the token embedding itself: same address, same layout.
    pub fn head_is_tied(&self) -> bool {
        std::ptr::eq(self.head.as_ptr(), self.wte.as_ptr())
            && self.head.dim() == self.wte.dim()
            && self.head.strides() == self.wte.strides()
    }

    /// All parameters by the name of the Hugging Face checkpoint, without `transformer.`, in its shapes.
    pub fn parameters(&self) -> Vec<(String, ArrayViewD<'_, f32>)> {
        let mut all = vec![
            ("wte.weight".to_owned(), self.wte.view().into_dyn()),
            ("wpe.weight".to_owned(), self.wpe.view().into_dyn()),
        ];
        for (l, block) in self.blocks.iter().enumerate() {
            for (name, norm) in [("ln_1", &block.ln_1), ("ln_2", &block.ln_2)] {
                all.push((format!("h.{l}.{name}.weight"), norm.weight.view().into_dyn()));
                all.push((format!("h.{l}.{name}.bias"), norm.bias.view().into_dyn()));
            }
            for (name, linear) in [
                ("attn.c_attn", &block.attn.c_attn),
                ("attn.c_proj", &block.attn.c_proj),
                ("mlp.c_fc", &block.mlp.c_fc),
                ("mlp.c_proj", &block.mlp.c_proj),
            ] {
                all.push((format!("h.{l}.{name}.weight"), linear.weight.view().into_dyn()));
                all.push((format!("h.{l}.{name}.bias"), linear.bias.view().into_dyn()));
            }
        }
        all.push(("ln_f.weight".to_owned(), self.ln_f.weight.view().into_dyn()));
        all.push(("ln_f.bias".to_owned(), self.ln_f.bias.view().into_dyn()));
        all
    }

    /// Before anything is stored: the cache is for this model and batch, and all layers have room.
    fn check_cache(&self, cache: &Cache, batch: usize, new: usize) -> Result<(), ForwardError> {
        let shapes = cache.layers.iter().map(|layer| layer.slots.dim().into());
        let [_, _, context, ..] = shapes.clone().next().unwrap_or([0; 5]);
        let expected = [2, batch, context, self.config.heads, self.config.head_dim()];
        let differing = shapes.clone().find(|shape| *shape != expected);
        if differing.is_some() || cache.layers.len() != self.blocks.len() {
            let found = (cache.layers.len(), differing.unwrap_or(expected));
            return Err(ForwardError::Cache { expected: (self.blocks.len(), expected), found });
        }
        cache.layers.iter().try_for_each(|layer| Ok(layer.check(cache.length, new)?))
    }

    fn token_index(&self, token: i64) -> Result<usize, ForwardError> {
        let vocabulary = self.wte.nrows();
        usize::try_from(token)
            .ok()
            .filter(|&id| id < vocabulary)
            .ok_or(ForwardError::Token { token, vocabulary })
    }
}

impl Block {
    /// `[B, S, D] → [B, S, D]`, for the positions from `past` on.
    pub fn forward(
        &self,
        x: ArrayView3<'_, f32>,
        past: usize,
        cache: &mut LayerCache,
        mask: ArrayView3<'_, f32>,
        scope: &mut Scope<'_>,
    ) -> Result<Array3<f32>, ContextError> {
        let normalized = self.ln_1.forward(x, "ln_1", scope);
        let attended = self.attn.forward(normalized.view(), past, cache, mask, &mut scope.within("attn."))?;
        let mid = &x + &attended;
        scope.see("mid", &mid);
        let normalized = self.ln_2.forward(mid.view(), "ln_2", scope);
        let fed = self.mlp.forward(normalized.view(), &mut scope.within("mlp."));
        let out = mid + &fed;
        scope.see("out", &out);
        Ok(out)
    }
}

impl Attention {
    /// Stores the keys and values of the new tokens, and lets the tokens attend to all up to themselves.
    pub fn forward(
        &self,
        x: ArrayView3<'_, f32>,
        past: usize,
        cache: &mut LayerCache,
        mask: ArrayView3<'_, f32>,
        scope: &mut Scope<'_>,
    ) -> Result<Array3<f32>, ContextError> {
        let [q, k, v] = self.qkv(x);
        scope.see("q", &q);
        scope.see("k", &k);
        scope.see("v", &v);
        cache.store(past, k.view(), v.view())?;
        scope.see("cache", &cache.slots);
        let (keys, values) = cache.retrieve(past + q.len_of(Axis(1)));
        scope.see("cached_k", &keys);
        scope.see("cached_v", &values);
        Ok(self.attend(q.view(), keys.view(), values.view(), mask, scope))
    }

    /// Queries, keys and values, each `[B, S, H, Dh]` in C order.
    pub fn qkv(&self, x: ArrayView3<'_, f32>) -> [Array4<f32>; 3] {
        let qkv = self.c_attn.forward(x);
        let (batch, new, width) = x.dim();
        let qkv = qkv
            .into_shape_with_order((batch, new, 3, self.heads, width / self.heads))
            .expect("splitting the last axis of an array in C order");
        [0, 1, 2].map(|part| qkv.index_axis(Axis(2), part).to_owned())
    }

    /// Queries `[B, S, H, Dh]`, keys and values `[B, K, H, Dh]`, mask `[B, S, K]` → `[B, S, D]`.
    pub fn attend(
        &self,
        q: ArrayView4<'_, f32>,
        keys: ArrayView4<'_, f32>,
        values: ArrayView4<'_, f32>,
        mask: ArrayView3<'_, f32>,
        scope: &mut Scope<'_>,
    ) -> Array3<f32> {
        let scores = attention_scores(q, keys, self.scale);
        scope.see("scores", &scores);
        scope.see("mask", &mask);
        let probs = attention_probs(scores, mask);
        scope.see("probs", &probs);
        let context = attention_context(probs.view(), values);
        scope.see("context", &context);
        let out = self.c_proj.forward(context.view());
        scope.see("out", &out);
        out
    }
}

impl Mlp {
    /// `[B, S, D] → [B, S, D]`.
    pub fn forward(&self, x: ArrayView3<'_, f32>, scope: &mut Scope<'_>) -> Array3<f32> {
        let fc = self.c_fc.forward(x);
        scope.see("fc", &fc);
        let act = self.activate(fc);
        scope.see("act", &act);
        let out = self.c_proj.forward(act.view());
        scope.see("out", &out);
        out
    }

    /// The activation function of each element.
    pub fn activate(&self, mut x: Array3<f32>) -> Array3<f32> {
        x.par_mapv_inplace(self.activation);
        x
    }
}

/// The last of the new positions: `[B, S, V] → [B, V]`.
pub fn last_position(logits: ArrayView3<'_, f32>) -> Array2<f32> {
    logits.index_axis(Axis(1), logits.len_of(Axis(1)) - 1).to_owned()
}
