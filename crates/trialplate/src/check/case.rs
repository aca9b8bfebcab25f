//! What an engine was given: rows of token ids and steps, from the dump, the user, or the shapes that are there.

use std::collections::BTreeSet;

use capture::dump::{Dump, DumpTensor};
use capture::{Case, TensorName};

use super::Tokens;
use crate::axes::Axes;
use crate::bring::{Named, letter};
use crate::exit::Problem;
use crate::map::Entry;
use crate::model::Subject;

/// What integers are called that are token ids.
const TOKEN_NAMES: [&str; 8] =
    ["token_ids", "input_ids", "tokens", "inp_tokens", "ids", "input_tokens", "idx", "token_id"];

/// What the engine was given.
pub(super) struct Given {
    /// Its token ids, or as many zeros where nobody knows them.
    pub(super) case: Case,
    /// Whether they are known.
    pub(super) known: bool,
    /// Tensors of the dump that said so.
    pub(super) used: BTreeSet<String>,
    /// What was supposed.
    pub(super) notes: Vec<String>,
}

/// Rows and positions of one step.
type Size = (usize, usize);

/// Reads them. Token ids of the dump become activations of it.
pub(super) fn of<'a>(
    dump: &'a Dump,
    named: &mut Named<'a>,
    subject: &Subject,
    tokens: &Tokens,
) -> Result<Given, Problem> {
    let role = &subject.specs.family.roles.tokens;
    if !named.keys().any(|ours| ours.activation == *role) {
        name_tokens(dump, named, role);
    }
    let steps = named.keys().filter_map(|ours| ours.step).max().unwrap_or(0) + 1;
    let mut used = BTreeSet::new();
    let mut from_dump: Vec<Option<Vec<Vec<i64>>>> = Vec::new();
    for step in 0..steps {
        let found = named.get(&TensorName::of_step(step, role.as_str()));
        let rows = match found {
            None => None,
            Some((tensor, _)) => {
                used.insert((*tensor).to_owned());
                Some(rows(tensor, &dump.tensors[*tensor])?)
            }
        };
        from_dump.push(rows);
    }
    let sizes: Vec<Option<Size>> = (0..steps)
        .map(|step| match &from_dump[step] {
            Some(rows) => Some((rows.len(), rows.first().map_or(0, Vec::len))),
            None => size_of_step(dump, named, subject, step),
        })
        .collect();
    let given = match tokens {
        Tokens::Dump => None,
        Tokens::Ids(rows) => Some(rows.clone()),
        Tokens::Text(text) => Some(vec![subject.encode(text)?]),
    };
    let (case, known) = case(given, from_dump, &sizes)?;
    let (vocabulary, context) = (subject.size("V"), subject.size("C"));
    case.validate(vocabulary, context).map_err(|error| Problem::Dump(error.to_string()))?;
    let notes = if known {
        Vec::new()
    } else {
        vec![
            "the dump has no token ids, so what follows from them alone cannot be judged; give them with --tokens 1,2,3 \
             or --text"
                .to_owned(),
        ]
    };
    Ok(Given { case, known, used, notes })
}

fn name_tokens<'a>(dump: &'a Dump, named: &mut Named<'a>, role: &str) {
    let is_one = |name: &&String| {
        let last = name.rsplit(['/', '.']).next().unwrap_or_default();
        TOKEN_NAMES.contains(&last) && dump.tensors[*name].to_i64().is_ok()
    };
    let taken: BTreeSet<&str> = named.values().map(|(tensor, _)| *tensor).collect();
    let mut found = dump.tensors.keys().filter(is_one).filter(|name| !taken.contains(name.as_str()));
    if let (Some(name), None) = (found.next(), found.next()) {
        named.insert(TensorName::of_step(0, role), (name, None));
    }
}

fn rows(name: &str, tensor: &DumpTensor) -> Result<Vec<Vec<i64>>, Problem> {
    let problem = |problem: String| Problem::Dump(format!("the token ids in {name:?}: {problem}"));
    let ids = tensor.to_i64().map_err(|error| problem(error.to_string()))?;
    let length = match *tensor.shape.as_slice() {
        [length] | [_, length] => length,
        _ => return Err(problem(format!("found the shape {:?}, expected [B, S] or [S]", tensor.shape))),
    };
    if length == 0 || ids.is_empty() {
        return Err(problem("there are none".to_owned()));
    }
    Ok(ids.chunks(length).map(<[i64]>::to_vec).collect())
}

