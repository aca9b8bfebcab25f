//! The model: where it can be loaded from, once its files are known to be those of the materials.

use super::{Problem, Room, VerifyError, Visit};
use crate::model::ModelError;
use crate::{Materials, ModelFiles, layout};

impl Visit<'_> {
    /// Where the model can be loaded from. One that came with the bundle must be that of the materials; where one that
    /// somebody has is another, the bundle is about another model than was asked about.
    pub(super) fn model(&mut self, materials: &Materials) -> Room<()> {
        match ModelFiles::in_bundle(self.directory, materials) {
            Ok(model) => self.model = model,
            Err(ModelError::Io { path, source }) => return Err(VerifyError::Io { path, source }),
            Err(error) => return Ok(Err(vec![Problem::at(layout::MODEL, error.to_string())])),
        }
        let here = if self.model.is_some() { "in the bundle" } else { "not in the bundle" };
        let Some(folder) = self.demands.model else {
            let rest = if self.model.is_some() {
                "its files are those of the materials"
            } else {
                "its digests stand for it; --model DIR says where it is"
            };
            self.say("model", &format!("{here}; {rest}"));
            return Ok(Ok(()));
        };
        match ModelFiles::given(folder, materials) {
            Ok(given) => {
                self.say("model", &format!("{here}; the given one has the same files"));
                self.model.get_or_insert(given);
            }
            Err(ModelError::Io { path, source }) => return Err(VerifyError::Io { path, source }),
            Err(error) => {
                let what = format!("the bundle is about another model than the given one: {error}");
                self.say("stale", &what);
                self.stale.push(what);
            }
        }
        Ok(Ok(()))
    }
}
