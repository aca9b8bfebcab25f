//! Names of a dump, brought over by a map where there is one.

use std::collections::BTreeMap;

use capture::dump::{Dump, DumpTensor};

use crate::axes::{Axes, Due, Ways};
use crate::exit::Problem;
use crate::map::{Entry, Map};
use crate::template::{filled, matched};

/// The order in which axes are laid side by side.
const ORDER: [char; 7] = ['b', 'h', 's', 'k', 'd', 'w', 'p'];

/// The tensors by the names of the map; those that it does not name under their own.
pub(super) fn named(
    dump: &Dump,
    map: Option<&Map>,
    layers: usize,
) -> Result<BTreeMap<String, DumpTensor>, Problem> {
    let Some(map) = map else { return Ok(dump.tensors.clone()) };
    let mut named: BTreeMap<String, (DumpTensor, &str)> = BTreeMap::new();
    for (name, tensor) in &dump.tensors {
        let mut ours = Vec::new();
        for entry in &map.entries {
            let layer = map.cores(name).iter().find_map(|core| matched(&entry.theirs, core, layers));
            if let Some(layer) = layer {
                let activation = layer.map_or_else(|| entry.ours.clone(), |layer| filled(&entry.ours, layer));
                ours.push((activation, ordered(name, tensor, entry)?));
            }
        }
        if ours.is_empty() {
            ours.push((name.clone(), tensor.clone()));
        }
        for (ours, tensor) in ours {
            if let Some((other, first)) = named.get(&ours) {
                if *first != name.as_str() && *other != tensor {
                    return Err(Problem::Usage(format!(
                        "both {first:?} and {name:?} are `{ours}` by the map, and they are not the same; a map sends one \
                         tensor to each name"
                    )));
                }
                continue;
            }
            named.insert(ours, (tensor, name));
        }
    }
    Ok(named.into_iter().map(|(ours, (tensor, _))| (ours, tensor)).collect())
}

/// With its axes in the order in which all are laid side by side.
fn ordered(name: &str, tensor: &DumpTensor, entry: &Entry) -> Result<DumpTensor, Problem> {
    let Some(axes) = &entry.axes else { return Ok(tensor.clone()) };
    let problem = |problem: &dyn ToString| Problem::Usage(format!("{name:?}: {}", problem.to_string()));
    let axes = Axes::parse(axes).map_err(|error| problem(&error))?;
    let mut due: Vec<Due> = Vec::new();
    for letter in ORDER {
        if axes.letters().any(|there| there == letter) {
            let length = axes.length(letter, &tensor.shape).ok_or_else(|| {
                problem(&format!(
                    "without a model it is not known how `{axes}` parts the shape {:?}; use `check`, or leave these axes \
                     out of the map",
                    tensor.shape
                ))
            })?;
            due.push((letter, length));
        }
    }
    let places = axes.places(&due, &tensor.shape, &Ways::default()).map_err(|error| problem(&error))?;
    let size = tensor.dtype.size();
    let bytes = places.iter().flat_map(|place| tensor.bytes()[place * size..(place + 1) * size].to_vec());
    let shape: Vec<usize> = due.iter().map(|(_, length)| *length).collect();
    DumpTensor::new(tensor.dtype, &shape, bytes.collect()).map_err(|error| problem(&error))
}

#[cfg(test)]
mod tests {
    use capture::dump::DumpDtype;

    use super::*;

    fn tensor(shape: &[usize]) -> DumpTensor {
        let count: usize = shape.iter().product();
        DumpTensor::new(DumpDtype::U8, shape, (0..count).map(|byte| byte as u8).collect()).unwrap()
    }

    #[test]
    fn axes_come_into_one_order() {
        let map = |axes: &str| {
            Map::parse(
                "m",
                &format!("[[tensor]]\ntheirs = \"q.{{l}}\"\nours = \"h.{{l}}.attn.q\"\naxes = \"{axes}\""),
            )
            .unwrap()
        };
        let dump = Dump { tensors: [("q.0".to_owned(), tensor(&[2, 3]))].into(), notes: Vec::new() };
        let [by_head, by_position] = ["h s", "s h"].map(|axes| named(&dump, Some(&map(axes)), 4).unwrap());
        assert_eq!(by_head["h.0.attn.q"].shape, [2, 3]);
        assert_eq!(by_position["h.0.attn.q"].bytes(), [0, 3, 1, 4, 2, 5]);
        let joined = named(&dump, Some(&map("s (h d)")), 4).unwrap_err();
        assert!(joined.to_string().contains("without a model"));
    }

    #[test]
    fn two_tensors_of_one_name_are_refused() {
        let text = "[[tensor]]\ntheirs = \"a\"\nours = \"c\"\n[[tensor]]\ntheirs = \"b\"\nours = \"c\"";
        let map = Map::parse("m", text).unwrap();
        let tensors = [("a".to_owned(), tensor(&[2])), ("b".to_owned(), tensor(&[3]))].into();
        let problem = named(&Dump { tensors, notes: Vec::new() }, Some(&map), 4).unwrap_err();
        assert!(problem.to_string().contains("both \"a\" and \"b\" are `c`"), "{problem}");
    }
}
