//! A dump's tensors brought over to the names and axes of the model's activations.

mod names;

use std::collections::{BTreeMap, BTreeSet};

use capture::dump::{Dump, DumpDtype, DumpTensor};
use capture::{Capture, Case, Tensor, TensorName};
use checkpoint_spec::UnusedTensor;
use graph::{Node, Step};

pub(crate) use names::{Named, Spare, mapped_names, own_names};

use crate::axes::{Axes, Due, Ways};
use crate::map::Entry;
use crate::model::Subject;

/// What a dump holds, in the model's names.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// The activations.
    pub capture: Capture,
    /// The tensor that each is from.
    pub from: BTreeMap<TensorName, Source>,
    /// Tensors that nothing was made of, with the reason.
    pub unused: Vec<UnusedTensor>,
    /// What was brought into another shape on the way.
    pub notes: Vec<String>,
}

/// Where an activation comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The tensor in the dump.
    pub tensor: String,
    /// What a map says of it; none where the dump has the model's own names.
    pub entry: Option<Entry>,
    /// Why its axes could not be put in order, where they could not.
    pub problem: Option<String>,
}

/// Why a map cannot be used on a dump.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BringError {
    /// Two tensors for one activation.
    #[error(
        "both {first:?} and {second:?} are `{ours}`, and they are not the same; a map sends one tensor to each \
         activation: take one of them out of it"
    )]
    Twice {
        /// The activation.
        ours: TensorName,
        /// One tensor.
        first: String,
        /// The other.
        second: String,
    },
    /// The family has no such activation.
    #[error("`{ours}` is no activation of this model; it has {known}")]
    Unknown {
        /// As the map names it.
        ours: String,
        /// Some that there are.
        known: String,
    },
}

impl Brought {
    /// Puts the axes of every named tensor into the order of its activation.
    pub(crate) fn over(
        dump: &Dump,
        (named, spare): (&Named<'_>, &Spare<'_>),
        subject: &Subject,
        case: &Case,
    ) -> Self {
        let mut brought = Self::default();
        for (ours, (tensor, entry)) in named {
            let theirs = &dump.tensors[*tensor];
            let last = last_logits(theirs, ours, subject, case);
            if let Some(last) = &last {
                brought.notes.push(format!("{tensor:?} has the logits of the last position alone, `{last}`"));
            } else if entry.is_some() && has_one_position(theirs, ours, subject, case) {
                let why = format!(
                    "it has one position of those of `{ours}`: the engine computed only the last one; ask it for the logits \
                     of every position"
                );
                brought.unuse(tensor, theirs, why);
                continue;
            }
            let ours = last.as_ref().unwrap_or(ours);
            let (converted, problem) = match placed(theirs, ours, *entry, subject, case) {
                Ok(Placed { tensor, note }) => {
                    brought.notes.extend(note);
                    (Some(tensor), None)
                }
                Err(problem) => (as_it_is(theirs), Some(problem)),
            };
            let Some(converted) = converted else {
                brought.unuse(tensor, theirs, problem.unwrap_or_default());
                continue;
            };
            brought.capture.tensors.insert(ours.clone(), converted);
            let source = Source { tensor: (*tensor).to_owned(), entry: entry.cloned(), problem };
            brought.from.insert(ours.clone(), source);
        }
        let used: BTreeSet<&str> = named.values().map(|(tensor, _)| *tensor).collect();
        for (tensor, theirs) in dump.tensors.iter().filter(|(name, _)| !used.contains(name.as_str())) {
            let unknown = || "no activation of the model has this name".to_owned();
            let why = spare.get(tensor.as_str()).cloned().unwrap_or_else(unknown);
            brought.unuse(tensor, theirs, why);
        }
        brought
    }

    fn unuse(&mut self, name: &str, theirs: &DumpTensor, why: String) {
        let what = format!("{} {:?}", theirs.dtype, theirs.shape);
        self.unused.push(UnusedTensor { name: name.to_owned(), what, why });
    }
}

/// The logits of the last position, where logits are of one position and there are several.
fn last_logits(theirs: &DumpTensor, ours: &TensorName, subject: &Subject, case: &Case) -> Option<TensorName> {
    let roles = &subject.specs.family.roles;
    let new = case.steps().nth(ours.step?)?.len();
    let is_last = ours.activation == roles.logits && new > 1;
    let fits = theirs.elements() == case.batch() * subject.size("V");
    (is_last && fits).then(|| TensorName { step: ours.step, activation: roles.last_logits.clone() })
}

