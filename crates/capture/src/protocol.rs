//! The worker protocol: how an implementation that is a program of its own is given work and answers.
//!
//! The program gets one [`WorkList`] as JSON on standard input, writes each job's capture where the job says, and
//! answers on standard output with one [`Event`] as JSON per line. Standard error is free text, kept as evidence. It
//! exits 0 when every job was attempted, whatever became of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Case, Identity, Precision};

/// Version of this protocol.
pub const SCHEMA: &str = "trialplate/work/1";

/// All that one process is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkList {
    /// [`SCHEMA`].
    pub schema: String,
    /// Which implementation, for programs that hold several: `torch`, `tinygrad`.
    pub implementation: String,
    /// What to compute in.
    pub precision: Precision,
    /// Directory of the model in Hugging Face format.
    pub model: PathBuf,
    /// Threads to compute with.
    pub threads: usize,
    /// The jobs, done in order.
    pub jobs: Vec<Job>,
}

/// One capture to produce.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What the model is given.
    pub case: Case,
    /// Chained or isolated.
    pub task: Task,
    /// Where the capture goes; it appears there whole or not at all.
    pub output: PathBuf,
}

/// Chained or isolated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", try_from = "RawTask")]
pub enum Task {
    /// The whole forward pass.
    Run,
    /// Each activation alone, from its direct inputs.
    Replay {
        /// The capture that holds the inputs.
        inputs: PathBuf,
        /// When the error bound of each element is wanted too (f64 only). The capture then has `magnitude/NAME` beside
        /// each float `NAME`.
        magnitudes: Option<Magnitudes>,
    },
}

/// Of what the error bounds are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Magnitudes {
    /// `c`: how many standard errors a correct implementation may be off.
    pub confidence: f64,
    /// Where results are stored in half precision; none for f32. The bounds are in units of that precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
}

/// Where a subject that computes in f32 stores in half precision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The half precision.
    pub precision: Precision,
    /// By activation, `{l}` not filled in.
    pub rounds: BTreeMap<String, Vec<Rounds>>,
}

/// What is rounded to half precision where an activation is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounds {
    /// What it is computed from.
    Inputs,
    /// Matrices, scales, biases and tables.
    Weights,
    /// Results inside the operation.
    Intermediates,
    /// The result.
    Output,
    /// What its parts say; for composites.
    Parts,
}

/// [`Task`] as it is read: serde would take any field beside a variant that has none of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
enum RawTask {
    Run {},
    Replay { inputs: PathBuf, magnitudes: Option<Magnitudes> },
}

impl TryFrom<RawTask> for Task {
    type Error = String;

    fn try_from(raw: RawTask) -> Result<Self, String> {
        match raw {
            RawTask::Run {} => Ok(Self::Run),
            RawTask::Replay { magnitudes: Some(Magnitudes { confidence: c, .. }), .. }
                if !(c.is_finite() && c > 0.0) =>
            {
                Err(format!("the confidence of `magnitudes` is {c}, expected a number above 0"))
            }
            RawTask::Replay { magnitudes: Some(Magnitudes { storage: Some(storage), .. }), .. }
                if !storage.precision.is_half() =>
            {
                Err(format!("the storage of `magnitudes` is {}, expected f16 or bf16", storage.precision))
            }
            RawTask::Replay { inputs, magnitudes } => Ok(Self::Replay { inputs, magnitudes }),
        }
    }
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The model is loaded. Said once, before anything else.
    Ready {
        /// Who is going to compute; its name and precision are those of the work list.
        identity: Identity,
    },
    /// A job's capture is in place.
    Done {
        /// Index of the job.
        job: usize,
    },
    /// A job could not be done; the next one is tried all the same.
    Failed {
        /// Index of the job.
        job: usize,
        /// What was found, what was expected, and what to do.
        error: String,
    },
}

#[cfg(test)]
mod tests {
    use super::{Event, Job, Magnitudes, Rounds, SCHEMA, Storage, Task, WorkList};
    use crate::{Case, Identity, Precision};

    fn magnitudes() -> Magnitudes {
        let rounds = [("embd".to_owned(), vec![Rounds::Weights, Rounds::Output])].into();
        Magnitudes { confidence: 4.875, storage: Some(Storage { precision: Precision::Bf16, rounds }) }
    }

