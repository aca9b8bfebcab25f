//! A replay: each activation alone, from its direct inputs in another capture, by the code that a run uses.

use std::ops::Range;

use capture::{Capture, Case, TensorName, TensorSource};
use ndarray::{Array, Array2, Array3, Array4, Dimension, IntoDimension, s};

use crate::cache::LayerCache;
use crate::functions::{attention_context, attention_probs, attention_scores, causal_mask};
use crate::model::{Block, last_position};
use crate::run::{Recorder, TEMPERATURES, record_probs, record_token, rows};
use crate::tensors::{self, Mismatch};
use crate::{Config, Gpt2, RunError, Scope};

impl Gpt2 {
    /// Computes each wanted activation from its direct inputs, which are taken from `inputs`, never from results of its own.
    pub fn replay(
        &self,
        case: &Case,
        inputs: &dyn TensorSource,
        wanted: &dyn Fn(&TensorName) -> bool,
    ) -> Result<Capture, RunError> {
        case.validate(self.config.vocabulary, self.config.context)?;
        let ids = rows(&case.token_ids);
        let mut capture = Capture::default();
        for (step, positions) in case.steps().enumerate() {
            let inputs =
                Inputs { source: inputs, config: &self.config, step, batch: case.batch(), positions };
            let recorder = Recorder { capture: &mut capture, step, wanted };
            let ids = ids.slice(s![.., inputs.positions.clone()]).to_owned();
            Replay { model: self, inputs, recorder }.step(&ids)?;
        }
        Ok(capture)
    }
}

/// The replay of one step.
struct Replay<'a> {
    model: &'a Gpt2,
    inputs: Inputs<'a>,
    recorder: Recorder<'a>,
}

