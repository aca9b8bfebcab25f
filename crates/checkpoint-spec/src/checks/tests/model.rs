//! A GPT-2 small enough to read, in f64 or with every operation rounded to f32: what a correct subject hands in.

use std::collections::BTreeMap;

use capture::{Capture, Case, Precision, Shape, Tensor, TensorName};

use crate::Architecture;

pub(super) const LAYERS: usize = 2;
const CONTEXT: usize = 12;
const WIDTH: usize = 8;
const HEADS: usize = 2;
const HEAD: usize = WIDTH / HEADS;
const INNER: usize = 4 * WIDTH;
const VOCABULARY: usize = 11;
const EPSILON: f64 = 1e-5;

pub(super) fn architecture() -> Architecture {
    let sizes = [("C", CONTEXT), ("D", WIDTH), ("H", HEADS), ("Dh", HEAD), ("F", INNER), ("V", VOCABULARY)];
    Architecture {
        family: "gpt2".to_owned(),
        layers: LAYERS,
        sizes: sizes.map(|(symbol, size)| (symbol.to_owned(), size)).into(),
        constants: BTreeMap::from([("epsilon".to_owned(), EPSILON)]),
    }
}

pub(super) fn case(batch: usize, schedule: &[usize], generate: usize) -> Case {
    let tokens: usize = schedule.iter().sum();
    let id =
        |row: usize, position: usize| ((7 * row + 3 * position + position * position) % VOCABULARY) as i64;
    Case {
        id: "tiny".to_owned(),
        token_ids: (0..batch).map(|row| (0..tokens).map(|position| id(row, position)).collect()).collect(),
        texts: Some(vec!["text".to_owned(); batch]),
        schedule: schedule.to_vec(),
        generate,
        forced: None,
    }
}

/// The chained run of a case.
pub(super) fn run(case: &Case, precision: Precision) -> Capture {
    let mut model = Model {
        precision,
        batch: case.batch(),
        past: 0,
        cache: vec![vec![[Vec::new(), Vec::new()]; case.batch()]; LAYERS],
        capture: Capture::default(),
    };
    for name in weight_names() {
        model.put(None, &format!("weights.{name}"), &[32], Tensor::from_u8(&[32], &[7; 32]).unwrap());
    }
    model.put(None, "head.tied", &[1], Tensor::from_u8(&[1], &[1]).unwrap());
    model.tokens(None, "prompt.ids", &case.token_ids);
    let mut last = Vec::new();
    for (step, positions) in case.steps().enumerate() {
        let ids: Vec<Vec<i64>> = case.token_ids.iter().map(|row| row[positions.clone()].to_vec()).collect();
        let cached = step == 0 || step + 1 == case.schedule.len();
        last = model.step(Some((step, cached)), &ids);
    }
    model.generate(case.generate, last);
    model.capture
}

fn weight_names() -> Vec<String> {
    let of_layer = |l: usize| {
        ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]
            .map(|name| format!("h.{l}.{name}"))
    };
    let both = |name: String| [format!("{name}.weight"), format!("{name}.bias")];
    let mut names = vec!["wte.weight".to_owned(), "wpe.weight".to_owned()];
    names.extend((0..LAYERS).flat_map(of_layer).chain(["ln_f".to_owned()]).flat_map(both));
    names
}

