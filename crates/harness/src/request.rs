//! What is asked of a run, and by what it is judged.

use std::time::Duration;

use anyhow::Result;
use checkpoint_spec::registry::references;
use checkpoint_spec::{Extent, Keep, SpecSet};
use oracle::Model;

use crate::cases::{self, PlannedCase};
use crate::implementation::{ImplementationName, Means};
use crate::model::Model as ModelFiles;

/// What the user asked for.
#[derive(Debug)]
pub struct Request {
    /// The model that the references get.
    pub model: ModelFiles,
    /// The subject's own weights, when it has them.
    pub subject_model: Option<ModelFiles>,
    /// Who is under test.
    pub subject: ImplementationName,
    /// Who judges, in order of precedence.
    pub references: Vec<String>,
    /// The cases.
    pub cases: Vec<PlannedCase>,
    /// Cases that do not fit the model, with the reason.
    pub do_not_fit: Vec<(String, String)>,
    /// Checkpoints to report; all when empty.
    pub selected: Vec<String>,
    /// Threads to compute with.
    pub threads: usize,
    /// How long a worker may take for one job.
    pub time_limit: Duration,
    /// How many of the declared faults are put in.
    pub faults: Extent,
    /// Compute references anew, even where their captures are cached.
    pub fresh: bool,
    /// The options that named model, subject and references, as given.
    pub options: Vec<String>,
    /// Which tensors the bundle is to hold.
    pub keep: Keep,
}

impl Request {
    /// A subject before every reference in these cases (all that fit, where none is named), with every tensor kept.
    pub fn plain(
        subject: ImplementationName,
        model: ModelFiles,
        cases: &[String],
        means: &Means,
        faults: Extent,
    ) -> Result<Self> {
        let (cases, do_not_fit) = cases::plan(&model, cases, 0)?;
        Ok(Self {
            model,
            subject_model: None,
            subject,
            references: references().map(|entry| entry.name.to_owned()).collect(),
            cases,
            do_not_fit,
            selected: Vec::new(),
            threads: means.threads,
            time_limit: means.time_limit,
            faults,
            fresh: false,
            options: Vec::new(),
            keep: Keep::Full,
        })
    }

    /// The model that the subject computes.
    pub fn model_of_subject(&self) -> &ModelFiles {
        self.subject_model.as_ref().unwrap_or(&self.model)
    }
}

/// By what a run is judged.
#[derive(Clone, Copy, Debug)]
pub struct Law<'a> {
    /// The specs.
    pub specs: &'a SpecSet,
    /// `c` of their rounding budgets.
    pub confidence: f64,
    /// The model, as the oracle computes it.
    pub model: &'a Model,
}
