//! A replay of GPT-2 in plain f32 loops, in whatever order its sums are to be added: correct implementations, which
//! no rule may accuse.

use anyhow::{Context, Result};
use capture::{Capture, Case, Tensor, TensorName};
use checkpoint_spec::{Required, SpecSet};
use gpt2::Gpt2;
use gpt2::layers::{LayerNorm, Linear};
use gpt2::model::Block;

use super::arithmetic::{Arithmetic, Matrix};

/// The model's weights, and its head once more as a matrix `[D, V]`.
pub(super) struct Plain<'a> {
    model: &'a Gpt2,
    head: Vec<f32>,
}

/// What is replayed: a case and the inputs of one of its steps.
struct Step<'a> {
    inputs: &'a Capture,
    step: usize,
    batch: usize,
    past: usize,
    new: usize,
}

/// One implementation at one step.
struct Replay<'a> {
    plain: &'a Plain<'a>,
    arithmetic: Arithmetic,
    step: Step<'a>,
}

impl<'a> Plain<'a> {
    /// The head is transposed once.
    pub(super) fn new(model: &'a Gpt2) -> Self {
        let head = model.head.t().iter().copied().collect();
        Self { model, head }
    }

    /// All activations of a case that sums, or elementary functions, are taken for.
    pub(super) fn replay(
        &self,
        specs: &SpecSet,
        case: &Case,
        required: &[Required],
        inputs: &Capture,
        arithmetic: Arithmetic,
    ) -> Result<Capture> {
        let steps: Vec<_> = case.steps().collect();
        let mut capture = Capture::default();
        for wanted in required {
            let Some(index) = wanted.name.step else { continue };
            let positions = steps.get(index).context("a step that the case has not")?;
            let step = Step {
                inputs,
                step: index,
                batch: case.batch(),
                past: positions.start,
                new: positions.len(),
            };
            let template = &specs.specs[wanted.spec].activations[wanted.activation].name;
            let replay = Replay { plain: self, arithmetic, step };
            if let Some(values) = replay.compute(template, wanted.layer.unwrap_or(0))? {
                let tensor = Tensor::from_f32(wanted.shape.dimensions(), &values)?;
                capture.tensors.insert(wanted.name.clone(), tensor);
            }
        }
        Ok(capture)
    }
}

impl Step<'_> {
    fn take(&self, name: &str) -> Result<Vec<f32>> {
        self.take_at(self.step, name)
    }

    fn take_at(&self, step: usize, name: &str) -> Result<Vec<f32>> {
        Ok(self.inputs.require(&TensorName::of_step(step, name))?.view().to_f32()?)
    }

    /// What the block of that layer reads.
    fn stream(&self, layer: usize) -> Result<Vec<f32>> {
        match layer.checked_sub(1) {
            None => self.take("embd"),
            Some(below) => self.take(&format!("h.{below}.out")),
        }
    }
}

