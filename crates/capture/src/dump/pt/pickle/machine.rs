//! The machine itself: what is left to read, the stack, and what is remembered.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::globals;
use super::super::value::{Global, Ref, Value};
use crate::dump::error::DumpError;

/// Reads a pickle, opcode by opcode.
pub(super) struct Machine<'a> {
    pub(super) path: &'a Path,
    pub(super) rest: &'a [u8],
    pub(super) stack: Vec<Ref>,
    /// Heights of the stack.
    pub(super) marks: Vec<usize>,
    pub(super) memo: BTreeMap<u64, Ref>,
    pub(super) values: Vec<Value>,
    /// How many values there may be.
    pub(super) limit: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn malformed(&self, problem: impl std::fmt::Display) -> DumpError {
        DumpError::malformed(self.path, format!("the pickle has {problem}"))
    }

    pub(super) fn forbidden(&self, global: &str) -> DumpError {
        DumpError::forbidden(self.path, global)
    }

    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8], DumpError> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let Some((taken, rest)) = split else {
            let left = self.rest.len();
            return Err(self.malformed(format!("{left} bytes left where {count} are needed: half a file?")));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// A little-endian number of so many bytes, at most 8.
    pub(super) fn number(&mut self, size: usize) -> Result<u64, DumpError> {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(self.take(size as u64)?);
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn text(&mut self, length: u64) -> Result<String, DumpError> {
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec())
            .map_err(|error| self.malformed(format!("text that is no UTF-8: {error}")))
    }

    pub(super) fn line(&mut self) -> Result<String, DumpError> {
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or_else(|| self.malformed("a line without an end"))?;
        let line = self.text(end as u64)?;
        self.take(1)?;
        Ok(line)
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), DumpError> {
        if self.values.len() >= self.limit {
            let found = self.values.len() as u64 + 1;
            return Err(DumpError::too_large(self.path, "values of the pickle:", found, self.limit as u64));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// The topmost value above the last mark.
    pub(super) fn pop(&mut self) -> Result<Ref, DumpError> {
        let floor = self.marks.last().copied().unwrap_or_default();
        let top = if self.stack.len() > floor { self.stack.pop() } else { None };
        top.ok_or_else(|| self.malformed("an opcode that wants a value where there is none"))
    }

    /// Everything above the last mark, which is taken away.
    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Ref>, DumpError> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| self.malformed("an opcode that wants a mark where there is none"))?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<Ref>, DumpError> {
        let mut taken = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        taken.reverse();
        Ok(taken)
    }

    pub(super) fn top(&self) -> Result<Ref, DumpError> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| self.malformed("an opcode that wants a value where there is none"))
    }

    pub(super) fn remember(&mut self, key: u64) -> Result<(), DumpError> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    pub(super) fn recall(&mut self, key: u64) -> Result<(), DumpError> {
        let value = self.memo.get(&key).copied();
        let value =
            value.ok_or_else(|| self.malformed(format!("a reference to {key}, which was not remembered")))?;
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn append(&mut self, items: Vec<Ref>) -> Result<(), DumpError> {
        let target = self.top()?;
        match &mut self.values[target] {
            Value::Sequence(list) => list.extend(items),
            _ => return Err(self.malformed("items for something that is no list")),
        }
        Ok(())
    }

    pub(super) fn set_items(&mut self, items: &[Ref]) -> Result<(), DumpError> {
        let target = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(self.malformed("a key without a value"));
        };
        match &mut self.values[target] {
            Value::Map(map) => map.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err(self.malformed("keys for something that is no dict")),
        }
        Ok(())
    }

    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<(), DumpError> {
        match globals::global(module, name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(self.forbidden(&format!("{module}.{name}"))),
        }
    }

    pub(super) fn stack_global(&mut self) -> Result<(), DumpError> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name]) else {
            return Err(self.malformed("a name that is no text"));
        };
        let (module, name) = (module.clone(), name.clone());
        self.global(&module, &name)
    }

    pub(super) fn reduce(&mut self) -> Result<(), DumpError> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let (Value::Global(callable), Value::Sequence(arguments)) =
            (&self.values[callable], &self.values[arguments])
        else {
            return Err(self.malformed("a call of something that is no function"));
        };
        let value =
            globals::call(&self.values, *callable, arguments).map_err(|problem| self.malformed(problem))?;
        self.push(value)
    }

    pub(super) fn persistent(&mut self) -> Result<(), DumpError> {
        let id = self.pop()?;
        let Value::Sequence(id) = &self.values[id] else {
            return Err(self.malformed("a storage that is not told by a tuple"));
        };
        let value = globals::persistent(&self.values, id).map_err(|problem| self.malformed(problem))?;
        self.push(value)
    }

    /// The state of an object: that of an `OrderedDict` holds notes of PyTorch on versions, and is left out.
    pub(super) fn build(&mut self) -> Result<(), DumpError> {
        self.pop()?;
        let target = self.top()?;
        match self.values[target] {
            Value::Map(_) => Ok(()),
            Value::Global(Global::OrderedDict) => Err(self.malformed("a state for a class")),
            _ => Err(self.forbidden("the state of an object that is no dict (BUILD)")),
        }
    }
}
