//! Names of a dump's tensors, by the model's own names or by a map.

use std::collections::BTreeMap;

use capture::TensorName;
use capture::dump::Dump;

use super::BringError;
use crate::map::{Entry, Map};
use crate::model::Subject;
use crate::template::{filled, matched};

/// Which tensors of a dump are which activations.
pub(crate) type Named<'a> = BTreeMap<TensorName, (&'a str, Option<&'a Entry>)>;

/// Tensors that a map knows and that are not needed, with the reason.
pub(crate) type Spare<'a> = BTreeMap<&'a str, String>;

/// By the model's own names: `step0/h.3.attn.q`, or `h.3.attn.q` for the first step.
pub(crate) fn own_names<'a>(dump: &'a Dump, subject: &Subject) -> Result<Named<'a>, BringError> {
    let mut named: Named<'a> = BTreeMap::new();
    for tensor in dump.tensors.keys() {
        let Some(ours) = own_name(tensor, subject) else { continue };
        if let Some((first, _)) = named.get(&ours) {
            let twice = (dump.tensors.get(*first), dump.tensors.get(tensor));
            if twice.0 != twice.1 {
                let (first, second) = ((*first).to_owned(), tensor.clone());
                return Err(BringError::Twice { ours, first, second });
            }
            continue;
        }
        named.insert(ours, (tensor, None));
    }
    Ok(named)
}

fn own_name(tensor: &str, subject: &Subject) -> Option<TensorName> {
    let parsed = TensorName::parse(tensor)?;
    let known = subject.specs.activations().find(|(_, _, activation)| {
        matched(&activation.name, &parsed.activation, subject.architecture().layers).is_some()
    });
    let (_, _, activation) = known?;
    let of_case = activation.steps == checkpoint_spec::Steps::Case;
    match (of_case, parsed.step) {
        (true, None) | (false, Some(_)) => Some(parsed),
        (true, Some(_)) => None,
        (false, None) => Some(TensorName::of_step(0, parsed.activation)),
    }
}

/// By a map. `strict` refuses a map of which two entries hold of one activation; where it is not, the first one counts.
pub(crate) fn mapped_names<'a>(
    dump: &'a Dump,
    map: &'a Map,
    subject: &Subject,
    strict: bool,
) -> Result<(Named<'a>, Spare<'a>), BringError> {
    let cores = dump.tensors.keys().map(|tensor| {
        let (step, rest) = step_of(tensor);
        (tensor.as_str(), step, map.cores(rest))
    });
    let mut mapping = Mapping {
        dump,
        subject,
        strict,
        cores: cores.collect(),
        found: BTreeMap::new(),
        by: BTreeMap::new(),
        spare: Spare::new(),
    };
    for (index, entry) in map.entries.iter().enumerate() {
        if entry.is_of(subject.architecture()) && knows(subject, &entry.ours) {
            mapping.take(index, entry)?;
        } else if strict && !is_of_family(subject, &entry.ours) {
            return Err(unknown(subject, &entry.ours));
        }
    }
    let with_entry =
        |(ours, (index, tensor)): (TensorName, (usize, &'a str))| (ours, (tensor, map.entries.get(index)));
    let mut spare = mapping.spare;
    spare.retain(|tensor, _| !mapping.by.contains_key(tensor));
    Ok((mapping.found.into_iter().map(with_entry).collect(), spare))
}

struct Mapping<'a, 'b> {
    dump: &'a Dump,
    subject: &'b Subject,
    strict: bool,
    /// Every tensor with its step, and its name without what is around it.
    cores: Vec<(&'a str, usize, Vec<String>)>,
    found: BTreeMap<TensorName, (usize, &'a str)>,
    /// By which of their names in the map each tensor was taken: a fused one by several entries of the same name.
    by: BTreeMap<&'a str, &'a str>,
    spare: Spare<'a>,
}

impl<'a> Mapping<'a, '_> {
    fn take(&mut self, index: usize, entry: &'a Entry) -> Result<(), BringError> {
        let layers = self.subject.architecture().layers;
        let named = |(tensor, step, cores): &(&'a str, usize, Vec<String>)| {
            let layer = cores.iter().find_map(|core| matched(&entry.theirs, core, layers))?;
            Some((*tensor, *step, layer))
        };
        let named: Vec<_> = self.cores.iter().filter_map(named).collect();
        for (tensor, step, layer) in named {
            let activation = layer.map_or_else(|| entry.ours.clone(), |layer| filled(&entry.ours, layer));
            if activation.contains("{l") || !knows(self.subject, &activation) {
                continue;
            }
            if self.by.get(tensor).is_some_and(|by| *by != entry.theirs.as_str()) {
                continue;
            }
            self.put(index, entry, tensor, TensorName::of_step(step, activation))?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        index: usize,
        entry: &'a Entry,
        tensor: &'a str,
        ours: TensorName,
    ) -> Result<(), BringError> {
        match self.found.get(&ours) {
            Some((of, first))
                if (*of == index || self.strict)
                    && self.dump.tensors[*first] != self.dump.tensors[tensor] =>
            {
                let (first, second) = ((*first).to_owned(), tensor.to_owned());
                return Err(BringError::Twice { ours, first, second });
            }
            Some((_, first)) => {
                let same = if self.dump.tensors[*first] == self.dump.tensors[tensor] {
                    "the same values"
                } else {
                    "not the same"
                };
                let why = format!("`{}` is taken from {first}, {same}", ours.activation);
                self.spare.entry(tensor).or_insert(why);
            }
            None => {
                self.found.insert(ours, (index, tensor));
                self.by.insert(tensor, &entry.theirs);
            }
        }
        Ok(())
    }
}

fn knows(subject: &Subject, ours: &str) -> bool {
    subject.specs.activations().any(|(_, _, activation)| activation.name == ours)
        || matched_by_any(subject, ours)
}

/// One layer of an activation that there is in all of them.
fn matched_by_any(subject: &Subject, ours: &str) -> bool {
    let layers = subject.architecture().layers;
    subject.specs.activations().any(|(_, _, activation)| matched(&activation.name, ours, layers).is_some())
}

/// What models of the family with other features have is passed over.
fn is_of_family(subject: &Subject, ours: &str) -> bool {
    let sources = checkpoint_spec::SpecSet::sources(&subject.specs.family.name).unwrap_or_default();
    sources.iter().any(|(_, text)| text.contains(&format!("name = \"{ours}\""))) || knows(subject, ours)
}

fn unknown(subject: &Subject, ours: &str) -> BringError {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let mut known: Vec<String> = subject
        .specs
        .activations()
        .filter(|(_, _, activation)| activation.op.is_some())
        .map(|(_, _, activation)| format!("`{}`", activation.name))
        .collect();
    known.sort_by_key(|name| !last(name).starts_with(&last(ours)));
    BringError::Unknown { ours: ours.to_owned(), known: known.join(", ") }
}

/// `step2/rest`, with any mark between; a name that begins otherwise is of the first step.
fn step_of(name: &str) -> (usize, &str) {
    let read = || {
        let rest = name.strip_prefix("step")?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let step = rest[..digits].parse().ok()?;
        let rest = rest[digits..].strip_prefix(['/', '.', '_', '-', ':'])?;
        Some((step, rest))
    };
    read().unwrap_or((0, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_from_names() {
        assert_eq!(step_of("step2/h.0.q"), (2, "h.0.q"));
        assert_eq!(step_of("step12_x"), (12, "x"));
        assert_eq!(step_of("stepwise"), (0, "stepwise"));
    }
}
