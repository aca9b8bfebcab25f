//! A GPT-2 small enough to read, in f64 or with every operation rounded to f32: what implementations hand in.

use std::collections::BTreeMap;

use capture::{Capture, Case, Precision, Tensor, TensorName};

use super::Architecture;

const LAYERS: usize = 2;
const CONTEXT: usize = 12;
const WIDTH: usize = 8;
const HEADS: usize = 2;
const HEAD: usize = WIDTH / HEADS;
const INNER: usize = 4 * WIDTH;
const VOCABULARY: usize = 11;
const EPSILON: f64 = 1e-5;

pub(crate) fn architecture() -> Architecture {
    let sizes = [("C", CONTEXT), ("D", WIDTH), ("H", HEADS), ("Dh", HEAD), ("F", INNER), ("V", VOCABULARY)];
    Architecture {
        family: "gpt2".to_owned(),
        layers: LAYERS,
        sizes: sizes.map(|(symbol, size)| (symbol.to_owned(), size)).into(),
        constants: BTreeMap::from([("epsilon".to_owned(), EPSILON)]),
    }
}

pub(crate) fn case(batch: usize, schedule: &[usize], generate: usize) -> Case {
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

/// What a fault makes of an activation, by its name, wherever it is computed.
pub(crate) type Fault = fn(&str, &mut Vec<f64>);

/// One way to compute the model.
#[derive(Clone, Copy)]
pub(crate) struct Implementation {
    pub(crate) precision: Precision,
    /// Adds up from the last term to the first.
    pub(crate) backward: bool,
    pub(crate) epsilon: f64,
    pub(crate) fault: Fault,
}

impl Implementation {
    pub(crate) fn correct(precision: Precision) -> Self {
        Self { precision, backward: false, epsilon: EPSILON, fault: |_, _| {} }
    }

    /// The chained run of a case.
    pub(crate) fn run(self, case: &Case) -> Capture {
        let mut model = Model::new(self, case, None);
        for name in weight_names() {
            let digest = Tensor::from_u8(&[32], &[7; 32]).unwrap();
            model.put(TensorName::of_case(format!("weights.{name}")), digest);
        }
        model.put(TensorName::of_case("head.tied"), Tensor::from_u8(&[1], &[1]).unwrap());
        model.tokens(TensorName::of_case("prompt.ids"), &case.token_ids);
        let last = model.steps(case);
        model.generate(case, last);
        model.capture
    }

    /// Each activation alone, from the direct inputs that a given run has, and the composites.
    pub(crate) fn replay(self, case: &Case, given: &Capture) -> Capture {
        let mut model = Model::new(self, case, Some(given));
        model.steps(case);
        model.capture
    }
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

/// Weights that follow from their name: about uniform in ±0.5, and exact in f32.
fn weight(name: &str, index: usize) -> f64 {
    let seed =
        name.bytes().fold(index as u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
    f64::from((mixed as f32) / 16_777_216.0 - 0.5)
}

struct Model<'a> {
    how: Implementation,
    batch: usize,
    past: usize,
    /// By layer, row, and keys or values: `[position, head, head dimension]`.
    cache: Vec<Vec<[Vec<f64>; 2]>>,
    /// The step, where activations are recorded: not while generating, nor inside a composite.
    step: Option<usize>,
    /// Whether this step records the preallocated cache.
    at_an_end: bool,
    /// In a replay, what takes the place of every activation once it is recorded.
    given: Option<&'a Capture>,
    capture: Capture,
}

impl<'a> Model<'a> {
    fn new(how: Implementation, case: &Case, given: Option<&'a Capture>) -> Self {
        Self {
            how,
            batch: case.batch(),
            past: 0,
            cache: vec![vec![[Vec::new(), Vec::new()]; case.batch()]; LAYERS],
            step: None,
            at_an_end: false,
            given,
            capture: Capture::default(),
        }
    }

    fn put(&mut self, name: TensorName, tensor: Tensor) {
        self.capture.tensors.insert(name, tensor);
    }

    fn floats(&mut self, name: TensorName, shape: &[usize], values: &[f64]) {
        let tensor = match self.how.precision {
            Precision::F32 => {
                Tensor::from_f32(shape, &values.iter().map(|&value| value as f32).collect::<Vec<_>>())
            }
            Precision::F64 => Tensor::from_f64(shape, values),
            Precision::F16 | Precision::Bf16 => unreachable!("this model computes in f32 or f64"),
        };
        self.put(name, tensor.unwrap());
    }

    fn tokens(&mut self, name: TensorName, rows: &[Vec<i64>]) {
        let shape = [rows.len(), rows.first().map_or(0, Vec::len)];
        self.put(name, Tensor::from_i64(&shape, &rows.concat()).unwrap());
    }

    /// Records an activation and gives what the next ones are to be computed from.
    fn keep(&mut self, name: &str, shape: &[usize], mut values: Vec<f64>) -> Vec<f64> {
        (self.how.fault)(name, &mut values);
        values.iter_mut().for_each(|value| *value = self.round(*value));
        let Some(step) = self.step else { return values };
        let name = TensorName::of_step(step, name);
        self.floats(name.clone(), shape, &values);
        self.given.map_or(values, |given| given.require(&name).unwrap().view().to_f64_lossy())
    }

    /// Computes a composite: nothing inside it is recorded or replaced.
    fn whole(&mut self, name: &str, shape: &[usize], compute: impl FnOnce(&mut Self) -> Vec<f64>) {
        let (Some(step), Some(_)) = (self.step, self.given) else { return };
        let cache = self.cache.clone();
        self.step = None;
        let values = compute(self);
        (self.step, self.cache) = (Some(step), cache);
        self.floats(TensorName::of_step(step, format!("whole/{name}")), shape, &values);
    }

    fn round(&self, value: f64) -> f64 {
        match self.how.precision {
            Precision::F32 => f64::from(value as f32),
            Precision::F64 => value,
            Precision::F16 | Precision::Bf16 => unreachable!("this model computes in f32 or f64"),
        }
    }

    fn sum(&self, mut terms: Vec<f64>) -> f64 {
        if self.how.backward {
            terms.reverse();
        }
        terms.iter().fold(0.0, |sum, x| self.round(sum + x))
    }

    /// `x·W + b` for rows of `x`.
    fn linear(&self, name: &str, x: &[f64], inputs: usize, outputs: usize) -> Vec<f64> {
        let element = |row: &[f64], o: usize| {
            let product = |(i, x)| self.round(x * weight(&format!("{name}.weight"), i * outputs + o));
            let bias = weight(&format!("{name}.bias"), o);
            self.sum([bias].into_iter().chain(row.iter().enumerate().map(product)).collect())
        };
        x.chunks_exact(inputs).flat_map(|row| (0..outputs).map(move |o| element(row, o))).collect()
    }

    /// Keeps a norm before and after scale and bias; gives the latter.
    fn norm(&mut self, name: &str, x: &[f64], new: usize) -> Vec<f64> {
        let r = |x| self.round(x);
        let width = WIDTH as f64;
        let mut normalised = Vec::new();
        for row in x.chunks_exact(WIDTH) {
            let mean = r(self.sum(row.to_vec()) / width);
            let squares = self.sum(row.iter().map(|x| r(r(x - mean) * r(x - mean))).collect());
            let root = r(r(r(squares / width) + r(self.how.epsilon)).sqrt());
            normalised.extend(row.iter().map(|x| r(r(x - mean) / root)));
        }
        let scaled = normalised.iter().enumerate().map(|(i, x)| {
            let channel = i % WIDTH;
            let scale = f64::from((1.0 + weight(&format!("{name}.weight"), channel)) as f32);
            r(r(x * scale) + weight(&format!("{name}.bias"), channel))
        });
        let scaled = scaled.collect();
        let shape = [self.batch, new, WIDTH];
        self.keep(&format!("{name}.normalized"), &shape, normalised);
        self.keep(name, &shape, scaled)
    }

    fn softmax(&self, scores: &[f64]) -> Vec<f64> {
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = scores.iter().map(|x| self.round(self.round(x - largest).exp())).collect();
        let sum = self.sum(powers.clone());
        powers.iter().map(|x| self.round(x / sum)).collect()
    }

    fn add(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| self.round(a + b)).collect()
    }

    /// All steps of a case; the logits of the last position.
    fn steps(&mut self, case: &Case) -> Vec<f64> {
        let mut last = Vec::new();
        for (step, positions) in case.steps().enumerate() {
            let ids: Vec<Vec<i64>> =
                case.token_ids.iter().map(|row| row[positions.clone()].to_vec()).collect();
            self.step = Some(step);
            self.at_an_end = self.given.is_none() && (step == 0 || step + 1 == case.schedule.len());
            if self.given.is_none() {
                self.tokens(TensorName::of_step(step, "token_ids"), &ids);
            }
            last = self.forward(&ids);
        }
        self.step = None;
        last
    }

    /// Consumes tokens and gives the logits of the last position, `[B, V]`.
    fn forward(&mut self, ids: &[Vec<i64>]) -> Vec<f64> {
        let (batch, new) = (self.batch, ids.first().map_or(0, Vec::len));
        let shape = [batch, new, WIDTH];
        let mut stream = Vec::new();
        for row in ids {
            for (offset, &id) in row.iter().enumerate() {
                stream.extend((0..WIDTH).map(|channel| {
                    let token = weight("wte.weight", id as usize * WIDTH + channel);
                    self.round(token + weight("wpe.weight", (self.past + offset) * WIDTH + channel))
                }));
            }
        }
        stream = self.keep("embd", &shape, stream);
        for layer in 0..LAYERS {
            let name = format!("h.{layer}.out");
            self.whole(&name, &shape, |model| model.block(layer, &stream, new));
            stream = self.block(layer, &stream, new);
        }
        self.whole("logits", &[batch, new, VOCABULARY], |model| model.logits(&stream, new));
        self.past += new;
        self.select(&stream, new)
    }

    fn block(&mut self, layer: usize, stream: &[f64], new: usize) -> Vec<f64> {
        let (shape, inner) = ([self.batch, new, WIDTH], [self.batch, new, INNER]);
        let name = |part: &str| format!("h.{layer}.{part}");
        let scaled = self.norm(&name("ln_1"), stream, new);
        let attention = self.attention(layer, &scaled, new);
        let mid = self.keep(&name("mid"), &shape, self.add(stream, &attention));
        let scaled = self.norm(&name("ln_2"), &mid, new);
        let feed_forward = |model: &mut Self| {
            let fc = model.linear(&name("mlp.c_fc"), &scaled, WIDTH, INNER);
            let fc = model.keep(&name("mlp.fc"), &inner, fc);
            let act = fc.iter().map(|&x| model.gelu(x)).collect();
            let act = model.keep(&name("mlp.act"), &inner, act);
            let out = model.linear(&name("mlp.c_proj"), &act, INNER, WIDTH);
            model.keep(&name("mlp.out"), &shape, out)
        };
        self.whole(&name("mlp.out"), &shape, feed_forward);
        let out = feed_forward(self);
        self.keep(&name("out"), &shape, self.add(&mid, &out))
    }

    fn gelu(&self, x: f64) -> f64 {
        let r = |x| self.round(x);
        let cube = r(r(x * x) * x);
        let inner = r(r((2.0 / std::f64::consts::PI).sqrt()) * r(x + r(r(0.044_715) * cube)));
        r(r(0.5 * x) * r(1.0 + r(inner.tanh())))
    }

    fn attention(&mut self, layer: usize, x: &[f64], new: usize) -> Vec<f64> {
        let (batch, keys) = (self.batch, self.past + new);
        let name = |part: &str| format!("h.{layer}.attn.{part}");
        let qkv = self.linear(&name("c_attn"), x, WIDTH, 3 * WIDTH);
        let third = |which: usize| -> Vec<f64> {
            qkv.chunks_exact(3 * WIDTH).flat_map(|row| row[which * WIDTH..][..WIDTH].to_vec()).collect()
        };
        let heads = [batch, new, HEADS, HEAD];
        let q = self.keep(&name("q"), &heads, third(0));
        let kept = [self.keep(&name("k"), &heads, third(1)), self.keep(&name("v"), &heads, third(2))];
        for (which, part) in ["cached_k", "cached_v"].into_iter().enumerate() {
            let mut slots: Vec<Vec<f64>> =
                self.cache[layer].iter_mut().map(|row| std::mem::take(&mut row[which])).collect();
            for (row, values) in slots.iter_mut().zip(kept[which].chunks_exact((new * WIDTH).max(1))) {
                row.extend(values);
            }
            let slots = self.keep(&name(part), &[batch, keys, HEADS, HEAD], slots.concat());
            for (row, values) in self.cache[layer].iter_mut().zip(slots.chunks_exact(keys * WIDTH)) {
                row[which] = values.to_vec();
            }
        }
        if self.at_an_end && self.step.is_some() {
            let values = self.buffer(layer);
            self.keep(&name("cache"), &[2, batch, CONTEXT, HEADS, HEAD], values);
        }
        self.whole(&name("out"), &[batch, new, WIDTH], |model| model.attend(layer, &q, new));
        self.attend(layer, &q, new)
    }

    /// Keys, then values, `[2, B, C, H, Dh]`: the slots so far, zeros in all others.
    fn buffer(&self, layer: usize) -> Vec<f64> {
        let slots = |which: usize| {
            self.cache[layer].iter().flat_map(move |row| {
                let mut slots = row[which].clone();
                slots.resize(CONTEXT * WIDTH, 0.0);
                slots
            })
        };
        slots(0).chain(slots(1)).collect()
    }

    /// From queries and cache to the projected output, `[B, S, D]`.
    fn attend(&mut self, layer: usize, q: &[f64], new: usize) -> Vec<f64> {
        let (batch, keys, past) = (self.batch, self.past + new, self.past);
        let name = |part: &str| format!("h.{layer}.attn.{part}");
        let pattern = [batch, HEADS, new, keys];
        let cache = self.cache[layer].clone();
        let scores = self.keep(&name("scores"), &pattern, self.scores(q, &cache, new));
        let masked = |i: usize| if i % keys <= past + i / keys % new { 0.0 } else { f64::NEG_INFINITY };
        let mask =
            self.keep(&name("mask"), &[batch, new, keys], (0..batch * new * keys).map(masked).collect());
        let rows = scores.chunks_exact(keys).enumerate();
        let probs = rows.flat_map(|(row, scores)| {
            let position = row / (HEADS * new) * new + row % new;
            self.softmax(&self.add(scores, &mask[position * keys..][..keys]))
        });
        let probs = probs.collect();
        let probs = self.keep(&name("probs"), &pattern, probs);
        let context = self.context(&probs, &cache, new);
        let context = self.keep(&name("context"), &[batch, new, WIDTH], context);
        let out = self.linear(&name("c_proj"), &context, WIDTH, WIDTH);
        self.keep(&name("out"), &[batch, new, WIDTH], out)
    }

    /// `[B, H, S, K]`.
    fn scores(&self, q: &[f64], cache: &[[Vec<f64>; 2]], new: usize) -> Vec<f64> {
        let r = |x| self.round(x);
        let mut scores = Vec::new();
        for (b, [k, _]) in cache.iter().enumerate() {
            for (h, s) in (0..HEADS).flat_map(|h| (0..new).map(move |s| (h, s))) {
                let at = (b * new + s) * WIDTH + h * HEAD;
                scores.extend(k.chunks_exact(WIDTH).map(|key| {
                    let products = (0..HEAD).map(|d| r(q[at + d] * key[h * HEAD + d])).collect();
                    r(self.sum(products) / r((HEAD as f64).sqrt()))
                }));
            }
        }
        scores
    }

    /// The weighted values, `[B, S, D]`.
    fn context(&self, probs: &[f64], cache: &[[Vec<f64>; 2]], new: usize) -> Vec<f64> {
        let keys = self.past + new;
        let element = |b: usize, s: usize, channel: usize| {
            let probs = &probs[((b * HEADS + channel / HEAD) * new + s) * keys..][..keys];
            let values = cache[b][1].chunks_exact(WIDTH);
            self.sum(probs.iter().zip(values).map(|(p, value)| self.round(p * value[channel])).collect())
        };
        let mut context = Vec::new();
        for (b, s) in (0..cache.len()).flat_map(|b| (0..new).map(move |s| (b, s))) {
            context.extend((0..WIDTH).map(|channel| element(b, s, channel)));
        }
        context
    }

    /// Norm and tied head, `[B, S, V]`.
    fn logits(&mut self, stream: &[f64], new: usize) -> Vec<f64> {
        let scaled = self.norm("ln_f", stream, new);
        let logit = |row: &[f64], token: usize| {
            let product = |(c, x)| self.round(x * weight("wte.weight", token * WIDTH + c));
            self.sum(row.iter().enumerate().map(product).collect())
        };
        let rows = scaled.chunks_exact(WIDTH);
        let logits = rows.flat_map(|row| (0..VOCABULARY).map(move |token| logit(row, token))).collect();
        self.keep("logits", &[self.batch, new, VOCABULARY], logits)
    }

    /// The logits of the last position, and what follows from them.
    fn select(&mut self, stream: &[f64], new: usize) -> Vec<f64> {
        let (batch, shape) = (self.batch, [self.batch, VOCABULARY]);
        let logits = self.logits(stream, new);
        let rows = logits.chunks_exact(new * VOCABULARY);
        let last = rows.flat_map(|row| row[(new - 1) * VOCABULARY..].to_vec()).collect();
        let last = self.keep("logits.last", &shape, last);
        for (name, temperature) in [("probs.t0.5", 0.5), ("probs.t1", 1.0), ("probs.t2", 2.0)] {
            let rows = last.chunks_exact(VOCABULARY);
            let scaled = |row: &[f64]| row.iter().map(|x| self.round(x / temperature)).collect::<Vec<_>>();
            let probs = rows.flat_map(|row| self.softmax(&scaled(row))).collect();
            self.keep(name, &shape, probs);
        }
        if let Some(step) = self.step {
            let token = Tensor::from_i64(&[batch], &greedy(&last)).unwrap();
            self.put(TensorName::of_step(step, "token"), token);
        }
        last
    }

    fn generate(&mut self, case: &Case, mut last: Vec<f64>) {
        let count = case.generate;
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
                let forced = |row: usize| case.forced.as_ref()?[row].get(position).copied();
                let fed = |row: usize| vec![forced(row).unwrap_or(chosen[row])];
                last = self.forward(&(0..self.batch).map(fed).collect::<Vec<_>>());
            }
        }
        self.tokens(TensorName::of_case("generated"), &tokens);
        let shape = [self.batch, count, VOCABULARY];
        self.floats(TensorName::of_case("generated.logits"), &shape, &logits.concat());
    }
}

fn greedy(logits: &[f64]) -> Vec<i64> {
    let best = |row: &[f64]| (0..VOCABULARY).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as i64;
    logits.chunks_exact(VOCABULARY).map(best).collect()
}

/// The tensor with its values changed; of the same dtype and shape.
pub(crate) fn changed(tensor: &Tensor, change: impl FnOnce(&mut Vec<f64>)) -> Tensor {
    let mut values = tensor.view().to_f64_lossy();
    change(&mut values);
    let dimensions = tensor.shape().dimensions();
    match tensor.dtype() {
        capture::DType::F64 => Tensor::from_f64(dimensions, &values),
        capture::DType::F32 => {
            Tensor::from_f32(dimensions, &values.iter().map(|&v| v as f32).collect::<Vec<_>>())
        }
        capture::DType::U8 => {
            Tensor::from_u8(dimensions, &values.iter().map(|&v| v as u8).collect::<Vec<_>>())
        }
        _ => Tensor::from_i64(dimensions, &values.iter().map(|&v| v as i64).collect::<Vec<_>>()),
    }
    .unwrap()
}
