//! A case: what every implementation is given.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Token ids and the schedule in which they are consumed. `B` rows of `T` tokens, `N` tokens generated after them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Name, unique within a run: `[a-z0-9-]+`.
    pub id: String,
    /// `[B, T]`.
    pub token_ids: Vec<Vec<i64>>,
    /// The texts that the rows were tokenized from; none when the model has no tokenizer.
    pub texts: Option<Vec<String>>,
    /// Tokens consumed by each step, with the KV cache of the steps before; sums to `T`.
    pub schedule: Vec<usize>,
    /// `N`, tokens to generate greedily after the last step.
    pub generate: usize,
    /// Per row, generated tokens to be fed in place of the implementation's own.
    pub forced: Option<Vec<Vec<i64>>>,
}

/// Why a case cannot be run on a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// The id is not in its form. It is part of file names.
    #[error("case `{}`: the id must be lower-case letters, digits and hyphens", case.escape_debug())]
    Id {
        /// The case.
        case: String,
    },
    /// Not one text, or not one list of forced tokens, for each row.
    #[error("case `{case}`: {found} of `{field}` for {rows} rows; there must be one for each row")]
    PerRow {
        /// The case.
        case: String,
        /// The field.
        field: &'static str,
        /// How many there are.
        found: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// More tokens are forced than generated.
    #[error("case `{case}`: {forced} tokens are forced in row {row}, and only {generate} are generated")]
    Forced {
        /// The case.
        case: String,
        /// The row.
        row: usize,
        /// Tokens forced in it.
        forced: usize,
        /// Tokens to generate.
        generate: usize,
    },
    /// No rows, a row without tokens, or rows of different lengths.
    #[error("case `{case}`: {problem}; every row needs the same number of tokens, at least one")]
    Rows {
        /// The case.
        case: String,
        /// What was found.
        problem: String,
    },
    /// The schedule does not consume exactly the tokens.
    #[error(
        "case `{case}`: the schedule {schedule:?} must be steps of at least 1 token that sum to {tokens}"
    )]
    Schedule {
        /// The case.
        case: String,
        /// The schedule found.
        schedule: Vec<usize>,
        /// Tokens per row.
        tokens: usize,
    },
    /// A token outside the vocabulary.
    #[error("case `{case}`: token id {token} in row {row} is outside the vocabulary of {vocabulary} tokens")]
    Token {
        /// The case.
        case: String,
        /// The row.
        row: usize,
        /// The id found.
        token: i64,
        /// Vocabulary size.
        vocabulary: usize,
    },
    /// More positions than the context has.
    #[error(
        "case `{case}`: {tokens} tokens and {generate} generated ones need {needed} positions; the model's context limit is {context}"
    )]
    Context {
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
}

impl Case {
    /// `B`.
    pub fn batch(&self) -> usize {
        self.token_ids.len()
    }

    /// `T`.
    pub fn tokens(&self) -> usize {
        self.token_ids.first().map_or(0, Vec::len)
    }

    /// The tokens of each step, as a range of positions. The start is the past `P`, the length is `S`.
    pub fn steps(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.schedule.iter().scan(0, |past, &new| {
            let step = *past..*past + new;
            *past = step.end;
            Some(step)
        })
    }

    /// Checks everything a model relies on; see [`CaseError`].
    pub fn validate(&self, vocabulary: usize, context: usize) -> Result<(), CaseError> {
        self.validate_id()?;
        self.validate_rows()?;
        self.validate_schedule()?;
        self.validate_tokens(vocabulary)?;
        self.validate_context(context)
    }

    fn validate_id(&self) -> Result<(), CaseError> {
        let in_form = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.id.is_empty() || !self.id.bytes().all(in_form) {
            return Err(CaseError::Id { case: self.id.clone() });
        }
        Ok(())
    }

    fn validate_rows(&self) -> Result<(), CaseError> {
        let (rows, tokens) = (self.batch(), self.tokens());
        if tokens == 0 {
            return Err(CaseError::Rows { case: self.id.clone(), problem: "the prompt is empty".to_owned() });
        }
        if let Some(row) = self.token_ids.iter().position(|row| row.len() != tokens) {
            let problem =
                format!("row 0 has {tokens} tokens and row {row} has {}", self.token_ids[row].len());
            return Err(CaseError::Rows { case: self.id.clone(), problem });
        }
        let companions =
            [("texts", self.texts.as_ref().map(Vec::len)), ("forced", self.forced.as_ref().map(Vec::len))];
        for (field, found) in companions {
            if let Some(found) = found.filter(|&found| found != rows) {
                return Err(CaseError::PerRow { case: self.id.clone(), field, found, rows });
            }
        }
        for (row, ids) in self.forced.iter().flatten().enumerate() {
            if ids.len() > self.generate {
                let (case, forced) = (self.id.clone(), ids.len());
                return Err(CaseError::Forced { case, row, forced, generate: self.generate });
            }
        }
        Ok(())
    }

    fn validate_schedule(&self) -> Result<(), CaseError> {
        let tokens = self.tokens();
        let consumed = self.schedule.iter().try_fold(0usize, |sum, &step| sum.checked_add(step));
        if self.schedule.contains(&0) || consumed != Some(tokens) {
            return Err(CaseError::Schedule {
                case: self.id.clone(),
                schedule: self.schedule.clone(),
                tokens,
            });
        }
        Ok(())
    }