impl Replay<'_> {
    fn step(&mut self, ids: &Array2<i64>) -> Result<(), RunError> {
        let model = self.model;
        self.unit("", &["embd"], |inputs, scope| {
            scope.see("embd", &model.embed(ids.view(), inputs.positions.start)?);
            Ok(())
        })?;
        let mut stream = "embd".to_owned();
        for (l, block) in model.blocks.iter().enumerate() {
            let h = format!("h.{l}.");
            self.norms(block, &h, &stream)?;
            self.attention(block, &h)?;
            self.feed_forward(block, &h)?;
            self.residuals(&h, &stream)?;
            stream = format!("h.{l}.out");
        }
        self.head(&stream)?;
        self.choice()
    }

    fn norms(&mut self, block: &Block, h: &str, stream: &str) -> Result<(), RunError> {
        self.unit(h, &["ln_1.normalized", "ln_1"], |inputs, scope| {
            block.ln_1.forward(inputs.stream(stream)?.view(), "ln_1", scope);
            Ok(())
        })?;
        self.unit(h, &["ln_2.normalized", "ln_2"], |inputs, scope| {
            block.ln_2.forward(inputs.stream(&format!("{h}mid"))?.view(), "ln_2", scope);
            Ok(())
        })
    }

    fn attention(&mut self, block: &Block, h: &str) -> Result<(), RunError> {
        let attn = &block.attn;
        let name = |part: &str| format!("{h}attn.{part}");
        self.unit(h, &["attn.q", "attn.k", "attn.v"], |inputs, scope| {
            let [q, k, v] = attn.qkv(inputs.stream(&format!("{h}ln_1"))?.view());
            scope.see("attn.q", &q);
            scope.see("attn.k", &k);
            scope.see("attn.v", &v);
            Ok(())
        })?;
        self.unit(h, &["attn.cached_k", "attn.cached_v"], |inputs, scope| {
            let mut cache = inputs.earlier_cache(h)?;
            let (k, v) = (inputs.heads(&name("k"))?, inputs.heads(&name("v"))?);
            cache.store(inputs.positions.start, k.view(), v.view())?;
            let (keys, values) = cache.retrieve(inputs.positions.end);
            scope.see("attn.cached_k", &keys);
            scope.see("attn.cached_v", &values);
            Ok(())
        })?;
        self.unit(h, &["attn.scores"], |inputs, scope| {
            let (q, keys) = (inputs.heads(&name("q"))?, inputs.cached(&name("cached_k"))?);
            scope.see("attn.scores", &attention_scores(q.view(), keys.view(), attn.scale));
            Ok(())
        })?;
        self.unit(h, &["attn.mask"], |inputs, scope| {
            scope.see("attn.mask", &inputs.mask());
            Ok(())
        })?;
        self.unit(h, &["attn.probs"], |inputs, scope| {
            let scores = inputs.pattern(&name("scores"))?;
            scope.see("attn.probs", &attention_probs(scores, inputs.mask().view()));
            Ok(())
        })?;
        self.unit(h, &["attn.context"], |inputs, scope| {
            let (probs, values) = (inputs.pattern(&name("probs"))?, inputs.cached(&name("cached_v"))?);
            scope.see("attn.context", &attention_context(probs.view(), values.view()));
            Ok(())
        })?;
        self.unit(h, &["attn.out"], |inputs, scope| {
            scope.see("attn.out", &attn.c_proj.forward(inputs.stream(&name("context"))?.view()));
            Ok(())
        })
    }

    fn feed_forward(&mut self, block: &Block, h: &str) -> Result<(), RunError> {
        let mlp = &block.mlp;
        self.unit(h, &["mlp.fc"], |inputs, scope| {
            scope.see("mlp.fc", &mlp.c_fc.forward(inputs.stream(&format!("{h}ln_2"))?.view()));
            Ok(())
        })?;
        self.unit(h, &["mlp.act"], |inputs, scope| {
            scope.see("mlp.act", &mlp.activate(inputs.inner(&format!("{h}mlp.fc"))?));
            Ok(())
        })?;
        self.unit(h, &["mlp.out"], |inputs, scope| {
            scope.see("mlp.out", &mlp.c_proj.forward(inputs.inner(&format!("{h}mlp.act"))?.view()));
            Ok(())
        })
    }

    fn residuals(&mut self, h: &str, stream: &str) -> Result<(), RunError> {
        self.unit(h, &["mid"], |inputs, scope| {
            scope.see("mid", &(inputs.stream(stream)? + &inputs.stream(&format!("{h}attn.out"))?));
            Ok(())
        })?;
        self.unit(h, &["out"], |inputs, scope| {
            let (mid, fed) = (inputs.stream(&format!("{h}mid"))?, inputs.stream(&format!("{h}mlp.out"))?);
            scope.see("out", &(mid + &fed));
            Ok(())
        })
    }

    fn head(&mut self, stream: &str) -> Result<(), RunError> {
        let model = self.model;
        self.unit("", &["ln_f.normalized", "ln_f"], |inputs, scope| {
            model.ln_f.forward(inputs.stream(stream)?.view(), "ln_f", scope);
            Ok(())
        })?;
        self.unit("", &["logits"], |inputs, scope| {
            scope.see("logits", &model.unembed(inputs.stream("ln_f")?.view()));
            Ok(())
        })
    }

    fn choice(&mut self) -> Result<(), RunError> {
        self.unit("", &["logits.last"], |inputs, scope| {
            scope.see("logits.last", &last_position(inputs.logits()?.view()));
            Ok(())
        })?;
        let outputs = TEMPERATURES.map(|(name, _)| name);
        if self.wants("", &outputs) || self.wants("", &["token"]) {
            let last = self.inputs.last_logits()?;
            record_probs(last.view(), &mut self.recorder);
            record_token(last.view(), &mut self.recorder);
        }
        Ok(())
    }

    /// Has `compute` show its outputs, named with a prefix, if any of them is wanted.
    fn unit(
        &mut self,
        prefix: &str,
        outputs: &[&str],
        compute: impl FnOnce(&Inputs<'_>, &mut Scope<'_>) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        if self.wants(prefix, outputs) {
            compute(&self.inputs, &mut Scope::new(&mut self.recorder, prefix))?;
        }
        Ok(())
    }

    fn wants(&self, prefix: &str, outputs: &[&str]) -> bool {
        let wanted = |output| {
            (self.recorder.wanted)(&TensorName::of_step(self.recorder.step, format!("{prefix}{output}")))
        };
        outputs.iter().any(wanted)
    }
}

