//! A program that is not the command line: it hands in an implementation of its own, has it judged, and prints the verdict.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use capture::{Case, Identity, Precision, Sink};
use checkpoint_spec::{Extent, Verdict};
use gpt2::Gpt2;
use harness::events::Progress;
use harness::implementation::{ImplementationName, Local, LocalSession, Means};
use harness::model::Model;
use harness::place::Place;
use harness::request::Request;

#[derive(Debug)]
struct Mine;

struct Loaded(Gpt2, Identity);

impl Local for Mine {
    fn name(&self) -> &str {
        "mine"
    }

    fn open(&self, model: &Path, _threads: usize) -> Result<Box<dyn LocalSession>> {
        let [name, version, device] = ["mine", "1", "cpu"].map(str::to_owned);
        let identity = Identity { name, version, precision: Precision::F32, device };
        Ok(Box::new(Loaded(Gpt2::load(model)?, identity)))
    }
}

impl LocalSession for Loaded {
    fn identity(&self) -> &Identity {
        &self.1
    }

    fn run(&mut self, case: &Case, capture: &mut (dyn Sink + Send)) -> Result<(), String> {
        self.0.show(case, capture).map_err(|error| error.to_string())
    }
}

#[test]
fn an_implementation_of_this_process_is_judged_by_the_graph() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = folder.path().join("model");
    gpt2::synthetic::write(&files, &"2,16,2,64,8".parse()?)?;
    let [root, cache, worker] = ["root", "cache", "worker"].map(|name| folder.path().join(name));
    let (place, time_limit) = (Place { root, cache, worker }, Duration::from_secs(60));
    let means =
        Means { place, threads: 1, time_limit, interrupt: Default::default(), locals: vec![Arc::new(Mine)] };
    let subject = ImplementationName { name: "mine".to_owned(), precision: Precision::F32 };
    let model = Model::open("mine".to_owned(), &files)?;
    let request = Request::plain(subject, model, &[], &means, Extent::None)?;
    let request = Request { references: Vec::new(), ..request };
    let results = harness::run::run(&request, &means, &Progress::unheard())?.results;
    println!("{:?}: {:?}", results.verdict, results.reservations);
    assert_eq!((results.first_divergence, results.verdict), (None, Verdict::Incomplete));
    Ok(())
}