/// Weights that follow from their name: about uniform in ±0.5.
fn weight(name: &str, index: usize) -> f64 {
    let seed =
        name.bytes().fold(index as u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
    f64::from((mixed as f32) / 16_777_216.0 - 0.5)
}

struct Model {
    precision: Precision,
    batch: usize,
    past: usize,
    /// By layer, row, and keys or values: `[position, head, head dimension]`.
    cache: Vec<Vec<[Vec<f64>; 2]>>,
    capture: Capture,
}

impl Model {
    fn round(&self, value: f64) -> f64 {
        match self.precision {
            Precision::F32 => f64::from(value as f32),
            Precision::F64 => value,
        }
    }

    fn put(&mut self, step: Option<usize>, name: &str, shape: &[usize], tensor: Tensor) {
        assert_eq!(tensor.shape().dimensions(), shape);
        self.capture.tensors.insert(TensorName { step, activation: name.to_owned() }, tensor);
    }

    fn floats(&mut self, step: Option<usize>, name: &str, shape: &[usize], values: &[f64]) {
        let tensor = match self.precision {
            Precision::F32 => {
                Tensor::from_f32(shape, &values.iter().map(|&value| value as f32).collect::<Vec<_>>())
            }
            Precision::F64 => Tensor::from_f64(shape, values),
        };
        self.put(step, name, shape, tensor.unwrap());
    }

    fn tokens(&mut self, step: Option<usize>, name: &str, rows: &[Vec<i64>]) {
        let shape = [rows.len(), rows[0].len()];
        self.put(step, name, &shape, Tensor::from_i64(&shape, &rows.concat()).unwrap());
    }

    /// `x·W + b` for rows of `x`, added up in order.
    fn linear(&self, name: &str, x: &[f64], inputs: usize, outputs: usize) -> Vec<f64> {
        let row = |row: &[f64]| -> Vec<f64> {
            (0..outputs)
                .map(|o| {
                    let bias = weight(&format!("{name}.bias"), o);
                    row.iter().enumerate().fold(bias, |sum, (i, x)| {
                        let product = self.round(x * weight(&format!("{name}.weight"), i * outputs + o));
                        self.round(sum + product)
                    })
                })
                .collect()
        };
        x.chunks_exact(inputs).flat_map(row).collect()
    }

    /// Before and after scale and bias.
    fn norm(&self, name: &str, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let r = |x| self.round(x);
        let sum = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |sum, x| r(sum + x));
        let width = WIDTH as f64;
        let mut normalised = Vec::new();
        for row in x.chunks_exact(WIDTH) {
            let mean = r(sum(&mut row.iter().copied()) / width);
            let squares = sum(&mut row.iter().map(|x| r(r(x - mean) * r(x - mean))));
            let root = r(r(r(squares / width) + r(EPSILON)).sqrt());
            normalised.extend(row.iter().map(|x| r(r(x - mean) / root)));
        }
        let scaled = normalised.iter().enumerate().map(|(i, x)| {
            let channel = i % WIDTH;
            let scale = r(1.0 + weight(&format!("{name}.weight"), channel));
            r(r(x * scale) + weight(&format!("{name}.bias"), channel))
        });
        let scaled = scaled.collect();
        (normalised, scaled)
    }

    fn softmax(&self, scores: &[f64]) -> Vec<f64> {
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = scores.iter().map(|x| self.round(self.round(x - largest).exp())).collect();
        let sum = powers.iter().fold(0.0, |sum, x| self.round(sum + x));
        powers.iter().map(|x| self.round(x / sum)).collect()
    }

    fn add(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| self.round(a + b)).collect()
    }

    /// Consumes tokens and gives the logits of the last position, `[B, V]`; records under `record`, the step and
    /// whether the cache is to be recorded.
    fn step(&mut self, record: Option<(usize, bool)>, ids: &[Vec<i64>]) -> Vec<f64> {
        let (batch, new) = (self.batch, ids[0].len());
        let stream_shape = [batch, new, WIDTH];
        let step = record.map(|(step, _)| step);
        let mut stream = Vec::new();
        for row in ids {
            for (offset, &id) in row.iter().enumerate() {
                stream.extend((0..WIDTH).map(|channel| {
                    let token = weight("wte.weight", id as usize * WIDTH + channel);
                    self.round(token + weight("wpe.weight", (self.past + offset) * WIDTH + channel))
                }));
            }
        }
        if step.is_some() {
            self.tokens(step, "token_ids", ids);
        }
        self.keep(step, "embd", &stream_shape, &stream);
        for layer in 0..LAYERS {
            let name = |part: &str| format!("h.{layer}.{part}");
            let (normalised, scaled) = self.norm(&name("ln_1"), &stream);
            self.keep(step, &name("ln_1.normalized"), &stream_shape, &normalised);
            self.keep(step, &name("ln_1"), &stream_shape, &scaled);
            let attention = self.attention(record, layer, &scaled, new);
            let mid = self.add(&stream, &attention);
            self.keep(step, &name("mid"), &stream_shape, &mid);
            let (normalised, scaled) = self.norm(&name("ln_2"), &mid);
            self.keep(step, &name("ln_2.normalized"), &stream_shape, &normalised);
            self.keep(step, &name("ln_2"), &stream_shape, &scaled);
            let fc = self.linear(&name("mlp.c_fc"), &scaled, WIDTH, INNER);
            let act: Vec<f64> = fc.iter().map(|&x| self.gelu(x)).collect();
            let out = self.linear(&name("mlp.c_proj"), &act, INNER, WIDTH);
            self.keep(step, &name("mlp.fc"), &[batch, new, INNER], &fc);
            self.keep(step, &name("mlp.act"), &[batch, new, INNER], &act);
            self.keep(step, &name("mlp.out"), &stream_shape, &out);
            stream = self.add(&mid, &out);
            self.keep(step, &name("out"), &stream_shape, &stream);
        }
        self.past += new;
        self.head(step, &stream, new)
    }

    fn gelu(&self, x: f64) -> f64 {
        let r = |x| self.round(x);
        let cube = r(r(x * x) * x);
        let inner = r(r((2.0 / std::f64::consts::PI).sqrt()) * r(x + r(r(0.044_715) * cube)));
        r(r(0.5 * x) * r(1.0 + r(inner.tanh())))
    }

    fn keep(&mut self, step: Option<usize>, name: &str, shape: &[usize], values: &[f64]) {
        if step.is_some() {
            self.floats(step, name, shape, values);
        }
    }

    fn attention(&mut self, record: Option<(usize, bool)>, layer: usize, x: &[f64], new: usize) -> Vec<f64> {
        let (batch, keys, step) = (self.batch, self.past + new, record.map(|(step, _)| step));
        let name = |part: &str| format!("h.{layer}.attn.{part}");
        let qkv = self.linear(&name("c_attn"), x, WIDTH, 3 * WIDTH);
        let third = |which: usize| -> Vec<f64> {
            qkv.chunks_exact(3 * WIDTH).flat_map(|row| row[which * WIDTH..][..WIDTH].to_vec()).collect()
        };
        let [q, k, v] = [0, 1, 2].map(third);
        for (part, values) in [("q", &q), ("k", &k), ("v", &v)] {
            self.keep(step, &name(part), &[batch, new, HEADS, HEAD], values);
        }
        for row in 0..batch {
            for (which, values) in [&k, &v].into_iter().enumerate() {
                self.cache[layer][row][which].extend(&values[row * new * WIDTH..][..new * WIDTH]);
            }
        }
        let cache = self.cache[layer].clone();
        for (which, part) in ["cached_k", "cached_v"].into_iter().enumerate() {
            let values: Vec<f64> = cache.iter().flat_map(|row| row[which].clone()).collect();
            self.keep(step, &name(part), &[batch, keys, HEADS, HEAD], &values);
        }
        if record.is_some_and(|(_, cached)| cached) {
            let slots = |which: usize| {
                cache.iter().flat_map(move |row| {
                    let mut slots = row[which].clone();
                    slots.resize(CONTEXT * WIDTH, 0.0);
                    slots
                })
            };
            let values: Vec<f64> = slots(0).chain(slots(1)).collect();
            self.keep(step, &name("cache"), &[2, batch, CONTEXT, HEADS, HEAD], &values);
        }
        let (scores, probs, context) = self.attend(&q, &cache, new);
        let mask: Vec<f64> = (0..batch * new * keys)
            .map(|i| if i % keys <= self.past + i / keys % new { 0.0 } else { f64::NEG_INFINITY })
            .collect();
        self.keep(step, &name("scores"), &[batch, HEADS, new, keys], &scores);
        self.keep(step, &name("mask"), &[batch, new, keys], &mask);
        self.keep(step, &name("probs"), &[batch, HEADS, new, keys], &probs);
        self.keep(step, &name("context"), &[batch, new, WIDTH], &context);
        let out = self.linear(&name("c_proj"), &context, WIDTH, WIDTH);
        self.keep(step, &name("out"), &[batch, new, WIDTH], &out);
        out
    }

    /// Scores and probabilities, `[B, H, S, K]`, and the weighted values, `[B, S, D]`.
    fn attend(&self, q: &[f64], cache: &[[Vec<f64>; 2]], new: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let r = |x| self.round(x);
        let keys = self.past + new;
        let (mut scores, mut probs) = (Vec::new(), Vec::new());
        let mut context = vec![0.0; q.len()];
        for (b, [k, v]) in cache.iter().enumerate() {
            for h in 0..HEADS {
                for s in 0..new {
                    let at = (b * new + s) * WIDTH + h * HEAD;
                    let dot = |key: usize| {
                        let products = (0..HEAD).map(|d| r(q[at + d] * k[key * WIDTH + h * HEAD + d]));
                        r(products.fold(0.0, |sum, x| r(sum + x)) / r((HEAD as f64).sqrt()))
                    };
                    let row: Vec<f64> = (0..keys).map(dot).collect();
                    let visible = self.past + s + 1;
                    let mut weights = self.softmax(&row[..visible]);
                    weights.resize(keys, 0.0);
                    for d in 0..HEAD {
                        let value = |key: usize| r(weights[key] * v[key * WIDTH + h * HEAD + d]);
                        context[at + d] = (0..visible).map(value).fold(0.0, |sum, x| r(sum + x));
                    }
                    scores.extend(row);
                    probs.extend(weights);
                }
            }
        }
        (scores, probs, context)
    }

    fn head(&mut self, step: Option<usize>, stream: &[f64], new: usize) -> Vec<f64> {
        let batch = self.batch;
        let (normalised, scaled) = self.norm("ln_f", stream);
        self.keep(step, "ln_f.normalized", &[batch, new, WIDTH], &normalised);
        self.keep(step, "ln_f", &[batch, new, WIDTH], &scaled);
        let logit = |row: &[f64], token: usize| {
            let products = row.iter().enumerate().map(|(c, x)| x * weight("wte.weight", token * WIDTH + c));
            products.fold(0.0, |sum, x| self.round(sum + self.round(x)))
        };
        let rows = scaled.chunks_exact(WIDTH);
        let logits: Vec<f64> =
            rows.flat_map(|row| (0..VOCABULARY).map(move |token| logit(row, token))).collect();
        let last: Vec<f64> = logits
            .chunks_exact(new * VOCABULARY)
            .flat_map(|row| row[(new - 1) * VOCABULARY..].to_vec())
            .collect();
        self.keep(step, "logits", &[batch, new, VOCABULARY], &logits);
        self.keep(step, "logits.last", &[batch, VOCABULARY], &last);
        for (name, temperature) in [("probs.t0.5", 0.5), ("probs.t1", 1.0), ("probs.t2", 2.0)] {
            let rows = last.chunks_exact(VOCABULARY);
            let probs: Vec<f64> = rows
                .flat_map(|row| {
                    self.softmax(&row.iter().map(|x| self.round(x / temperature)).collect::<Vec<_>>())
                })
                .collect();
            self.keep(step, name, &[batch, VOCABULARY], &probs);
        }
        if step.is_some() {
            let token = Tensor::from_i64(&[batch], &greedy(&last)).unwrap();
            self.put(step, "token", &[batch], token);
        }
        last
    }

    fn generate(&mut self, count: usize, mut last: Vec<f64>) {
        if count == 0 {
            return;
        }
        let (mut tokens, mut logits) = (vec![Vec::new(); self.batch], vec![Vec::new(); self.batch]);
        for position in 0..count {
            let chosen = greedy(&last);
            for row in 0..self.batch {
                tokens[row].push(chosen[row]);
                logits[row].extend(&last[row * VOCABULARY..][..VOCABULARY]);
            }
            if position + 1 < count {
                last = self.step(None, &chosen.iter().map(|&token| vec![token]).collect::<Vec<_>>());
            }
        }
        self.tokens(None, "generated", &tokens);
        self.floats(None, "generated.logits", &[self.batch, count, VOCABULARY], &logits.concat());
    }
}

fn greedy(logits: &[f64]) -> Vec<i64> {
    let best = |row: &[f64]| (0..VOCABULARY).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as i64;
    logits.chunks_exact(VOCABULARY).map(best).collect()
}

/// The tensor with its floats changed; of the same dtype and shape.
pub(super) fn changed(tensor: &Tensor, change: impl FnOnce(&mut Vec<f64>)) -> Tensor {
    let mut values = tensor.view().to_f64_lossy();
    change(&mut values);
    let shape: &Shape = tensor.shape();
    let dimensions = shape.dimensions();
    match tensor.dtype() {
        capture::DType::F64 => Tensor::from_f64(dimensions, &values),
        capture::DType::F32 => {
            Tensor::from_f32(dimensions, &values.iter().map(|&v| v as f32).collect::<Vec<_>>())
        }
        _ => Tensor::from_i64(dimensions, &values.iter().map(|&v| v as i64).collect::<Vec<_>>()),
    }
    .unwrap()
}
