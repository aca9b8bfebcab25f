//! The worker protocol: how an implementation that is a program of its own is given work and answers.
//!
//! The program gets one [`WorkList`] as JSON on standard input, writes each job's capture where the job says, and
//! answers on standard output with one [`Event`] as JSON per line. Standard error is free text, kept as evidence. It
//! exits 0 when every job was attempted, whatever became of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Case, Identity, Precision};

/// Version of this protocol.
pub const SCHEMA: &str = "trialplate/work/2";

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

/// One capture to produce: the whole forward pass of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What the model is given.
    pub case: Case,
    /// Where the capture goes; it appears there whole or not at all.
    pub output: PathBuf,
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
    use super::{Event, Job, SCHEMA, WorkList};
    use crate::{Case, Identity, Precision};

    fn work() -> WorkList {
        let case = Case {
            id: "sample".to_owned(),
            token_ids: vec![vec![1, 2]],
            texts: Some(vec!["a \"b\"\n".to_owned()]),
            schedule: vec![2],
            generate: 1,
            forced: Some(vec![vec![3]]),
        };
        let job = |output: &str| Job { case: case.clone(), output: output.into() };
        WorkList {
            schema: SCHEMA.to_owned(),
            implementation: "torch".to_owned(),
            precision: Precision::F64,
            model: "models/gpt2".into(),
            threads: 2,
            jobs: vec![job("out/first.safetensors"), job("out/second.safetensors")],
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
        assert_eq!(changed.len(), 5, "the list, two jobs, and in each a case");
        for text in changed {
            let error = serde_json::from_str::<WorkList>(&text).unwrap_err().to_string();
            assert!(error.contains("unknown field `surplus`"), "{text}: {error}");
        }
        for text in
            events().iter().flat_map(|event| with_one_field_more(&serde_json::to_string(event).unwrap()))
        {
            let error = serde_json::from_str::<Event>(&text).unwrap_err().to_string();
            assert!(error.contains("unknown field `surplus`"), "{text}: {error}");
        }
    }

    #[test]
    fn unknown_events_are_rejected() {
        for text in [r#"{"event":"ready"}"#, r#"{"event":"done","job":-1}"#, r#"{"event":"gone","job":1}"#] {
            assert!(serde_json::from_str::<Event>(text).is_err(), "{text}");
        }
    }
}
