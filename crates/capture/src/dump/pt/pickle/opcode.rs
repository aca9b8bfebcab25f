//! What each opcode does.

use super::super::value::Value;
use super::machine::Machine;
use crate::dump::error::DumpError;

/// The highest protocol there is.
const NEWEST_PROTOCOL: u64 = 5;

/// Opcodes that make Python import, call or look up what a tensor does not need.
const FORBIDDEN: [(u8, &str); 10] = [
    (b'i', "INST"),
    (b'o', "OBJ"),
    (0x81, "NEWOBJ"),
    (0x92, "NEWOBJ_EX"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (b'P', "PERSID"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
];

impl Machine<'_> {
    /// Does one opcode; false at the end.
    pub(super) fn step(&mut self) -> Result<bool, DumpError> {
        let opcode = self.take(1)?[0];
        if opcode == b'.' {
            return Ok(false);
        }
        let done =
            self.frame(opcode)? || self.scalar(opcode)? || self.container(opcode)? || self.object(opcode)?;
        if done {
            return Ok(true);
        }
        Err(match FORBIDDEN.iter().find(|(known, _)| *known == opcode) {
            Some((_, name)) => self.forbidden(&format!("the opcode {name}")),
            None => self.malformed(format!(
                "the opcode {:?}, which is not read",
                [opcode].escape_ascii().to_string()
            )),
        })
    }

    fn frame(&mut self, opcode: u8) -> Result<bool, DumpError> {
        match opcode {
            0x80 => {
                let protocol = self.number(1)?;
                if protocol > NEWEST_PROTOCOL {
                    return Err(
                        self.malformed(format!("protocol {protocol}, at most {NEWEST_PROTOCOL} is read"))
                    );
                }
            }
            0x95 => {
                self.number(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'q' => {
                let key = self.number(1)?;
                self.remember(key)?;
            }
            b'r' => {
                let key = self.number(4)?;
                self.remember(key)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let key = self.number(1)?;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number(4)?;
                self.recall(key)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn scalar(&mut self, opcode: u8) -> Result<bool, DumpError> {
        let value = match opcode {
            b'N' => Value::Other("nothing (None)"),
            0x88 | 0x89 => Value::Other("a truth value"),
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            #[expect(
                clippy::cast_possible_wrap,
                clippy::cast_possible_truncation,
                reason = "four bytes, as they are"
            )]
            b'J' => Value::Integer(i64::from(self.number(4)? as u32 as i32)),
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                Value::Other("a number")
            }
            b'X' => self.sized_text(4)?,
            0x8c => self.sized_text(1)?,
            0x8d => self.sized_text(8)?,
            // Text of Python 2, or bytes.
            b'U' => self.sized_text(1)?,
            b'T' => self.sized_text(4)?,
            b'C' => self.sized_bytes(1)?,
            b'B' => self.sized_bytes(4)?,
            0x8e | 0x96 => self.sized_bytes(8)?,
            _ => return Ok(false),
        };
        self.push(value)?;
        Ok(true)
    }

    fn container(&mut self, opcode: u8) -> Result<bool, DumpError> {
        match opcode {
            b'}' => self.push(Value::Map(Vec::new()))?,
            b']' | b')' => self.push(Value::Sequence(Vec::new()))?,
            b't' | b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Sequence(items))?;
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push(Value::Sequence(items))?;
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn object(&mut self, opcode: u8) -> Result<bool, DumpError> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => self.stack_global()?,
            b'R' => self.reduce()?,
            b'Q' => self.persistent()?,
            b'b' => self.build()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn integer(&mut self, size: usize) -> Result<Value, DumpError> {
        let number = self.number(size)?;
        Ok(Value::Integer(number.try_into().unwrap_or(i64::MAX)))
    }

    /// A number of any length, of which those of eight bytes are read.
    fn long(&mut self) -> Result<Value, DumpError> {
        let length = self.number(1)?;
        let bytes = self.take(length)?;
        let Some(&last) = bytes.last() else { return Ok(Value::Integer(0)) };
        let mut number = [if last < 0x80 { 0 } else { 0xff }; 8];
        match number.get_mut(..bytes.len()) {
            Some(low) => low.copy_from_slice(bytes),
            None => return Ok(Value::Other("a number")),
        }
        Ok(Value::Integer(i64::from_le_bytes(number)))
    }

    fn sized_text(&mut self, size: usize) -> Result<Value, DumpError> {
        let length = self.number(size)?;
        self.text(length).map(Value::Text)
    }

    fn sized_bytes(&mut self, size: usize) -> Result<Value, DumpError> {
        let length = self.number(size)?;
        self.take(length)?;
        Ok(Value::Other("bytes"))
    }
}
