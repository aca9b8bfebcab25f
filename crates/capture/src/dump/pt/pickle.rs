//! The machine that reads a pickle: Python's opcodes for containers, text and numbers, and those by which tensors are told.
//!
//! Architecture invariant: no opcode calls anything. A name that tensors do not need ends the reading, as does an opcode that
//! could make Python import, call or look up more. See `pickletools.py` of CPython for what each does.

mod machine;
mod opcode;

use std::collections::BTreeMap;
use std::path::Path;

use super::value::Graph;
use crate::dump::error::DumpError;
use crate::dump::limits::Limits;
use machine::Machine;

/// Values that a pickle may make for each tensor that a dump may hold.
const VALUES_PER_TENSOR: usize = 32;

/// Reads the pickle; nothing of it is executed.
pub(super) fn run(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Graph, DumpError> {
    let mut machine = Machine {
        path,
        rest: bytes,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        values: Vec::new(),
        limit: limits.tensors.saturating_mul(VALUES_PER_TENSOR),
    };
    while machine.step()? {}
    let [root] = machine.stack[..] else {
        return Err(machine.malformed(format!("{} values at its end, expected one", machine.stack.len())));
    };
    Ok(Graph { values: machine.values, root })
}