    fn work() -> WorkList {
        let case = Case {
            id: "sample".to_owned(),
            token_ids: vec![vec![1, 2]],
            texts: Some(vec!["a \"b\"\n".to_owned()]),
            schedule: vec![2],
            generate: 1,
            forced: Some(vec![vec![3]]),
        };
        let job = |task| Job { case: case.clone(), task, output: "out/run.safetensors".into() };
        WorkList {
            schema: SCHEMA.to_owned(),
            implementation: "torch".to_owned(),
            precision: Precision::F64,
            model: "models/gpt2".into(),
            threads: 2,
            jobs: vec![
                job(Task::Run),
                job(Task::Replay { inputs: "in.safetensors".into(), magnitudes: Some(magnitudes()) }),
            ],
        }
    }

    fn events() -> [Event; 3] {
        let identity = Identity {
            name: "torch".to_owned(),
            version: "2".to_owned(),
            precision: Precision::F32,
            device: "cpu".to_owned(),
        };
        [
            Event::Ready { identity },
            Event::Done { job: 0 },
            Event::Failed { job: 1, error: "no\nmemory".to_owned() },
        ]
    }

    /// The JSON with one more field at the start of each object in turn.
    fn with_one_field_more(text: &str) -> Vec<String> {
        let starts = text.match_indices('{').map(|(index, _)| index + 1);
        starts.map(|start| format!(r#"{}"surplus":1,{}"#, &text[..start], &text[start..])).collect()
    }

    #[test]
    fn work_is_read_back() {
        let text = serde_json::to_string(&work()).unwrap();
        assert_eq!(serde_json::from_str::<WorkList>(&text).unwrap(), work());
        assert!(text.contains(r#""task":{"kind":"run"}"#), "{text}");
        assert!(
            text.contains(
                r#""magnitudes":{"confidence":4.875,"storage":{"precision":"bf16","rounds":{"embd":["weights","output"]}}}"#
            ),
            "{text}"
        );
    }

    #[test]
    fn events_are_one_line_each_and_read_back() {
        for event in events() {
            let text = serde_json::to_string(&event).unwrap();
            assert!(!text.contains('\n'), "{text}");
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
        assert_eq!(serde_json::to_string(&events()[1]).unwrap(), r#"{"event":"done","job":0}"#);
    }

    #[test]
    fn unknown_fields_are_rejected_everywhere() {
        let text = serde_json::to_string(&work()).unwrap();
        let changed = with_one_field_more(&text);
        assert_eq!(
            changed.len(),
            10,
            "the list, two jobs, in each a case and a task, and three of the magnitudes"
        );
        for text in changed {
            let error = serde_json::from_str::<WorkList>(&text).unwrap_err().to_string();
            let entry_of_rounds = text.contains(r#""rounds":{"surplus""#) && error.contains("invalid type");
            assert!(entry_of_rounds || error.contains("unknown field `surplus`"), "{text}: {error}");
        }
        for text in
            events().iter().flat_map(|event| with_one_field_more(&serde_json::to_string(event).unwrap()))
        {
            let error = serde_json::from_str::<Event>(&text).unwrap_err().to_string();
            assert!(error.contains("unknown field `surplus`"), "{text}: {error}");
        }
    }

    #[test]
    fn unknown_kinds_are_rejected() {
        let negative = r#"{"kind":"replay","inputs":"in","magnitudes":{"confidence":-1.0}}"#;
        let not_half = r#"{"kind":"replay","inputs":"in","magnitudes":{"confidence":1.0,"storage":{"precision":"f32","rounds":{}}}}"#;
        for text in [
            negative,
            not_half,
            r#"{"kind":"Run"}"#,
            r#"{"kind":"train"}"#,
            "{}",
            r#"{"kind":"run","kind":"run"}"#,
        ] {
            assert!(serde_json::from_str::<Task>(text).is_err(), "{text}");
        }
        for text in [r#"{"event":"ready"}"#, r#"{"event":"done","job":-1}"#, r#"{"event":"gone","job":1}"#] {
            assert!(serde_json::from_str::<Event>(text).is_err(), "{text}");
        }
    }
}
