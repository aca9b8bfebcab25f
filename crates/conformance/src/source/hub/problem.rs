//! What a hub can answer beside a file, in words that say what to do.

use std::{fmt, io};

use anyhow::anyhow;
use hf_hub::api::sync::ApiError;

use super::{Hub, Wanted};
use harness::exit::usage;

/// Why there is no file.
#[derive(Debug)]
pub(super) enum Problem {
    /// HTTP 404.
    Missing,
    /// HTTP 401 or 403. Hubs answer so for repositories that are not there, too.
    Refused(u16),
    /// Any other HTTP status.
    Status(u16),
    /// No answer.
    Unreachable(String),
    /// An answer that no hub gives.
    Strange(String),
    /// The transfer broke off, or what arrived is not what was announced, or it cannot be written.
    Broken(String),
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(404) => Self::Missing,
                ureq::Error::StatusCode(status @ (401 | 403)) => Self::Refused(status),
                ureq::Error::StatusCode(status) => Self::Status(status),
                error => Self::Unreachable(error.to_string()),
            },
            ApiError::IoError(error) => error.into(),
            ApiError::InvalidResume => Self::Broken("more arrived earlier than the file has".to_owned()),
            error @ ApiError::LockAcquisition(_) => {
                Self::Broken(format!("{error}: another run downloads it"))
            }
            error => Self::Strange(error.to_string()),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the hub does not have it (HTTP 404)"),
            Self::Refused(status) => write!(f, "the hub does not let us read it (HTTP {status})"),
            Self::Status(status) => write!(f, "the hub answered HTTP {status}"),
            Self::Unreachable(why) => write!(f, "the hub cannot be reached ({why})"),
            Self::Strange(what) => write!(f, "the answer is not a hub's ({what})"),
            Self::Broken(what) => write!(f, "the download did not succeed ({what})"),
        }
    }
}

impl Hub {
    /// What was asked for and found, and what to do. What names nothing that can be read is the user's to change; the
    /// rest is the network's.
    pub(super) fn tell(&self, problem: &Problem, wanted: &Wanted, file: &str) -> anyhow::Error {
        let endpoint = &self.endpoint;
        let page = format!("{endpoint}/{}", wanted.repository);
        let found = format!("{wanted}: {file}: {problem}");
        match problem {
            Problem::Missing => usage(format!(
                "{found}; expected a model repository with that file at that revision: look at {page}, and give \
                 hf:OWNER/NAME[@REVISION]"
            )),
            Problem::Refused(_) => {
                let token = if self.has_token { "was sent and does not suffice" } else { "is not set" };
                usage(format!(
                    "{found}; HF_TOKEN {token}: either there is no such repository, or it is private or gated. Look \
                     at {page}, accept its terms there, and set HF_TOKEN to a token that may read it"
                ))
            }
            Problem::Status(_) => anyhow!("{found}; {endpoint} may be busy: try again later"),
            Problem::Unreachable(_) => anyhow!(
                "{found}; check the network and HF_ENDPOINT ({endpoint}), or give a directory: --model DIR"
            ),
            Problem::Strange(_) => {
                anyhow!("{found}; expected a Hugging Face hub at HF_ENDPOINT ({endpoint})")
            }
            Problem::Broken(_) => anyhow!(
                "{found}; run the command again: it goes on where this ended. Downloads are in {}",
                self.downloads.path().display()
            ),
        }
    }
}
