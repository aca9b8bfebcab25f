//! Names of inputs as specs write them: `{l}`, `{l-1}`, `{L-1}`, `a | b`, `previous:x`.

/// One direct input as a spec writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputTemplate<'a> {
    /// `previous:x`: `x` of the step before.
    pub previous_step: bool,
    /// `a` of `a | b`: what stands in for the input in layer 0.
    pub in_first_layer: Option<&'a str>,
    /// The name, with `{l}`, `{l-1}` or `{L-1}`.
    pub name: &'a str,
}

/// One direct input of one activation in one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Whether it is taken from the step before.
    pub previous_step: bool,
    /// The activation, its layer filled in.
    pub activation: String,
}

impl<'a> InputTemplate<'a> {
    /// Reads one input.
    pub fn parse(text: &'a str) -> Self {
        let (previous_step, rest) = match text.strip_prefix("previous:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (in_first_layer, name) = match rest.split_once('|') {
            Some((first, others)) => (Some(first.trim()), others.trim()),
            None => (None, rest.trim()),
        };
        Self { previous_step, in_first_layer, name }
    }

    /// The names it can stand for, layers not filled in.
    pub fn alternatives(self) -> impl Iterator<Item = &'a str> {
        self.in_first_layer.into_iter().chain([self.name])
    }

    /// The input of an activation in a layer.
    pub fn resolve(self, layer: Option<usize>, layers: usize) -> Input {
        let name = match (self.in_first_layer, layer) {
            (Some(first), Some(0)) => first,
            _ => self.name,
        };
        Input { previous_step: self.previous_step, activation: in_layer(name, layer, layers) }
    }
}

/// A name with its layer filled in.
pub fn in_layer(name: &str, layer: Option<usize>, layers: usize) -> String {
    let mut filled = name.replace("{L-1}", &layers.saturating_sub(1).to_string());
    if let Some(layer) = layer {
        filled =
            filled.replace("{l-1}", &layer.saturating_sub(1).to_string()).replace("{l}", &layer.to_string());
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_filled_in_and_layer_0_has_its_stand_in() {
        let template = InputTemplate::parse("embd | h.{l-1}.out");
        assert_eq!(template.resolve(Some(0), 4).activation, "embd");
        assert_eq!(template.resolve(Some(3), 4).activation, "h.2.out");
        assert_eq!(InputTemplate::parse("h.{L-1}.out").resolve(None, 4).activation, "h.3.out");
        let previous = InputTemplate::parse("previous:h.{l}.attn.cached_k").resolve(Some(1), 4);
        assert_eq!(previous, Input { previous_step: true, activation: "h.1.attn.cached_k".to_owned() });
    }
}
