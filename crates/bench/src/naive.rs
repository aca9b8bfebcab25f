//! The graph in plain f32, summed term after term, as somebody writes it who wants it right before fast. It stands for
//! correct code in benches; since it is the graph, it is no voice.

use std::path::Path;

use anyhow::{Context, Result};
use capture::{Capture, Case, Identity, Precision, Sink, Tensor, TensorName};
use graph::Step;
use harness::cases::prompt_ids;
use harness::implementation::{Local, LocalSession};
use harness::model::Model as ModelFiles;
use oracle::{ApplyError, Arithmetic, Array, Chain, Model, Operand, Replica, Way, scheduled};

/// Naive sequential sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naive;

/// The same with a model.
struct NaiveSession {
    files: ModelFiles,
    model: Model,
    identity: Identity,
    threads: rayon::ThreadPool,
}

impl Naive {
    /// The name that it is asked for by.
    const NAME: &str = "naive";
}

impl Local for Naive {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn open(&self, model: &Path, threads: usize) -> Result<Box<dyn LocalSession>> {
        let files = ModelFiles::read(Self::NAME.to_owned(), model)?;
        let model = files.oracle(&files.specs()?)?;
        let identity = Identity {
            name: Self::NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            precision: Precision::F32,
            device: "cpu".to_owned(),
        };
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Box::new(NaiveSession { files, model, identity, threads }))
    }
}

impl LocalSession for NaiveSession {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn run(&mut self, case: &Case, capture: &mut (dyn Sink + Send)) -> Result<(), String> {
        let size = |symbol| self.files.size(symbol).map_err(|error| error.to_string());
        case.validate(size("V")?, size("C")?).map_err(|refusal| refusal.to_string())?;
        let computed =
            self.threads.install(|| run(&self.model, case)).map_err(|error| format!("{error:#}"))?;
        for (name, tensor) in &computed.tensors {
            capture.put(name.clone(), tensor.view(), true);
        }
        Ok(())
    }
}

/// Everything that the graph gives in a case, and what is known without it.
fn run(model: &Model, case: &Case) -> Result<Capture> {
    let mut capture = Capture::default();
    for name in model.graph.family.weights(&model.architecture)?.keys() {
        let digest = model.weights.digest(name).context("a weight that was loaded")?;
        let name = TensorName::of_case(format!("weights.{name}"));
        capture.tensors.insert(name, Tensor::from_u8(&[digest.len()], &digest)?);
    }
    capture.tensors.insert(TensorName::of_case("head.tied"), Tensor::from_u8(&[1], &[1])?);
    capture.tensors.extend(prompt_ids(case).map(|ids| (TensorName::of_case("prompt.ids"), ids)));
    let roles = &model.graph.family.roles;
    let (mut chain, mut last) = (Chain::new(model, Replica { way: Way::PLAIN, half: None })?, None);
    for (index, positions) in case.steps().enumerate() {
        let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
        let ids = scheduled(case, step);
        let fed = Tensor::from_i64(&ids.shape, &ids.values)?;
        capture.tensors.insert(TensorName::of_step(index, &*roles.tokens), fed);
        chain.step(&ids, |node, value| {
            if let (true, Operand::Floats(value)) = (node.name == roles.last_logits, value) {
                last = Some(value.clone());
            }
            capture.tensors.insert(TensorName::of_step(index, &*node.name), tensor(value)?);
            Ok::<(), anyhow::Error>(())
        })?;
    }
    if case.generate > 0 {
        generate(&mut chain, case, last.context("a case has steps")?, &mut capture)?;
    }
    Ok(capture)
}

/// Greedy generation from the logits of the prompt's last position.
fn generate(
    chain: &mut Chain<'_, Replica>,
    case: &Case,
    mut last: Array<f32>,
    capture: &mut Capture,
) -> Result<()> {
    let roles = &chain.model().graph.family.roles;
    let (batch, width) = (case.batch(), last.width());
    let mut tokens = vec![0; batch * case.generate];
    let mut logits = vec![0.0; batch * case.generate * width];
    for n in 0..case.generate {
        let own = chain.arithmetic().argmax(&last);
        for (row, (&token, values)) in own.iter().zip(last.values.chunks(width)).enumerate() {
            let at = row * case.generate + n;
            tokens[at] = token;
            logits[at * width..(at + 1) * width].copy_from_slice(values);
        }
        if n + 1 < case.generate {
            let forced =
                |row: usize| case.forced.as_ref().and_then(|forced| forced.get(row)?.get(n)).copied();
            let values = (0..batch).map(|row| forced(row).unwrap_or(own[row])).collect();
            chain.step(&Array { shape: vec![batch, 1], values }, |node, value| {
                if let (true, Operand::Floats(value)) = (node.name == roles.last_logits, value) {
                    last = value.clone();
                }
                Ok::<(), ApplyError>(())
            })?;
        }
    }
    let of = |name: &str, tensor| (TensorName::of_case(name), tensor);
    let tokens = Tensor::from_i64(&[batch, case.generate], &tokens)?;
    let logits = Tensor::from_f32(&[batch, case.generate, width], &logits)?;
    capture.tensors.extend([of(&roles.generated, tokens), of(&roles.generated_logits, logits)]);
    Ok(())
}

fn tensor(value: &Operand<Array<f32>>) -> Result<Tensor> {
    Ok(match value {
        Operand::Floats(array) => Tensor::from_f32(&array.shape, &array.values)?,
        Operand::Tokens(ids) => Tensor::from_i64(&ids.shape, &ids.values)?,
    })
}

#[cfg(test)]
mod tests {
    use checkpoint_spec::{SpecSet, Traits, required};

    use super::*;

    #[test]
    fn it_leaves_everything_that_is_required_and_is_fed_what_the_case_forces() {
        let folder = tempfile::tempdir().unwrap();
        gpt2::synthetic::write(folder.path(), &"2,16,2,48,16".parse().unwrap()).unwrap();
        let specs = SpecSet::bundled("gpt2").unwrap();
        let files = ModelFiles::open("tiny".to_owned(), folder.path()).unwrap();
        let model = files.oracle(&specs).unwrap();
        let case = |forced| Case {
            id: "all".to_owned(),
            token_ids: vec![vec![1, 2, 3, 4], vec![5, 6, 7, 8]],
            texts: None,
            schedule: vec![2, 1, 1],
            generate: 3,
            forced,
        };
        let free = run(&model, &case(None)).unwrap();
        let traits = Traits { preallocated_cache: false, tokenizer: false };
        for required in required(&specs, &files.architecture, &case(None), traits, Precision::F32).unwrap() {
            let tensor = free.require(&required.name).unwrap();
            tensor.require_layout(required.dtype, &required.shape).unwrap();
        }
        let logits = TensorName::of_case("generated.logits");
        let forced = run(&model, &case(Some(vec![vec![9; 3], vec![9; 3]]))).unwrap();
        assert_ne!(forced.tensors[&logits], free.tensors[&logits]);
    }
}
