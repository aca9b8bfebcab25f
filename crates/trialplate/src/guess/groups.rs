//! Tensors that are one thing in every layer, by their names.

use std::collections::{BTreeMap, BTreeSet};

use capture::dump::Dump;

/// Tensors of one template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Their name, with `{l}` for the layer, `{l+1}` where they count from 1.
    pub(super) template: String,
    /// The layer of the first; none of what is there once.
    pub(super) layer: Option<usize>,
    /// The name of the first.
    pub(super) first: String,
}

/// All floats of a dump in groups.
pub(super) fn groups(dump: &Dump, layers: usize) -> Vec<Group> {
    let names = dump.tensors.iter().filter(|(_, tensor)| tensor.dtype.is_float()).map(|(name, _)| name);
    let mut numbers: BTreeMap<(String, String), BTreeMap<usize, &String>> = BTreeMap::new();
    let names: Vec<&String> = names.collect();
    for name in &names {
        for (before, number, after) in numbered(name) {
            numbers.entry((before, after)).or_default().insert(number, name);
        }
    }
    let (mut groups, mut grouped) = (Vec::new(), BTreeSet::new());
    // The most members first: of a name with two numbers, the one that counts layers.
    let mut sorted: Vec<_> = numbers.into_iter().collect();
    sorted.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    for ((before, after), members) in sorted {
        let (Some((&least, first)), Some((&most, _))) = (members.first_key_value(), members.last_key_value())
        else {
            continue;
        };
        let from_one = least >= 1 && most == layers && members.len() == layers;
        let fits = most < layers || from_one;
        let is_one = members.len() > 1 || layers == 1;
        if !fits || !is_one || members.values().any(|name| grouped.contains(*name)) {
            continue;
        }
        grouped.extend(members.values().map(|name| (*name).clone()));
        let (mark, layer) = if from_one { ("{l+1}", least - 1) } else { ("{l}", least) };
        let template = format!("{before}{mark}{after}");
        groups.push(Group { template, layer: Some(layer), first: (*first).clone() });
    }
    for name in names.into_iter().filter(|name| !grouped.contains(*name)) {
        groups.push(Group { template: name.clone(), layer: None, first: name.clone() });
    }
    groups
}

/// A name with each of its numbers apart.
fn numbered(name: &str) -> Vec<(String, usize, String)> {
    let is_digit = |at: usize| name.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let starts = (0..name.len()).filter(|&at| is_digit(at) && (at == 0 || !is_digit(at - 1)));
    let split = |at: usize| {
        let digits = name.as_bytes()[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number: usize = name.get(at..at + digits)?.parse().ok()?;
        let is_plain = number.to_string().len() == digits;
        is_plain.then(|| Some((name.get(..at)?.to_owned(), number, name.get(at + digits..)?.to_owned())))?
    };
    starts.filter_map(split).collect()
}

#[cfg(test)]
mod tests {
    use capture::dump::{DumpDtype, DumpTensor};

    use super::*;

    fn dump(names: &[&str]) -> Dump {
        let tensor = || DumpTensor::new(DumpDtype::F32, &[1], vec![0; 4]).unwrap();
        Dump { tensors: names.iter().map(|name| ((*name).to_owned(), tensor())).collect(), notes: Vec::new() }
    }

    #[test]
    fn layers_are_told_from_other_numbers() {
        let found = groups(&dump(&["blk.0.norm1", "blk.1.norm1", "blk.0.norm2", "blk.1.norm2", "head"]), 2);
        let templates: BTreeSet<&str> = found.iter().map(|group| group.template.as_str()).collect();
        assert_eq!(templates, ["blk.{l}.norm1", "blk.{l}.norm2", "head"].into());
    }

    #[test]
    fn some_count_from_one() {
        let found = groups(&dump(&["out_1", "out_2"]), 2);
        assert_eq!((found[0].template.as_str(), found[0].layer), ("out_{l+1}", Some(0)));
    }
}
