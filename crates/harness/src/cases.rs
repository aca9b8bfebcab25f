//! Which cases a run has: templates, made concrete for one model.

use anyhow::Result;
use capture::{Case, Tensor};
use checkpoint_spec::{CaseTemplate, Encode, bundled_cases};

use crate::exit::usage;
use crate::model::Model;

/// A case that this run has, or the reason that it has not.
#[derive(Clone, Debug)]
pub struct PlannedCase {
    /// The concrete case.
    pub case: Case,
    /// What it is for.
    pub about: String,
}

/// Cases that the model cannot have, with the reason.
pub type DoNotFit = Vec<(String, String)>;

/// Makes the bundled cases concrete, or those asked for. A case the model is too small for is not applicable when
/// all were meant, and an error when it was asked for by name.
pub fn plan(model: &Model, wanted: &[String], seed: u64) -> Result<(Vec<PlannedCase>, DoNotFit)> {
    let templates = bundled_cases()?;
    if let Some(unknown) = wanted.iter().find(|id| !templates.iter().any(|template| template.id == **id)) {
        let known: Vec<&str> = templates.iter().map(|template| template.id.as_str()).collect();
        return Err(usage(format!("no case `{unknown}`; there are: {}", known.join(", "))));
    }
    let (mut planned, mut do_not_fit) = (Vec::new(), Vec::new());
    for template in templates.iter().filter(|template| wanted.is_empty() || wanted.contains(&template.id)) {
        match instantiate(template, model, seed) {
            Ok(case) => planned.push(PlannedCase { case, about: template.about.clone() }),
            Err(reason) if wanted.is_empty() => do_not_fit.push((template.id.clone(), reason)),
            Err(reason) => return Err(usage(reason)),
        }
    }
    if planned.is_empty() {
        return Err(usage(format!("no case fits the model: {do_not_fit:?}")));
    }
    Ok((planned, do_not_fit))
}

fn instantiate(template: &CaseTemplate, model: &Model, seed: u64) -> Result<Case, String> {
    let encode = |text: &str| -> Result<Vec<i64>, String> {
        let tokenizer = model.tokenizer.as_ref().ok_or("the model has no tokenizer")?;
        let encoding = tokenizer.encode(text, false).map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
    };
    let encode = model.tokenizer.is_some().then_some(&encode as Encode<'_>);
    let size = |symbol| model.size(symbol).map_err(|error| error.to_string());
    let (vocabulary, context) = (size("V")?, size("C")?);
    let case = template.instantiate(encode, vocabulary, context, seed).map_err(|error| error.to_string())?;
    case.validate(vocabulary, context).map_err(|error| error.to_string())?;
    Ok(case)
}

/// The harness's own tokenization of the case's texts, for an implementation that takes token ids: they stand for its side.
pub fn prompt_ids(case: &Case) -> Option<Tensor> {
    case.texts.as_ref()?;
    Tensor::from_i64(&[case.batch(), case.tokens()], &case.token_ids.concat()).ok()
}