/// The given activations of one step, each taken in the shape that config and case call for.
struct Inputs<'a> {
    source: &'a dyn TensorSource,
    config: &'a Config,
    step: usize,
    batch: usize,
    /// Of the step's new tokens; the start is the past.
    positions: Range<usize>,
}

impl Inputs<'_> {
    /// `[B, S, D]`.
    fn stream(&self, name: &str) -> Result<Array3<f32>, RunError> {
        self.take(self.step, name, (self.batch, self.positions.len(), self.config.width))
    }

    /// `[B, S, F]`.
    fn inner(&self, name: &str) -> Result<Array3<f32>, RunError> {
        self.take(self.step, name, (self.batch, self.positions.len(), self.config.inner))
    }

    /// `[B, S, H, Dh]`.
    fn heads(&self, name: &str) -> Result<Array4<f32>, RunError> {
        let shape = (self.batch, self.positions.len(), self.config.heads, self.config.head_dim());
        self.take(self.step, name, shape)
    }

    /// `[B, K, H, Dh]`.
    fn cached(&self, name: &str) -> Result<Array4<f32>, RunError> {
        let shape = (self.batch, self.positions.end, self.config.heads, self.config.head_dim());
        self.take(self.step, name, shape)
    }

    /// `[B, H, S, K]`.
    fn pattern(&self, name: &str) -> Result<Array4<f32>, RunError> {
        let shape = (self.batch, self.config.heads, self.positions.len(), self.positions.end);
        self.take(self.step, name, shape)
    }

    /// `[B, S, V]`.
    fn logits(&self) -> Result<Array3<f32>, RunError> {
        self.take(self.step, "logits", (self.batch, self.positions.len(), self.config.vocabulary))
    }

    /// `[B, V]`.
    fn last_logits(&self) -> Result<Array2<f32>, RunError> {
        self.take(self.step, "logits.last", (self.batch, self.config.vocabulary))
    }

    /// `[B, S, K]`: follows from the positions alone.
    fn mask(&self) -> Array3<f32> {
        causal_mask(self.batch, self.positions.start, self.positions.len())
    }

    /// A cache that holds what the step before retrieved, with room for this one.
    fn earlier_cache(&self, h: &str) -> Result<LayerCache, RunError> {
        let (heads, head_dim) = (self.config.heads, self.config.head_dim());
        let mut cache = LayerCache::new(self.batch, self.positions.end, heads, head_dim);
        if let Some(earlier) = self.step.checked_sub(1) {
            let shape = (self.batch, self.positions.start, heads, head_dim);
            let keys = self.take(earlier, &format!("{h}attn.cached_k"), shape)?;
            let values = self.take(earlier, &format!("{h}attn.cached_v"), shape)?;
            cache.store(0, keys.view(), values.view())?;
        }
        Ok(cache)
    }

    fn take<I: IntoDimension>(
        &self,
        step: usize,
        name: &str,
        shape: I,
    ) -> Result<Array<f32, I::Dim>, RunError> {
        let name = TensorName::of_step(step, name);
        let shape = shape.into_dimension();
        let expected = shape.slice().to_vec();
        let tensor =
            self.source.tensor(&name)?.ok_or_else(|| RunError::MissingInput { name: name.clone() })?;
        let found = match tensors::to_array(&tensor, &expected) {
            Ok(array) => {
                return Ok(array.into_dimensionality().expect("the shape was checked"));
            }
            Err(Mismatch::Shape { found }) => format!("of shape {found}"),
            Err(Mismatch::DType { found }) => found.to_string(),
        };
        Err(RunError::Input { name, found, expected })
    }
}
