//! A GPT-2 small enough to read, run by the oracle: what implementations hand in.

use std::collections::BTreeMap;

use capture::{Capture, Case, DType, Precision, Tensor, TensorName};
use graph::{Architecture, Graph, Step};
use oracle::{
    ApplyError, Arithmetic, Array, Chain, Exact, Model, Operand, Replica, Way, Weights, order::Order,
    scheduled,
};

/// Sizes of the model that most tests look at.
const TINY: Sizes = Sizes { context: 12, width: 8, heads: 2, vocabulary: 11 };
const LAYERS: usize = 2;

/// What a GPT-2 of two layers may differ in.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) context: usize,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) vocabulary: usize,
}

impl Sizes {
    pub(crate) fn architecture(self) -> Architecture {
        let Self { context, width, heads, vocabulary } = self;
        let sizes = [
            ("C", context),
            ("D", width),
            ("H", heads),
            ("Dh", width / heads),
            ("F", 4 * width),
            ("V", vocabulary),
        ];
        Architecture {
            family: "gpt2".to_owned(),
            layers: LAYERS,
            sizes: sizes.map(|(symbol, size)| (symbol.to_owned(), size)).into(),
            constants: BTreeMap::from([("epsilon".to_owned(), 1e-5)]),
            features: std::collections::BTreeSet::new(),
        }
    }

    /// The model whose weights are what `value` says, by name and index.
    pub(crate) fn model(self, graph: Graph, value: impl Fn(&str, usize) -> f64) -> Model {
        let architecture = self.architecture();
        let shapes = graph.family.weights(&architecture).unwrap();
        let weight = |(name, shape): (String, Vec<usize>)| {
            let values = (0..shape.iter().product()).map(|index| value(&name, index) as f32).collect();
            (name, (shape, values))
        };
        let weights = Weights::new(shapes.into_iter().map(weight).collect());
        Model { graph, architecture, weights }
    }
}

pub(crate) fn architecture() -> Architecture {
    TINY.architecture()
}

/// The model that most tests look at: everything about uniform in ±0.5, scales around 1.
pub(crate) fn tiny(graph: Graph) -> Model {
    TINY.model(graph, ordinary)
}

pub(crate) fn ordinary(name: &str, index: usize) -> f64 {
    if is_scale(name) { 1.0 + uniform(name, index) } else { uniform(name, index) }
}

/// Whether a weight is the scale of a norm.
pub(crate) fn is_scale(name: &str) -> bool {
    name.contains("ln_") && name.ends_with(".weight")
}

