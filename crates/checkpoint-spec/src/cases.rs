//! Cases as files: texts, a length and a schedule, made into token ids for one model.

mod load;
mod seeded;
#[cfg(test)]
mod tests;

use capture::{Case, CaseError};
use serde::{Deserialize, Serialize};

pub use load::{bundled_cases, case_sources};

/// The same case on token ids that follow from a seed. Texts and fed tokens, which were those of other ids, are left out.
pub fn fresh(case: &Case, vocabulary: usize, seed: u64) -> Case {
    let token_ids = seeded::rows(&case.id, case.batch(), case.tokens(), vocabulary, seed);
    Case { token_ids, texts: None, forced: None, ..case.clone() }
}

/// A case before a model is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseTemplate {
    /// Name, unique: `[a-z0-9-]+`.
    pub id: String,
    /// What it is for.
    pub about: String,
    /// One text per row of the batch. Each is repeated until it has enough tokens.
    pub texts: Vec<String>,
    /// `T`, tokens per row.
    pub length: Length,
    /// Tokens of the first step; what `decode` leaves over when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill: Option<usize>,
    /// Steps of one token that follow the first.
    #[serde(default)]
    pub decode: usize,
    /// `N`, tokens to generate.
    #[serde(default)]
    pub generate: usize,
}

/// Tokens per row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Length {
    /// That many.
    Tokens(usize),
    /// As many as fill the context: `"context"`.
    Context(Context),
}

/// The word `context`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Context {
    /// `C`.
    Context,
}

/// Turns a text into token ids; an error in words otherwise.
pub type Encode<'a> = &'a dyn Fn(&str) -> Result<Vec<i64>, String>;

/// Why a case cannot be made for a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The model's context is too short for it: the case does not apply to this model.
    #[error(
        "case `{case}` does not fit: {tokens} tokens and {generate} generated ones need {needed} positions, and the \
         model's context limit is {context}"
    )]
    DoesNotFit {
        /// The case.
        case: String,
        /// Tokens per row.
        tokens: usize,
        /// Tokens to generate.
        generate: usize,
        /// Positions needed.
        needed: usize,
        /// The limit.
        context: usize,
    },
    /// The steps do not consume exactly the tokens.
    #[error("case `{case}`: {prefill} tokens and {decode} steps of one do not make {tokens} tokens")]
    Schedule {
        /// The case.
        case: String,
        /// Tokens per row.
        tokens: usize,
        /// Tokens of the first step.
        prefill: usize,
        /// Steps of one token.
        decode: usize,
    },
    /// The tokenizer said no, or made no tokens of a text.
    #[error("case `{case}`, row {row}: {problem}")]
    Tokenizer {
        /// The case.
        case: String,
        /// The row.
        row: usize,
        /// What it said.
        problem: String,
    },
    /// The token ids do not fit the model.
    #[error(transparent)]
    Case(#[from] CaseError),
}

impl CaseTemplate {
    /// The case for a model with that vocabulary and context. With a tokenizer each row is its text, repeated with
    /// line breaks between until it has `T` tokens, and cut there; the case then carries the repeated texts. Without,
    /// the rows are token ids that follow from `seed`, and there are no texts.
    ///
    /// # Errors
    /// [`TemplateError::DoesNotFit`] when the model is too small for the case; the others are faults of the
    /// template, the tokenizer or its fit to the model.
    pub fn instantiate(
        &self,
        encode: Option<Encode<'_>>,
        vocabulary: usize,
        context: usize,
        seed: u64,
    ) -> Result<Case, TemplateError> {
        let tokens = self.tokens(context)?;
        let schedule = self.schedule(tokens)?;
        let (token_ids, texts) = match encode {
            Some(encode) => {
                let rows: Result<Vec<_>, _> =
                    (0..self.texts.len()).map(|row| self.encode_row(row, tokens, encode)).collect();
                let (ids, texts) = rows?.into_iter().unzip();
                (ids, Some(texts))
            }
            None => (seeded::rows(&self.id, self.texts.len(), tokens, vocabulary, seed), None),
        };
        let case =
            Case { id: self.id.clone(), token_ids, texts, schedule, generate: self.generate, forced: None };
        case.validate(vocabulary, context)?;
        Ok(case)
    }

    /// Whether a model with that context can have the case.
    pub fn fits(&self, context: usize) -> bool {
        self.tokens(context).is_ok_and(|tokens| tokens > 0)
    }

    /// Whether a case is this one as far as its shape goes: rows, steps and generated tokens, on a model with that
    /// context. Its tokens are the tokenizer's or a seed's.
    pub fn has_shape_of(&self, case: &Case, context: usize) -> bool {
        let schedule = self.tokens(context).and_then(|tokens| self.schedule(tokens));
        case.id == self.id
            && case.batch() == self.texts.len()
            && case.generate == self.generate
            && schedule.is_ok_and(|schedule| schedule == case.schedule)
    }

    fn tokens(&self, context: usize) -> Result<usize, TemplateError> {
        let tokens = match self.length {
            Length::Tokens(tokens) => tokens,
            Length::Context(Context::Context) => context,
        };
        // The last generated token is never fed back.
        let needed = tokens.saturating_add(self.generate.saturating_sub(1));
        if needed <= context {
            return Ok(tokens);
        }
        Err(TemplateError::DoesNotFit {
            case: self.id.clone(),
            tokens,
            generate: self.generate,
            needed,
            context,
        })
    }

    fn schedule(&self, tokens: usize) -> Result<Vec<usize>, TemplateError> {
        let prefill = self.prefill.unwrap_or_else(|| tokens.saturating_sub(self.decode));
        if prefill == 0 || prefill.checked_add(self.decode) != Some(tokens) {
            let (case, decode) = (self.id.clone(), self.decode);
            return Err(TemplateError::Schedule { case, tokens, prefill, decode });
        }
        Ok([prefill].into_iter().chain(std::iter::repeat_n(1, self.decode)).collect())
    }

    fn encode_row(
        &self,
        row: usize,
        tokens: usize,
        encode: Encode<'_>,
    ) -> Result<(Vec<i64>, String), TemplateError> {
        let problem = |problem: String| TemplateError::Tokenizer { case: self.id.clone(), row, problem };
        let once = encode(&self.texts[row]).map_err(problem)?.len();
        if once == 0 {
            return Err(problem("the tokenizer makes no tokens of the text".to_owned()));
        }
        // Merges across a line break can only make a repetition shorter, so this many is where to begin.
        for repetitions in tokens.div_ceil(once)..=tokens.max(1) {
            let text = vec![self.texts[row].as_str(); repetitions].join("\n");
            let mut ids = encode(&text).map_err(problem)?;
            if ids.len() >= tokens {
                ids.truncate(tokens);
                return Ok((ids, text));
            }
        }
        Err(problem(format!(
            "the tokenizer makes fewer than {tokens} tokens of {tokens} repetitions of the text"
        )))
    }
}