impl Replay<'_> {
    fn compute(&self, template: &str, layer: usize) -> Result<Option<Vec<f32>>> {
        let (model, step) = (self.plain.model, &self.step);
        let block = model.blocks.get(layer).context("a layer that the model has not")?;
        let take = |name: &str| step.take(&format!("h.{layer}.{name}"));
        let layers = model.blocks.len();
        Ok(Some(match template {
            "h.{l}.ln_1.normalized" => self.normalize(&block.ln_1, &step.stream(layer)?),
            "h.{l}.ln_1" => self.norm(&block.ln_1, &step.stream(layer)?),
            "h.{l}.ln_2.normalized" => self.normalize(&block.ln_2, &take("mid")?),
            "h.{l}.ln_2" => self.norm(&block.ln_2, &take("mid")?),
            "ln_f.normalized" => self.normalize(&model.ln_f, &step.stream(layers)?),
            "ln_f" => self.norm(&model.ln_f, &step.stream(layers)?),
            "h.{l}.attn.q" => self.third(block, &take("ln_1")?, 0),
            "h.{l}.attn.k" => self.third(block, &take("ln_1")?, 1),
            "h.{l}.attn.v" => self.third(block, &take("ln_1")?, 2),
            "h.{l}.attn.scores" => self.scores(block, &take("attn.q")?, &take("attn.cached_k")?),
            "h.{l}.attn.probs" => self.probs(take("attn.scores")?),
            "h.{l}.attn.context" => self.context(&take("attn.probs")?, &take("attn.cached_v")?),
            "h.{l}.attn.out" => self.linear(&block.attn.c_proj, &take("attn.context")?),
            "h.{l}.mlp.fc" => self.linear(&block.mlp.c_fc, &take("ln_2")?),
            "h.{l}.mlp.act" => self.gelu(take("mlp.fc")?),
            "h.{l}.mlp.out" => self.linear(&block.mlp.c_proj, &take("mlp.act")?),
            "logits" => self.head(&step.take("ln_f")?),
            "probs.t0.5" => self.tempered(step.take("logits.last")?, 0.5),
            "probs.t1" => self.tempered(step.take("logits.last")?, 1.0),
            "probs.t2" => self.tempered(step.take("logits.last")?, 2.0),
            "whole/h.{l}.attn.out" => {
                self.attend(block, &take("attn.q")?, &take("attn.cached_k")?, &take("attn.cached_v")?)
            }
            "whole/h.{l}.mlp.out" => self.feed_forward(block, &take("ln_2")?),
            "whole/h.{l}.out" => self.block(block, layer, step.stream(layer)?)?,
            "whole/logits" => self.head(&self.norm(&model.ln_f, &step.stream(layers)?)),
            _ => return Ok(None),
        }))
    }

    fn block(&self, block: &Block, layer: usize, x: Vec<f32>) -> Result<Vec<f32>> {
        let normalized = self.norm(&block.ln_1, &x);
        let [q, k, v] = [0, 1, 2].map(|third| self.third(block, &normalized, third));
        let keys = self.appended(&format!("h.{layer}.attn.cached_k"), k)?;
        let values = self.appended(&format!("h.{layer}.attn.cached_v"), v)?;
        let mid = add(x, &self.attend(block, &q, &keys, &values));
        let fed = self.feed_forward(block, &self.norm(&block.ln_2, &mid));
        Ok(add(mid, &fed))
    }

    fn attend(&self, block: &Block, q: &[f32], keys: &[f32], values: &[f32]) -> Vec<f32> {
        let probs = self.probs(self.scores(block, q, keys));
        self.linear(&block.attn.c_proj, &self.context(&probs, values))
    }

    fn feed_forward(&self, block: &Block, x: &[f32]) -> Vec<f32> {
        self.linear(&block.mlp.c_proj, &self.gelu(self.linear(&block.mlp.c_fc, x)))
    }

    /// What the step before retrieved, and behind it the new ones, row by row.
    fn appended(&self, name: &str, new: Vec<f32>) -> Result<Vec<f32>> {
        let Some(before) = self.step.step.checked_sub(1) else { return Ok(new) };
        let (past, batch) = (self.step.take_at(before, name)?, self.step.batch);
        let (old_row, new_row) = (past.len() / batch, new.len() / batch);
        let rows = past.chunks_exact(old_row).zip(new.chunks_exact(new_row));
        Ok(rows.flat_map(|(old, new)| old.iter().chain(new)).copied().collect())
    }

    fn normalize(&self, norm: &LayerNorm, x: &[f32]) -> Vec<f32> {
        let width = norm.weight.len();
        let mut out = Vec::with_capacity(x.len());
        for row in x.chunks_exact(width) {
            let mean = self.arithmetic.sum(row) / width as f32;
            let centred: Vec<f32> = row.iter().map(|x| x - mean).collect();
            let variance = self.arithmetic.sum_of_squares(&centred) / width as f32;
            let inverse = 1.0 / (variance + norm.epsilon as f32).sqrt();
            out.extend(centred.iter().map(|d| d * inverse));
        }
        out
    }

    fn norm(&self, norm: &LayerNorm, x: &[f32]) -> Vec<f32> {
        let mut out = self.normalize(norm, x);
        for row in out.chunks_exact_mut(norm.weight.len()) {
            for (n, (&g, &b)) in row.iter_mut().zip(norm.weight.iter().zip(&norm.bias)) {
                *n = self.arithmetic.multiply_add(*n, g, b);
            }
        }
        out
    }

    fn linear(&self, linear: &Linear, x: &[f32]) -> Vec<f32> {
        self.columns(linear, x, 0, linear.bias.len())
    }

    /// Queries, keys or values.
    fn third(&self, block: &Block, x: &[f32], third: usize) -> Vec<f32> {
        let width = block.attn.c_proj.bias.len();
        self.columns(&block.attn.c_attn, x, third * width, width)
    }

    fn columns(&self, linear: &Linear, x: &[f32], first: usize, columns: usize) -> Vec<f32> {
        let data = linear.weight.as_slice().expect("loaded weights lie in C order");
        let (into, stride) = linear.weight.dim();
        let matrix = Matrix { data, stride, first, columns };
        let mut out = self.rows(x, into, matrix);
        for row in out.chunks_exact_mut(columns) {
            row.iter_mut().zip(linear.bias.iter().skip(first)).for_each(|(y, b)| *y += b);
        }
        out
    }

    fn head(&self, x: &[f32]) -> Vec<f32> {
        let (vocabulary, width) = self.plain.model.head.dim();
        let matrix = Matrix { data: &self.plain.head, stride: vocabulary, first: 0, columns: vocabulary };
        self.rows(x, width, matrix)
    }

    fn rows(&self, x: &[f32], into: usize, matrix: Matrix<'_>) -> Vec<f32> {
        x.chunks_exact(into).flat_map(|row| self.arithmetic.product(row, matrix)).collect()
    }

    /// `[B, S, H, Dh] · [B, K, H, Dh] → [B, H, S, K]`.
    fn scores(&self, block: &Block, q: &[f32], keys: &[f32]) -> Vec<f32> {
        let Step { batch, new, .. } = self.step;
        let (heads, width) = (block.attn.heads, block.attn.c_proj.bias.len());
        let (head_dim, total) = (width / heads, self.step.past + new);
        let mut scores = Vec::with_capacity(batch * heads * new * total);
        for row in 0..batch {
            for head in 0..heads {
                let key = |k: usize, d: usize| keys[(row * total + k) * width + head * head_dim + d];
                let transposed: Vec<f32> =
                    (0..head_dim).flat_map(|d| (0..total).map(move |k| key(k, d))).collect();
                let matrix = Matrix { data: &transposed, stride: total, first: 0, columns: total };
                for query in 0..new {
                    let start = (row * new + query) * width + head * head_dim;
                    let products = self.arithmetic.product(&q[start..start + head_dim], matrix);
                    scores.extend(products.iter().map(|product| product * block.attn.scale));
                }
            }
        }
        scores
    }

    /// Over the keys up to each query; 0 for later ones.
    fn probs(&self, mut scores: Vec<f32>) -> Vec<f32> {
        let total = self.step.past + self.step.new;
        for (row, scores) in scores.chunks_exact_mut(total).enumerate() {
            let (seen, later) = scores.split_at_mut(self.step.past + row % self.step.new + 1);
            self.softmax(seen);
            later.fill(0.0);
        }
        scores
    }

    fn tempered(&self, mut logits: Vec<f32>, temperature: f32) -> Vec<f32> {
        logits.iter_mut().for_each(|logit| *logit /= temperature);
        logits.chunks_exact_mut(self.plain.model.config.vocabulary).for_each(|row| self.softmax(row));
        logits
    }

    fn softmax(&self, row: &mut [f32]) {
        let maximum = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|z| *z = (*z - maximum).exp());
        let total = self.arithmetic.sum(row);
        row.iter_mut().for_each(|e| *e /= total);
    }

    /// `[B, H, S, K] · [B, K, H, Dh] → [B, S, D]`.
    fn context(&self, probs: &[f32], values: &[f32]) -> Vec<f32> {
        let Step { batch, new, .. } = self.step;
        let model = self.plain.model;
        let (heads, width) = (model.config.heads, model.config.width);
        let (head_dim, total) = (width / heads, self.step.past + new);
        let mut context = Vec::with_capacity(batch * new * width);
        for row in 0..batch {
            let values = &values[row * total * width..(row + 1) * total * width];
            for query in 0..new {
                for head in 0..heads {
                    let start = ((row * heads + head) * new + query) * total;
                    let first = head * head_dim;
                    let matrix = Matrix { data: values, stride: width, first, columns: head_dim };
                    context.extend(self.arithmetic.product(&probs[start..start + total], matrix));
                }
            }
        }
        context
    }

    /// By the definition, with a tanh.
    fn gelu(&self, mut x: Vec<f32>) -> Vec<f32> {
        let root = std::f32::consts::FRAC_2_PI.sqrt();
        for x in &mut x {
            let cubic = self.arithmetic.multiply_add(0.044715, *x * *x * *x, *x);
            *x = 0.5 * *x * (1.0 + (root * cubic).tanh());
        }
        x
    }
}