/// Whether there is one position where there are several.
fn has_one_position(theirs: &DumpTensor, ours: &TensorName, subject: &Subject, case: &Case) -> bool {
    let Some(mut due) = due_shape(subject, case, ours) else { return false };
    let all: usize = due.iter().map(|(_, size)| size).product();
    let Some((_, new)) = due.iter_mut().find(|(letter, _)| *letter == 's') else { return false };
    *new > 1 && theirs.elements() * *new == all
}

struct Placed {
    tensor: Tensor,
    note: Option<String>,
}

/// A tensor as its activation has it, or why it cannot be brought there.
fn placed(
    theirs: &DumpTensor,
    ours: &TensorName,
    entry: Option<&Entry>,
    subject: &Subject,
    case: &Case,
) -> Result<Placed, String> {
    let Some(shape) = due_shape(subject, case, ours) else {
        let tensor = as_it_is(theirs).ok_or("its dtype holds no activation")?;
        return Ok(Placed { tensor, note: None });
    };
    let sizes: Vec<usize> = shape.iter().map(|(_, size)| *size).collect();
    let axes = entry.and_then(|entry| entry.axes.as_deref());
    let Some(axes) = axes else {
        if theirs.shape == sizes {
            let tensor = as_it_is(theirs).ok_or("its dtype holds no activation")?;
            return Ok(Placed { tensor, note: None });
        }
        if !is_natural(&sizes, &theirs.shape) && !is_natural(&by_heads(&shape, subject), &theirs.shape) {
            return Err(format!("the shape {:?} is not {sizes:?}", theirs.shape));
        }
        let places: Vec<usize> = (0..theirs.elements()).collect();
        let tensor = gathered(theirs, &places, &sizes)?;
        let note =
            format!("`{ours}` was dumped as {:?} and read as {sizes:?}, in the same order", theirs.shape);
        return Ok(Placed { tensor, note: Some(note) });
    };
    let axes = Axes::parse(axes).map_err(|error| error.to_string())?;
    let entry = entry.cloned().unwrap_or_default();
    let (due, axes) = fitted(&shape, axes, subject);
    let ways = ways_of(&entry, &due, subject);
    let places = axes.places(&due, &theirs.shape, &ways).map_err(|error| error.to_string())?;
    let tensor = gathered(theirs, &places, &sizes)?;
    for copy in 1..ways.repeated.max(1) {
        let others =
            axes.places(&due, &theirs.shape, &Ways { copy, ..ways }).map_err(|error| error.to_string())?;
        if gathered(theirs, &others, &sizes)? != tensor {
            return Err(format!(
                "copy {copy} of its heads is not the same as copy 0, though it is said to be repeated"
            ));
        }
    }
    let tensor = if entry.unscaled { scaled(&tensor, &sizes, subject)? } else { tensor };
    Ok(Placed { tensor, note: None })
}

/// Divided by the root of the width of a head, in f64, so that nothing is rounded that the engine did not round.
fn scaled(tensor: &Tensor, sizes: &[usize], subject: &Subject) -> Result<Tensor, String> {
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2⁵³")]
    let root = (subject.size("Dh") as f64).sqrt();
    let values: Vec<f64> = tensor.view().to_f64_lossy().into_iter().map(|score| score / root).collect();
    Tensor::from_f64(sizes, &values).map_err(|error| error.to_string())
}

fn ways_of(entry: &Entry, due: &[Due], subject: &Subject) -> Ways {
    let heads = due.iter().find(|(letter, _)| *letter == 'h').map_or(1, |(_, size)| *size);
    Ways {
        part: entry.part.map(|[index, of]| (index, of)),
        repeated: if entry.repeated { subject.size("H").checked_div(heads).unwrap_or(1) } else { 1 },
        copy: 0,
        interleaved: entry.interleaved,
        padded: entry.padded,
    }
}

/// What is due and the axes that are there, in the same letters: a width is also heads by their width, and the other way round.
pub(crate) fn fitted(shape: &[Due], axes: Axes, subject: &Subject) -> (Vec<Due>, Axes) {
    let (heads, width) = (subject.size("H"), subject.size("Dh"));
    let theirs: Vec<char> = axes.letters().collect();
    let mut due = shape.to_vec();
    let ours: Vec<char> = due.iter().map(|(letter, _)| *letter).collect();
    if theirs.contains(&'d')
        && let Some(at) = due.iter().position(|(letter, size)| *letter == 'w' && *size == heads * width)
    {
        due.splice(at..=at, [('h', heads), ('d', width)]);
    } else if theirs.contains(&'w') && ours.ends_with(&['h', 'd']) {
        return (due, axes.with_heads());
    }
    (due, axes)
}

