//! The order in which a tensor has its axes, as a map writes it: `b s h d`, `b h s d`, `b s (h d)`.
//!
//! Letters are `b` batch, `s` sequence, `k` keys, `h` heads, `d` the width of a head, `w` any other width, `p` parts of a fused
//! tensor, and `1` an axis of one. Axes in brackets are one axis in the tensor, the first of them the outermost.

use std::fmt;

/// The axes of a tensor, outermost first, each of one letter or of several that are one axis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Axes(Vec<Vec<char>>);

/// Why axes cannot be read, or do not fit a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AxesError {
    /// Not of the form.
    #[error(
        "the axes `{text}` cannot be read: {problem}; expected letters of b s k h d w p 1, such as `b h s d` or `b s (h d)`"
    )]
    Form {
        /// As written.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// They do not fit the tensor.
    #[error("the axes `{axes}` do not fit: {problem}")]
    Fit {
        /// As written.
        axes: String,
        /// What was found and what was expected.
        problem: String,
    },
}

/// An axis that is due, and how long it is.
pub(crate) type Due = (char, usize);

/// What is peculiar to a tensor beside the order of its axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ways {
    /// Which of how many parts of a fused tensor.
    pub(crate) part: Option<(usize, usize)>,
    /// How often each head is there, one copy after the other.
    pub(crate) repeated: usize,
    /// Which of the copies.
    pub(crate) copy: usize,
    /// Whether pairs that are turned together stand side by side in each head, not half a head apart.
    pub(crate) interleaved: bool,
    /// Whether there may be more keys than there are positions.
    pub(crate) padded: bool,
}

impl Axes {
    /// Reads `b s (h d)`, or `bshd` without blanks.
    ///
    /// # Errors
    /// [`AxesError::Form`].
    pub fn parse(text: &str) -> Result<Self, AxesError> {
        let problem = |problem: String| AxesError::Form { text: text.to_owned(), problem };
        let (mut axes, mut open): (Vec<Vec<char>>, Option<Vec<char>>) = (Vec::new(), None);
        for letter in text.chars() {
            match (letter, &mut open) {
                (' ', _) => {}
                ('(', None) => open = Some(Vec::new()),
                (')', Some(_)) => axes.extend(open.take()),
                ('b' | 's' | 'k' | 'h' | 'd' | 'w' | 'p' | '1', Some(inside)) => inside.push(letter),
                ('b' | 's' | 'k' | 'h' | 'd' | 'w' | 'p' | '1', None) => axes.push(vec![letter]),
                _ => return Err(problem(format!("`{}` is out of place", letter.escape_debug()))),
            }
        }
        let letters: Vec<char> = axes.iter().flatten().copied().filter(|letter| *letter != '1').collect();
        let twice = letters.iter().enumerate().find(|(at, letter)| letters[..*at].contains(letter));
        match (open, twice) {
            (Some(_), _) => Err(problem("a bracket is not closed".to_owned())),
            (None, Some((_, letter))) => Err(problem(format!("`{letter}` stands twice"))),
            (None, None) => Ok(Self(axes)),
        }
    }

    pub(crate) fn of(axes: Vec<Vec<char>>) -> Self {
        Self(axes)
    }

    pub(crate) fn letters(&self) -> impl Iterator<Item = char> + '_ {
        self.0.iter().flatten().copied().filter(|letter| *letter != '1')
    }

    /// The length of an axis of one letter, in a tensor of that shape.
    pub(crate) fn length(&self, letter: char, shape: &[usize]) -> Option<usize> {
        let at = self.0.iter().position(|axis| *axis == [letter])?;
        shape.get(at).copied().filter(|_| self.0.len() == shape.len())
    }

    /// With the width of what is due as heads by their width.
    pub(crate) fn with_heads(mut self) -> Self {
        for axis in &mut self.0 {
            if let Some(at) = axis.iter().position(|letter| *letter == 'w') {
                axis.splice(at..=at, ['h', 'd']);
            }
        }
        self
    }

    /// Where each element of the tensor that is due stands in one with these axes.
    ///
    /// # Errors
    /// [`AxesError::Fit`] where the shape is another.
    pub(crate) fn places(&self, due: &[Due], shape: &[usize], ways: &Ways) -> Result<Vec<usize>, AxesError> {
        let problem = |problem: String| AxesError::Fit { axes: self.to_string(), problem };
        let sizes = self.sizes(due, shape, ways).map_err(problem)?;
        let mut stride = 1;
        let mut strides: Vec<(char, usize)> = Vec::new();
        for (letter, size) in sizes.iter().rev() {
            strides.push((*letter, stride));
            stride *= size;
        }
        let stride_of =
            |letter: char| strides.iter().find(|(of, _)| *of == letter).map_or(0, |(_, stride)| *stride);
        let part = ways.part.map_or(0, |(index, _)| index * stride_of('p'));
        let mut places = vec![part];
        for (letter, size) in due {
            let stride = stride_of(*letter);
            let of = |index: usize| match letter {
                'h' => (index * ways.repeated.max(1) + ways.copy) * stride,
                'd' if ways.interleaved => {
                    let half = size / 2;
                    (if index < half { 2 * index } else { 2 * (index - half) + 1 }) * stride
                }
                _ => index * stride,
            };
            places = places.iter().flat_map(|place| (0..*size).map(move |index| place + of(index))).collect();
        }
        Ok(places)
    }

    /// The length of each letter, from the tensor's shape.
    fn sizes(&self, due: &[Due], shape: &[usize], ways: &Ways) -> Result<Vec<(char, usize)>, String> {
        if self.0.len() != shape.len() {
            return Err(format!("the tensor has the shape {shape:?}, of {} axes", shape.len()));
        }
        for (letter, size) in due {
            if *size != 1 && self.letters().all(|there| there != *letter) {
                return Err(format!("there is no `{letter}`, of which {size} are due"));
            }
        }
        let mut sizes = Vec::new();
        for (axis, length) in self.0.iter().zip(shape) {
            let mut product: usize = 1;
            for letter in axis.iter().filter(|letter| **letter != '1') {
                let size = match (letter, due.iter().find(|(of, _)| of == letter)) {
                    ('p', _) => ways.part.map(|(_, of)| of).ok_or("`p` needs `part = [which, of]`")?,
                    ('h', Some((_, size))) => size * ways.repeated.max(1),
                    ('k', Some((_, size))) if ways.padded && axis.len() == 1 => (*length).max(*size),
                    (_, Some((_, size))) => *size,
                    (_, None) => return Err(format!("`{letter}` is no axis of what is due")),
                };
                product = product.checked_mul(size).ok_or("a length does not fit")?;
                sizes.push((*letter, size));
            }
            if product != *length {
                return Err(format!("`{}` is {product} long, the tensor has {length}", written(axis)));
            }
        }
        Ok(sizes)
    }

    /// The axes in words: `[batch, head, sequence, Dh]`.
    pub(crate) fn in_words(&self) -> String {
        let word = |letter: &char| match letter {
            'b' => "batch",
            's' => "sequence",
            'k' => "key",
            'h' => "head",
            'd' => "Dh",
            'p' => "part",
            '1' => "1",
            _ => "width",
        };
        let axis = |axis: &Vec<char>| axis.iter().map(word).collect::<Vec<_>>().join("·");
        format!("[{}]", self.0.iter().map(axis).collect::<Vec<_>>().join(", "))
    }
}