fn case(
    given: Option<Vec<Vec<i64>>>,
    from_dump: Vec<Option<Vec<Vec<i64>>>>,
    sizes: &[Option<Size>],
) -> Result<(Case, bool), Problem> {
    let joined = joined(&from_dump);
    if let (Some(given), Some(dumped)) = (&given, &joined)
        && given != dumped
    {
        return Err(Problem::Dump(format!(
            "the token ids given are not those of the dump: {} given, {} dumped; leave --tokens and --text out, or check \
             the dump of that prompt",
            shown(given),
            shown(dumped)
        )));
    }
    let known = given.is_some() || joined.is_some();
    let tokens = given.or(joined);
    let mut schedule: Vec<Option<usize>> = sizes.iter().map(|size| size.map(|(_, new)| new)).collect();
    let batch = sizes.iter().flatten().map(|(batch, _)| *batch).next();
    let token_ids = match tokens {
        Some(tokens) => tokens,
        None => {
            let sum: Option<usize> = schedule.iter().copied().sum();
            match (batch, sum) {
                (Some(batch), Some(sum)) => vec![vec![0; sum]; batch],
                _ => {
                    return Err(Problem::Usage(
                        "neither token ids nor shapes say how many positions the dump has; give --tokens 1,2,3 or --text"
                            .to_owned(),
                    ));
                }
            }
        }
    };
    let total = token_ids.first().map_or(0, Vec::len);
    if let [only @ None] = schedule.as_mut_slice() {
        *only = Some(total);
    }
    let schedule: Option<Vec<usize>> = schedule.into_iter().collect();
    let schedule = schedule.ok_or_else(|| {
        Problem::Usage("a step of the dump has no tensor that says how many positions it has".to_owned())
    })?;
    let positions: usize = schedule.iter().sum();
    let rows = batch.unwrap_or(token_ids.len());
    if positions != total || rows != token_ids.len() {
        return Err(Problem::Dump(format!(
            "the token ids are not those of the dump: {} of {total} positions given, and its tensors have {rows} of \
             {positions}",
            many(token_ids.len(), "row"),
        )));
    }
    let case = Case { id: "dump".to_owned(), token_ids, texts: None, schedule, generate: 0, forced: None };
    Ok((case, known))
}

/// All steps' ids after one another; none where a step has none.
fn joined(steps: &[Option<Vec<Vec<i64>>>]) -> Option<Vec<Vec<i64>>> {
    let steps: Option<Vec<&Vec<Vec<i64>>>> = steps.iter().map(Option::as_ref).collect();
    let steps = steps?;
    let rows = steps.first()?.len();
    let row =
        |row: usize| steps.iter().flat_map(|step| step.get(row).into_iter().flatten().copied()).collect();
    Some((0..rows).map(row).collect())
}

/// Rows and positions of a step, as the shapes of its tensors have them.
fn size_of_step(dump: &Dump, named: &Named<'_>, subject: &Subject, step: usize) -> Option<Size> {
    let of_step = named.iter().filter(|(ours, _)| ours.step == Some(step));
    let mut sizes: Vec<(usize, Size)> = of_step
        .filter_map(|(ours, (tensor, entry))| {
            let node = subject.model.graph.find(&ours.activation)?;
            let symbols = &subject.model.graph.activations[node.activation].shape;
            size_by(dump.tensors.get(*tensor)?, *entry, symbols, subject).map(|size| (symbols.len(), size))
        })
        .collect();
    // What has fewest axes leaves least to suppose; of these, what most say.
    let least = sizes.iter().map(|(axes, _)| *axes).min()?;
    sizes.retain(|(axes, _)| *axes == least);
    let count = |size: &Size| sizes.iter().filter(|(_, other)| other == size).count();
    sizes.iter().map(|(_, size)| *size).max_by_key(count)
}

fn size_by(
    tensor: &DumpTensor,
    entry: Option<&Entry>,
    symbols: &[String],
    subject: &Subject,
) -> Option<Size> {
    let letters: Vec<char> = symbols.iter().map(|symbol| letter(symbol)).collect();
    if let Some(axes) = entry.and_then(|entry| entry.axes.as_deref()) {
        let axes = Axes::parse(axes).ok()?;
        return Some((axes.length('b', &tensor.shape).unwrap_or(1), axes.length('s', &tensor.shape)?));
    }
    let width = match letters.as_slice() {
        ['b', 's', 'w'] => subject.model.architecture.sizes.get(symbols.last()?.as_str()).copied()?,
        ['b', 's', 'h', 'd'] => subject.size("Dh") * subject.size(&symbols[2]),
        _ => return None,
    };
    match *tensor.shape.as_slice() {
        [batch, new, last] if last == width => Some((batch, new)),
        [new, last] if last == width => Some((1, new)),
        [batch, new, _, _] if letters.len() == 4 => Some((batch, new)),
        _ => None,
    }
}

fn shown(rows: &[Vec<i64>]) -> String {
    let row = |row: &Vec<i64>| {
        let ids: Vec<String> = row.iter().take(12).map(i64::to_string).collect();
        format!("{}{}", ids.join(","), if row.len() > 12 { ",…" } else { "" })
    };
    rows.iter().map(row).collect::<Vec<_>>().join(" / ")
}

fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