    fn validate_tokens(&self, vocabulary: usize) -> Result<(), CaseError> {
        let outside = |id: i64| usize::try_from(id).map_or(true, |id| id >= vocabulary);
        let forced = self.forced.iter().flatten();
        for (row, ids) in self.token_ids.iter().enumerate().chain(forced.enumerate()) {
            if let Some(&token) = ids.iter().find(|&&id| outside(id)) {
                return Err(CaseError::Token { case: self.id.clone(), row, token, vocabulary });
            }
        }
        Ok(())
    }

    fn validate_context(&self, context: usize) -> Result<(), CaseError> {
        let (tokens, generate) = (self.tokens(), self.generate);
        // The last generated token is not fed back.
        let needed = tokens.saturating_add(generate.saturating_sub(1));
        if needed > context {
            return Err(CaseError::Context { case: self.id.clone(), tokens, generate, needed, context });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, CaseError};

    /// Two rows of four tokens, three in the first step, and two to be generated.
    fn case() -> Case {
        Case {
            id: "sample".to_owned(),
            token_ids: vec![vec![1, 2, 3, 4], vec![5, 6, 7, 0]],
            texts: None,
            schedule: vec![3, 1],
            generate: 2,
            forced: None,
        }
    }

    fn problem(case: &Case) -> CaseError {
        case.validate(8, 5).unwrap_err()
    }

    #[test]
    fn a_case_that_just_fits() {
        // The last generated token is not fed back: 4 + 2 − 1 positions.
        assert_eq!(case().validate(8, 5), Ok(()));
        assert_eq!(Case { generate: 0, ..case() }.validate(8, 4), Ok(()));
        assert_eq!(Case { generate: 1, ..case() }.validate(8, 4), Ok(()));
        assert_eq!((case().batch(), case().tokens()), (2, 4));
        assert_eq!(case().steps().collect::<Vec<_>>(), [0..3, 3..4]);
    }

    #[test]
    fn the_context_limit_is_named() {
        let error = case().validate(8, 4).unwrap_err();
        assert!(matches!(error, CaseError::Context { needed: 5, context: 4, .. }));
        assert!(error.to_string().contains("context limit is 4"), "{error}");
        let endless = Case { generate: usize::MAX, ..case() };
        assert!(matches!(problem(&endless), CaseError::Context { .. }));
    }

    #[test]
    fn rows_are_equally_long_and_not_empty() {
        for token_ids in [vec![], vec![vec![]], vec![vec![], vec![1]], vec![vec![1, 2], vec![1]]] {
            let case = Case { token_ids, schedule: vec![1], ..case() };
            assert!(matches!(problem(&case), CaseError::Rows { .. }), "{case:?}");
        }
    }

    #[test]
    fn ids_are_safe_in_file_names() {
        for id in ["", "A", "a b", "a/b", "..", "a.b", "a_b", "é", "a\n"] {
            let case = Case { id: id.to_owned(), ..case() };
            assert_eq!(problem(&case), CaseError::Id { case: id.to_owned() });
        }
    }

    #[test]
    fn texts_and_forced_tokens_are_per_row() {
        for texts in [vec![], vec![String::new()], vec![String::new(); 3]] {
            let case = Case { texts: Some(texts), ..case() };
            assert!(matches!(problem(&case), CaseError::PerRow { field: "texts", rows: 2, .. }));
        }
        for rows in [0, 1, 3] {
            let case = Case { forced: Some(vec![vec![]; rows]), ..case() };
            assert!(matches!(problem(&case), CaseError::PerRow { field: "forced", rows: 2, .. }));
        }
        let forced = |ids| Case { forced: Some(vec![vec![1], ids]), ..case() };
        assert_eq!(forced(vec![1, 2]).validate(8, 5), Ok(()));
        assert!(matches!(
            problem(&forced(vec![1, 2, 3])),
            CaseError::Forced { row: 1, forced: 3, generate: 2, .. }
        ));
    }

    #[test]
    fn the_schedule_consumes_every_token_once() {
        for schedule in [vec![], vec![3], vec![3, 2], vec![4, 0], vec![0, 4], vec![usize::MAX, 5], vec![5]] {
            let case = Case { schedule, ..case() };
            assert!(matches!(problem(&case), CaseError::Schedule { tokens: 4, .. }), "{case:?}");
        }
    }

    #[test]
    fn tokens_are_in_the_vocabulary() {
        for token in [-1, 8, i64::MIN, i64::MAX] {
            let mut outside = case();
            outside.token_ids[1][2] = token;
            let error = problem(&outside);
            assert!(
                matches!(error, CaseError::Token { row: 1, token: found, .. } if found == token),
                "{error}"
            );
            let forced = Case { forced: Some(vec![vec![], vec![0, token]]), ..case() };
            assert!(matches!(problem(&forced), CaseError::Token { row: 1, .. }));
        }
    }

    #[test]
    fn no_vocabulary_holds_no_token() {
        let error = case().validate(0, 5).unwrap_err();
        assert!(error.to_string().contains("vocabulary of 0 tokens"), "{error}");
    }

    #[test]
    fn json_is_read_back_and_takes_no_unknown_field() {
        let text = serde_json::to_string(&case()).unwrap();
        assert_eq!(serde_json::from_str::<Case>(&text).unwrap(), case());
        let more = text.replacen('{', r#"{"temperature":0,"#, 1);
        assert!(serde_json::from_str::<Case>(&more).unwrap_err().to_string().contains("`temperature`"));
        let twice = text.replacen('{', r#"{"id":"other","#, 1);
        assert!(
            serde_json::from_str::<Case>(&twice).unwrap_err().to_string().contains("duplicate field `id`")
        );
    }
}
