//! How the error of a whole run from the token ids on grows along the stream, beside those of replicas. It decides nothing.

use std::collections::BTreeMap;

use capture::TensorName;
use graph::{Node, Step};
use oracle::{ApplyError, Arithmetic, Array, Chain, Exact, Operand, Replica, scheduled};

use super::Part;
use crate::Measured;
use crate::assay::chained::{replicas, root_mean_square};
use crate::budget::half_format;
use crate::plan::Required;
use crate::results::{GrowthError, GrowthRow};

/// Whom the replicas' errors are of.
const REPLICAS: &str = "worst replica";

impl Part<'_> {
    /// The errors of the stream and the logits, as far as they are there. None without token ids.
    ///
    /// # Errors
    /// If the chain cannot be computed.
    pub fn growth(&self) -> Result<Vec<GrowthRow>, ApplyError> {
        let roles = &self.setting.specs.family.roles;
        let is_shown = |item: &&Required| {
            let name = &self.setting.specs.of(item).name;
            let is_in_order = !self.usable.hidden.contains(&item.name) && item.name.step.is_some();
            is_in_order && (roles.stream.contains(name) || *name == roles.logits)
        };
        let shown: Vec<&Required> = self.there.iter().filter(is_shown).collect();
        let (Some(model), Some(source), true) = (self.setting.model, self.evidence.subject, self.tokens)
        else {
            return Ok(Vec::new());
        };
        let names: Vec<&TensorName> = shown.iter().map(|item| &item.name).collect();
        let exact = self.values(Chain::new(model, Exact), &names)?;
        let half = half_format(self.setting.precision());
        let mut worst: BTreeMap<TensorName, (f64, f64)> = BTreeMap::new();
        for way in replicas(self.setting.specs) {
            let found = self.values(Chain::new(model, Replica { way, half }), &names)?;
            for (name, found) in &found {
                let found: Vec<f64> = found.iter().map(|&x| x.into()).collect();
                let (rms, largest) = errors(&exact[name], &found);
                let entry = worst.entry(name.clone()).or_default();
                *entry = (entry.0.max(rms), entry.1.max(largest));
            }
        }
        let row = |item: &&Required| {
            let found = source.tensor(&item.name).ok().flatten()?.view().to_f64_lossy();
            let own = errors(exact.get(&item.name)?, &found);
            let replica = worst.get(&item.name).copied().unwrap_or_default();
            let error = |(implementation, (rms, largest)): (&str, (f64, f64))| GrowthError {
                implementation: implementation.to_owned(),
                rmse: Measured(rms),
                max_abs: Measured(largest),
            };
            Some(GrowthRow {
                case: self.evidence.case.id.clone(),
                step: item.name.step,
                name: item.name.activation.clone(),
                layer: item.layer,
                errors: [("dump", own), (REPLICAS, replica)].map(error).into(),
            })
        };
        Ok(shown.iter().filter_map(row).collect())
    }

    /// What a run gives of these names.
    fn values<A: Arithmetic<Value = Array<T>>, T: Copy>(
        &self,
        chain: Result<Chain<'_, A>, graph::Circle>,
        names: &[&TensorName],
    ) -> Result<BTreeMap<TensorName, Vec<T>>, ApplyError> {
        let mut chain = chain.map_err(|circle| ApplyError::Inputs {
            name: "the graph".to_owned(),
            problem: circle.to_string(),
        })?;
        let (mut values, case) = (BTreeMap::new(), self.evidence.case);
        for (index, positions) in case.steps().enumerate() {
            let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
            chain.step(&scheduled(case, step), |node: &Node, value| {
                let name = TensorName::of_step(index, node.name.clone());
                if let (true, Operand::Floats(value)) = (names.contains(&&name), value) {
                    values.insert(name, value.values.clone());
                }
                Ok::<_, ApplyError>(())
            })?;
        }
        Ok(values)
    }
}

/// Root mean square and largest error.
pub(super) fn errors(exact: &[f64], found: &[f64]) -> (f64, f64) {
    let largest = exact.iter().zip(found).map(|(exact, found)| (exact - found).abs()).fold(0.0, f64::max);
    (root_mean_square(exact, found), largest)
}
