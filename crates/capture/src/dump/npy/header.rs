//! The header of an array: a literal of Python with three keys, of which no more is understood than NumPy writes.

use tensor_compare::Shape;

use crate::dump::tensor::DumpDtype;

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) element: Element,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

/// What an array holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element {
    Number(Number),
    /// Strings or times; the dtype as NumPy writes it.
    Text(String),
}

/// Numbers, and in which order their bytes lie.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) dtype: DumpDtype,
    pub(super) big_endian: bool,
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
pub(super) fn parse(text: &str) -> Result<Header, String> {
    let mut rest = Rest(text.trim_end());
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    rest.expect("{")?;
    while !rest.take("}") {
        let key = rest.string()?;
        rest.expect(":")?;
        let known = match key {
            "descr" => descr.replace(rest.descr()?).is_none(),
            "fortran_order" => fortran_order.replace(rest.boolean()?).is_none(),
            "shape" => shape.replace(rest.shape()?).is_none(),
            _ => return Err(format!("the header has the key {key:?}, which NumPy does not write")),
        };
        if !known {
            return Err(format!("the header has the key {key:?} twice"));
        }
        if !rest.take(",") {
            rest.expect("}")?;
            break;
        }
    }
    if !rest.0.is_empty() {
        return Err(format!("the header goes on with {:?}", rest.0));
    }
    let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
        return Err("the header lacks one of `descr`, `fortran_order` and `shape`".to_owned());
    };
    Ok(Header { element: element(descr)?, fortran_order, shape })
}

fn element(descr: &str) -> Result<Element, String> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or_default();
    let dtype = match kind {
        "f8" => DumpDtype::F64,
        "f4" => DumpDtype::F32,
        "f2" => DumpDtype::F16,
        "i8" => DumpDtype::I64,
        "i4" => DumpDtype::I32,
        "i2" => DumpDtype::I16,
        "i1" => DumpDtype::I8,
        "u8" => DumpDtype::U64,
        "u4" => DumpDtype::U32,
        "u2" => DumpDtype::U16,
        "u1" => DumpDtype::U8,
        "b1" => DumpDtype::Bool,
        _ => return other(descr, kind),
    };
    match order {
        "<" | "|" | "=" => Ok(Element::Number(Number { dtype, big_endian: false })),
        ">" => Ok(Element::Number(Number { dtype, big_endian: true })),
        _ => Err(format!("the dtype is {descr:?}, expected an order of bytes: `<`, `>` or `|`")),
    }
}

fn other(descr: &str, kind: &str) -> Result<Element, String> {
    let advice = match kind.chars().next() {
        Some('U' | 'S' | 'M' | 'm') => return Ok(Element::Text(descr.to_owned())),
        Some('O') => "an array of Python objects is a pickle, and none is executed: save it as numbers",
        Some('V') => {
            "bfloat16 is saved by NumPy as bytes without meaning: save it with .astype(numpy.float32), which holds it exactly"
        }
        Some('c') => "save real and imaginary part, each for itself",
        _ => "f8, f4, f2, the integers and booleans are read",
    };
    Err(format!("the dtype is {descr:?}: {advice}"))
}

/// What of the header has not been read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start();
        let found = rest.strip_prefix(token);
        self.0 = found.unwrap_or(rest).trim_start();
        found.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            Ok(())
        } else {
            Err(format!("the header has {:?}, expected `{token}`", self.shown()))
        }
    }

    /// The beginning of it, for a message.
    fn shown(&self) -> String {
        self.0.chars().take(40).collect()
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.take("'") { '\'' } else { self.expect("\"").map(|()| '"')? };
        let (text, rest) = self
            .0
            .split_once(quote)
            .ok_or_else(|| format!("the header has {:?} without an end", self.shown()))?;
        if text.contains('\\') {
            return Err(format!("the header has the escaped text {text:?}"));
        }
        self.0 = rest;
        Ok(text)
    }

    fn descr(&mut self) -> Result<&'a str, String> {
        if self.0.trim_start().starts_with('[') {
            return Err("the dtype has fields: save each field as an array of its own".to_owned());
        }
        self.string()
    }

    fn boolean(&mut self) -> Result<bool, String> {
        if self.take("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    fn shape(&mut self) -> Result<Vec<usize>, String> {
        let mut shape = Vec::new();
        self.expect("(")?;
        while !self.take(")") {
            if shape.len() == Shape::MAXIMUM_RANK {
                return Err(format!("more than {} dimensions", Shape::MAXIMUM_RANK));
            }
            shape.push(self.extent()?);
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }

    /// A dimension; Python 2 wrote `2L`.
    fn extent(&mut self) -> Result<usize, String> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        let extent = digits.parse().map_err(|error| format!("the shape has {:?}: {error}", self.shown()))?;
        self.0 = rest;
        self.take("L");
        Ok(extent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(dtype: DumpDtype, big_endian: bool) -> Element {
        Element::Number(Number { dtype, big_endian })
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        for (text, element, fortran_order, shape) in [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n",
                number(DumpDtype::F32, false),
                false,
                vec![2, 3],
            ),
            (
                "{'descr': '>i8', 'fortran_order': True, 'shape': (), }",
                number(DumpDtype::I64, true),
                true,
                vec![],
            ),
            (
                "{'descr': '|b1', 'fortran_order': False, 'shape': (7,), }",
                number(DumpDtype::Bool, false),
                false,
                vec![7],
            ),
            (
                "{\"descr\": \"|u1\", \"fortran_order\": False, \"shape\": (2L, 0L)}",
                number(DumpDtype::U8, false),
                false,
                vec![2, 0],
            ),
            (
                "{'shape': (1,), 'fortran_order': False, 'descr': '<U12'}",
                Element::Text("<U12".to_owned()),
                false,
                vec![1],
            ),
        ] {
            assert_eq!(parse(text), Ok(Header { element, fortran_order, shape }), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "expected `{`"),
            ("{}", "lacks one of"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } + evil()", "goes on with"),
            ("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "\"descr\" twice"),
            ("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "expected `False`"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "the shape has"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "the shape has"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", "expected `)`"),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 'x'}",
                "which NumPy does not write",
            ),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "Python objects"),
            ("{'descr': '<V2', 'fortran_order': False, 'shape': (1,)}", "bfloat16"),
            ("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "imaginary"),
            ("{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}", "are read"),
            ("{'descr': 'f4', 'fortran_order': False, 'shape': (1,)}", "the dtype is"),
            ("{'descr': '', 'fortran_order': False, 'shape': (1,)}", "the dtype is"),
            ("{'descr': 'äf4', 'fortran_order': False, 'shape': (1,)}", "the dtype is"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "fields"),
            ("{'descr': '<f4", "without an end"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let deep = format!("{{'shape': ({})}}", "1,".repeat(65));
        assert!(parse(&deep).unwrap_err().contains("more than 64 dimensions"));
    }
}