fn written(axis: &[char]) -> String {
    match axis {
        [letter] => letter.to_string(),
        several => format!("({})", several.iter().map(char::to_string).collect::<Vec<_>>().join(" ")),
    }
}

impl fmt::Display for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|axis| written(axis)).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: [Due; 4] = [('b', 1), ('s', 3), ('h', 2), ('d', 4)];

    fn places(axes: &str, shape: &[usize], ways: &Ways) -> Result<Vec<usize>, AxesError> {
        Axes::parse(axes)?.places(&DUE, shape, ways)
    }

    #[test]
    fn axes_are_read_and_written_alike() {
        for (text, again) in
            [("bshd", "b s h d"), ("b s (h d)", "b s (h d)"), ("(h d) s", "(h d) s"), ("b 1 s k", "b 1 s k")]
        {
            assert_eq!(Axes::parse(text).unwrap().to_string(), again);
        }
        assert_eq!(Axes::parse("h s d").unwrap().in_words(), "[head, sequence, Dh]");
        for text in ["b s (h d", "b s) h d", "x", "b b", "b (s s)", "((b))"] {
            assert!(Axes::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn heads_come_to_their_places() {
        let same = places("b s h d", &[1, 3, 2, 4], &Ways::default()).unwrap();
        assert_eq!(same, (0..24).collect::<Vec<_>>());
        assert_eq!(places("s (h d)", &[3, 8], &Ways::default()).unwrap(), same);
        let by_head = places("h s d", &[2, 3, 4], &Ways::default()).unwrap();
        assert_eq!(by_head[..8], [0, 1, 2, 3, 12, 13, 14, 15]);
        assert_eq!(by_head[8..12], [4, 5, 6, 7]);
    }

    #[test]
    fn parts_copies_and_pairs() {
        let part = |index| Ways { part: Some((index, 3)), ..Ways::default() };
        assert_eq!(places("b s (p h d)", &[1, 3, 24], &part(1)).unwrap()[..5], [8, 9, 10, 11, 12]);
        assert_eq!(places("b s (h p d)", &[1, 3, 24], &part(1)).unwrap()[..5], [4, 5, 6, 7, 16]);
        let repeated = Ways { repeated: 2, ..Ways::default() };
        assert_eq!(places("b s h d", &[1, 3, 4, 4], &repeated).unwrap()[..5], [0, 1, 2, 3, 8]);
        let interleaved = Ways { interleaved: true, ..Ways::default() };
        assert_eq!(places("b s h d", &[1, 3, 2, 4], &interleaved).unwrap()[..4], [0, 2, 1, 3]);
    }

    #[test]
    fn keys_may_be_padded() {
        let due = [('h', 1), ('s', 2), ('k', 2)];
        let axes = Axes::parse("h s k").unwrap();
        let padded = Ways { padded: true, ..Ways::default() };
        assert_eq!(axes.places(&due, &[1, 2, 32], &padded).unwrap(), [0, 1, 32, 33]);
        assert!(axes.places(&due, &[1, 2, 32], &Ways::default()).is_err());
        assert!(axes.places(&due, &[1, 2, 1], &padded).is_err());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (axes, shape, said) in [
            ("b s h d", &[1, 3, 4, 2][..], "`h` is 2 long, the tensor has 4"),
            ("b s h d", &[3, 2, 4][..], "of 3 axes"),
            ("b s h", &[1, 3, 2][..], "no `d`, of which 4 are due"),
            ("b s h d k", &[1, 3, 2, 4, 3][..], "`k` is no axis"),
            ("b s p h d", &[1, 3, 3, 2, 4][..], "`p` needs"),
        ] {
            let problem = places(axes, shape, &Ways::default()).unwrap_err().to_string();
            assert!(problem.contains(said), "{axes}: {problem}");
        }
    }
}
