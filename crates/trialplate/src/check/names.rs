//! How the names of a dump are understood.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use capture::dump::Dump;

use super::{CheckOptions, Names, case};
use crate::bring::{Named, Spare, mapped_names, own_names};
use crate::exit::Problem;
use crate::guess::{self, Guess};
use crate::map::Map;
use crate::model::Subject;

/// What is known before anything is judged.
pub(super) struct Understood<'a> {
    /// Which tensor is which activation.
    pub(super) named: Named<'a>,
    /// Tensors that are known and not needed.
    pub(super) spare: Spare<'a>,
    /// In words, how names were understood.
    pub(super) how: String,
    /// A guess, as a map to keep.
    pub(super) guessed: Option<String>,
}

/// The tensors of a dump by the model's names.
pub(super) fn understand<'a>(
    dump: &'a Dump,
    subject: &Subject,
    options: &'a CheckOptions,
    presets: &'a [(String, Map)],
    guess: &'a OnceCell<Guess>,
) -> Result<Understood<'a>, Problem> {
    let understood = match &options.names {
        Names::Map(name, map) => {
            // A preset has several names for one activation; a map of the user's has one.
            let is_own = !presets.iter().any(|(known, _)| known == name);
            let (named, spare) = mapped_names(dump, map, subject, is_own).map_err(Problem::usage)?;
            Understood { named, spare, how: format!("by the map {name}"), guessed: None }
        }
        Names::Any => any(dump, subject, options, presets, guess)?,
    };
    if understood.named.is_empty() {
        let names: Vec<&str> = dump.tensors.keys().map(String::as_str).take(8).collect();
        return Err(Problem::Usage(format!(
            "no tensor of the dump is an activation of this model, {}; it holds {}{}; say with --map FILE which is which \
             (`trialplate check --help` shows one)",
            understood.how,
            names.join(", "),
            if dump.tensors.len() > names.len() { ", …" } else { "" },
        )));
    }
    Ok(understood)
}

/// The names that most tensors have: the model's own first, for they need no interpretation.
fn any<'a>(
    dump: &'a Dump,
    subject: &Subject,
    options: &CheckOptions,
    presets: &'a [(String, Map)],
    guess: &'a OnceCell<Guess>,
) -> Result<Understood<'a>, Problem> {
    let own = own_names(dump, subject).map_err(Problem::usage)?;
    let how = "by the model's own names".to_owned();
    let mut best = Understood { named: own, spare: Spare::new(), how, guessed: None };
    let family = &subject.specs.family.name;
    for (name, map) in
        presets.iter().filter(|(_, map)| map.families.is_empty() || map.families.contains(family))
    {
        let (named, spare) = mapped_names(dump, map, subject, false).map_err(Problem::usage)?;
        if named.len() > best.named.len() {
            best = Understood {
                named,
                spare,
                how: format!("by the preset {name} ({})", map.about),
                guessed: None,
            };
        }
    }
    let used: BTreeSet<&str> = best.named.values().map(|(tensor, _)| *tensor).collect();
    let is_unknown = |name: &str| !used.contains(name) && !best.spare.contains_key(name);
    let floats = dump.tensors.iter().filter(|(_, tensor)| tensor.dtype.is_float());
    let (unknown, all) =
        floats.fold((0, 0), |(unknown, all), (name, _)| (unknown + usize::from(is_unknown(name)), all + 1));
    if unknown * 2 <= all {
        return Ok(best);
    }
    // Most names are none that are known.
    let given = case::of(dump, &mut Named::new(), subject, &options.tokens).ok().filter(|given| given.known);
    let Some(found) = given.and_then(|given| guess::names(dump, subject, &given.case)) else {
        return Ok(best);
    };
    let found = guess.get_or_init(|| found);
    let (named, spare) = mapped_names(dump, &found.map, subject, false).map_err(Problem::usage)?;
    if named.len() > best.named.len() {
        let sure = match found.unsure.len() {
            0 => "sure of all that is named".to_owned(),
            _ => format!("not sure of {}", found.unsure.join(", ")),
        };
        best = Understood {
            named,
            spare,
            how: format!("{}: {sure}", found.map.about),
            guessed: Some(found.to_toml()),
        };
    }
    Ok(best)
}