/// In ±0.5, as name and index say, and exact in f32.
pub(crate) fn uniform(name: &str, index: usize) -> f64 {
    let seed =
        name.bytes().fold(index as u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (seed ^ (seed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
    f64::from((mixed as f32) / 16_777_216.0 - 0.5)
}

pub(crate) fn case(batch: usize, schedule: &[usize], generate: usize) -> Case {
    let tokens: usize = schedule.iter().sum();
    let id = |row: usize, position: usize| {
        ((7 * row + 3 * position + position * position) % TINY.vocabulary) as i64
    };
    Case {
        id: "tiny".to_owned(),
        token_ids: (0..batch).map(|row| (0..tokens).map(|position| id(row, position)).collect()).collect(),
        texts: Some(vec!["text".to_owned(); batch]),
        schedule: schedule.to_vec(),
        generate,
        forced: None,
    }
}

/// How a model is computed.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// At f64.
    Exact,
    /// At f64, and every result off by a rounding.
    NearlyExact,
    /// As a correct implementation.
    Replica(Replica),
}

impl How {
    /// At f32, in one of the correct ways.
    pub(crate) fn way(index: usize) -> Self {
        Self::Replica(Replica { way: Way::REPLICAS[index], half: None })
    }

    /// At f32, in a way that is none of those that bound a chained error.
    pub(crate) fn shuffled(seed: u64) -> Self {
        let base = Way::REPLICAS[seed as usize % Way::REPLICAS.len()];
        Self::Replica(Replica { way: Way { order: Order::Permuted(1000 + seed), ..base }, half: None })
    }

    /// At f64 or f32, from the first term to the last.
    pub(crate) fn correct(precision: Precision) -> Self {
        if precision == Precision::F64 { Self::Exact } else { Self::way(0) }
    }

    /// Everything that an implementation leaves of a case.
    pub(crate) fn run(self, model: &Model, case: &Case) -> Capture {
        match self {
            Self::Exact => run(model, Exact, case),
            Self::NearlyExact => {
                let mut capture = run(model, Exact, case);
                let floats = capture.tensors.values_mut().filter(|tensor| tensor.dtype().is_float());
                let off = |all: &mut Vec<f64>| all.iter_mut().for_each(|x| *x *= 1.0 + f64::EPSILON);
                floats.for_each(|tensor| *tensor = changed(tensor, off));
                capture
            }
            Self::Replica(replica) => run(model, replica, case),
        }
    }
}

/// Numbers of a capture.
pub(crate) trait Number: Copy {
    fn tensor(shape: &[usize], values: &[Self]) -> Tensor;
}

impl Number for f32 {
    fn tensor(shape: &[usize], values: &[Self]) -> Tensor {
        Tensor::from_f32(shape, values).unwrap()
    }
}

impl Number for f64 {
    fn tensor(shape: &[usize], values: &[Self]) -> Tensor {
        Tensor::from_f64(shape, values).unwrap()
    }
}

fn run<A: Arithmetic<Value = Array<T>>, T: Number>(model: &Model, arithmetic: A, case: &Case) -> Capture {
    let mut tensors = given(model, case);
    let (mut chain, mut last) = (Chain::new(model, arithmetic).unwrap(), None);
    for (index, positions) in case.steps().enumerate() {
        let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
        let ids = scheduled(case, step);
        tensors.insert(TensorName::of_step(index, "token_ids"), tokens(&ids));
        chain
            .step(&ids, |node, value| {
                let name = TensorName::of_step(index, node.name.clone());
                let tensor = match value {
                    Operand::Floats(array) => T::tensor(&array.shape, &array.values),
                    Operand::Tokens(ids) => tokens(ids),
                };
                tensors.insert(name, tensor);
                if let (true, Operand::Floats(array)) = (node.name == "logits.last", value) {
                    last = Some(array.clone());
                }
                Ok::<(), ApplyError>(())
            })
            .unwrap();
        let at_an_end = index == 0 || index + 1 == case.schedule.len();
        for layer in (0..model.architecture.layers).filter(|_| at_an_end) {
            let cached =
                |which: &str| &tensors[&TensorName::of_step(index, format!("h.{layer}.attn.cached_{which}"))];
            let buffer = slots([cached("k"), cached("v")], model.architecture.sizes["C"]);
            tensors.insert(TensorName::of_step(index, format!("h.{layer}.attn.cache")), buffer);
        }
    }
    if let (Some(last), true) = (last, case.generate > 0) {
        generate(&mut tensors, chain, last, case.generate);
    }
    Capture { tensors, ..Capture::default() }
}

/// What the graph does not compute: digests, the tied head and the prompt.
pub(crate) fn given(model: &Model, case: &Case) -> BTreeMap<TensorName, Tensor> {
    let names = model.graph.family.weights(&model.architecture).unwrap().into_keys();
    let digest = |name: String| {
        let digest = model.weights.digest(&name).unwrap();
        (TensorName::of_case(format!("weights.{name}")), Tensor::from_u8(&[32], &digest).unwrap())
    };
    let prompt = Array { shape: vec![case.batch(), case.tokens()], values: case.token_ids.concat() };
    let tied = Tensor::from_u8(&[1], &[1]).unwrap();
    let others =
        [(TensorName::of_case("head.tied"), tied), (TensorName::of_case("prompt.ids"), tokens(&prompt))];
    names.map(digest).chain(others).collect()
}

fn tokens(ids: &Array<i64>) -> Tensor {
    Tensor::from_i64(&ids.shape, &ids.values).unwrap()
}

/// `[2, B, C, H, Dh]`: keys, then values, each row in its slots from 0 on.
fn slots(keys_and_values: [&Tensor; 2], context: usize) -> Tensor {
    let &[batch, _, heads, width] = keys_and_values[0].shape().dimensions() else { unreachable!() };
    let row_bytes = context * heads * width * keys_and_values[0].dtype().size();
    let mut bytes = Vec::new();
    for tensor in keys_and_values {
        for row in tensor.bytes().chunks_exact(tensor.bytes().len() / batch) {
            bytes.extend_from_slice(row);
            bytes.resize(bytes.len() + row_bytes - row.len(), 0);
        }
    }
    let shape = capture::Shape::new([2, batch, context, heads, width]).unwrap();
    Tensor::new(keys_and_values[0].dtype(), shape, bytes).unwrap()
}

/// Greedy generation, fed its own tokens.
fn generate<A: Arithmetic<Value = Array<T>>, T: Number>(
    tensors: &mut BTreeMap<TensorName, Tensor>,
    mut chain: Chain<'_, A>,
    mut last: Array<T>,
    count: usize,
) {
    let (batch, width) = (last.shape[0], last.width());
    let (mut ids, mut logits) = (vec![Vec::new(); batch], vec![Vec::new(); batch]);
    for position in 0..count {
        let chosen = chain.arithmetic().argmax(&last);
        for row in 0..batch {
            ids[row].push(chosen[row]);
            logits[row].extend_from_slice(&last.values[row * width..][..width]);
        }
        if position + 1 < count {
            let see = |node: &graph::Node, value: &Operand<Array<T>>| {
                if let (true, Operand::Floats(array)) = (node.name == "logits.last", value) {
                    last = array.clone();
                }
                Ok::<(), ApplyError>(())
            };
            chain.step(&Array { shape: vec![batch, 1], values: chosen }, see).unwrap();
        }
    }
    let ids = Array { shape: vec![batch, count], values: ids.concat() };
    tensors.insert(TensorName::of_case("generated"), tokens(&ids));
    tensors
        .insert(TensorName::of_case("generated.logits"), T::tensor(&[batch, count, width], &logits.concat()));
}

/// The tensor with its values changed; of the same dtype and shape.
pub(crate) fn changed(tensor: &Tensor, change: impl FnOnce(&mut Vec<f64>)) -> Tensor {
    let mut values = tensor.view().to_f64_lossy();
    change(&mut values);
    let dimensions = tensor.shape().dimensions();
    match tensor.dtype() {
        DType::F64 => Tensor::from_f64(dimensions, &values),
        DType::F32 => Tensor::from_f32(dimensions, &values.iter().map(|&v| v as f32).collect::<Vec<_>>()),
        DType::U8 => Tensor::from_u8(dimensions, &values.iter().map(|&v| v as u8).collect::<Vec<_>>()),
        _ => Tensor::from_i64(dimensions, &values.iter().map(|&v| v as i64).collect::<Vec<_>>()),
    }
    .unwrap()
}