/// The lengths, with a width as heads by their width where it is one.
fn by_heads(shape: &[Due], subject: &Subject) -> Vec<usize> {
    let (heads, width) = (subject.size("H"), subject.size("Dh"));
    let parted = |&(letter, size): &Due| match letter {
        'w' if size == heads * width => vec![heads, width],
        _ => vec![size],
    };
    shape.iter().flat_map(parted).collect()
}

/// The letters and lengths of an activation; none for what belongs to no step.
pub(crate) fn due_shape(subject: &Subject, case: &Case, ours: &TensorName) -> Option<Vec<Due>> {
    let model = &subject.model;
    let node: Node = model.graph.find(&ours.activation)?;
    let index = ours.step?;
    let positions = case.steps().nth(index)?;
    let step = Step { index, batch: case.batch(), past: positions.start, new: positions.len() };
    let sizes = model.graph.shape(&node, &model.architecture, step)?;
    let letters = model.graph.activations[node.activation].shape.iter().map(|symbol| letter(symbol));
    Some(letters.zip(sizes).collect())
}

/// The letter of a symbol in a spec.
pub(crate) fn letter(symbol: &str) -> char {
    match symbol {
        "B" => 'b',
        "S" => 's',
        "K" => 'k',
        "H" | "G" => 'h',
        "Dh" => 'd',
        _ => 'w',
    }
}

/// Whether two shapes have their elements in the same order, since axes are only joined, parted, or of one.
fn is_natural(due: &[usize], found: &[usize]) -> bool {
    let long = |shape: &[usize]| shape.iter().copied().filter(|size| *size != 1).collect::<Vec<_>>();
    let (due, found) = (long(due), long(found));
    // Only joining: a tensor with more axes than are due is not one that is known.
    let mut due = due.into_iter();
    found.iter().all(|length| {
        let mut product = 1_usize;
        while product < *length {
            match due.next() {
                Some(size) => product = product.saturating_mul(size),
                None => return false,
            }
        }
        product == *length
    }) && due.next().is_none()
}

/// The elements at these places, in this shape, in the dtype that they are judged in.
pub(crate) fn gathered(theirs: &DumpTensor, places: &[usize], shape: &[usize]) -> Result<Tensor, String> {
    fn pick<T: Copy>(values: &[T], places: &[usize]) -> Option<Vec<T>> {
        places.iter().map(|place| values.get(*place).copied()).collect()
    }
    let short = || "it has fewer elements than its axes say".to_owned();
    let built = if theirs.dtype == DumpDtype::F64 {
        let values = theirs.to_f64().map_err(|error| error.to_string())?;
        Tensor::from_f64(shape, &pick(&values, places).ok_or_else(short)?)
    } else if theirs.dtype.is_float() {
        let values = theirs.to_f32().map_err(|error| error.to_string())?;
        Tensor::from_f32(shape, &pick(&values, places).ok_or_else(short)?)
    } else {
        let values = theirs.to_i64().map_err(|error| error.to_string())?;
        Tensor::from_i64(shape, &pick(&values, places).ok_or_else(short)?)
    };
    built.map_err(|error| error.to_string())
}

/// The tensor in its own shape: halves as f32, integers as i64, bytes as bytes.
fn as_it_is(theirs: &DumpTensor) -> Option<Tensor> {
    match theirs.dtype {
        DumpDtype::U8 => theirs.to_tensor(),
        _ => gathered(theirs, &(0..theirs.elements()).collect::<Vec<_>>(), &theirs.shape).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_axes_are_in_the_same_order() {
        for (due, found, natural) in [
            (&[1, 3, 2, 4][..], &[3, 8][..], true),
            (&[1, 3, 2, 4], &[1, 1, 3, 2, 4], true),
            (&[2, 3, 2, 4], &[6, 8], true),
            (&[1, 3, 2, 4], &[2, 3, 4], false),
            (&[1, 3, 8], &[3, 2, 4], false),
            (&[1, 3, 8], &[3, 4], false),
            (&[1, 3, 8], &[3, 8, 2], false),
        ] {
            assert_eq!(is_natural(due, found), natural, "{due:?} {found:?}");
        }
    }
}