fn add(mut a: Vec<f32>, b: &[f32]) -> Vec<f32> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::detection::arithmetic::Order;
    use crate::bench::detection::ground::plan;
    use crate::model::Model;

    #[test]
    fn it_computes_what_the_model_computes() {
        let folder = tempfile::tempdir().unwrap();
        gpt2::synthetic::write(folder.path(), &"2,12,3,31,8@3".parse().unwrap()).unwrap();
        let model = Model::open("small".to_owned(), folder.path()).unwrap();
        let weights = Gpt2::load(folder.path()).unwrap();
        let case = Case {
            id: "two-steps".to_owned(),
            token_ids: vec![vec![3, 14, 15, 9], vec![26, 5, 3, 5]],
            texts: None,
            schedule: vec![3, 1],
            generate: 0,
            forced: None,
        };
        let specs = SpecSet::bundled("gpt2").unwrap();
        let required = plan(&specs, &model.architecture, &case).unwrap();
        let inputs = weights.run(&case).unwrap();
        let expected = weights.replay(&case, &inputs, &|_| true).unwrap();
        let arithmetic = Arithmetic { order: Order::Blocked(8), fused: true };
        let plain = Plain::new(&weights).replay(&specs, &case, &required, &inputs, arithmetic).unwrap();
        assert_eq!(plain.tensors.len(), 2 * (2 * 17 + 7));
        for (name, tensor) in &plain.tensors {
            let (actual, expected) = (tensor.view().to_f32().unwrap(), expected.require(name).unwrap());
            for (a, e) in actual.iter().zip(expected.view().to_f32().unwrap()) {
                assert!((a - e).abs() <= 1e-5 + 1e-5 * e.abs(), "{name}: {a} {e}");
            }
        }
    }
}
