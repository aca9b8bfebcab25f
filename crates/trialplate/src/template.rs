//! Templates of names: `transformer.h.{l}.attn`, where `{l}` is a layer, `{l+1}` the one after it, and `{L}` how many there are.

/// The layer that makes a template a name, if it is one; `None` inside where it names none.
#[expect(clippy::option_option, reason = "a name may have no layer, or be no name of the template")]
pub(crate) fn matched(template: &str, name: &str, layers: usize) -> Option<Option<usize>> {
    let template = template.replace("{L}", &layers.to_string());
    let Some((before, rest)) = template.split_once("{l") else {
        return (template == name).then_some(None);
    };
    let (offset, after) = rest.split_once('}')?;
    let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().ok()? };
    let rest = name.strip_prefix(before)?;
    // The digits as far as they go; what stands after them may hold the number once more.
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let number: i64 = rest[..digits].parse().ok()?;
    let layer = usize::try_from(number.checked_sub(offset)?).ok().filter(|layer| *layer < layers)?;
    let after = filled(after, layer);
    (rest[digits..] == after && number.to_string() == rest[..digits]).then_some(Some(layer))
}

/// The name that a template is in a layer.
pub(crate) fn filled(template: &str, layer: usize) -> String {
    let mut name = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{l") {
        name.push_str(before);
        match after.split_once('}') {
            Some((offset, after)) => {
                let offset: i64 = offset.parse().unwrap_or(0);
                let layer = i64::try_from(layer).unwrap_or(i64::MAX).saturating_add(offset);
                name.push_str(&layer.to_string());
                rest = after;
            }
            None => rest = after,
        }
    }
    name.push_str(rest);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_and_filled_in() {
        for (template, name, found) in [
            ("h.{l}.attn", "h.3.attn", Some(Some(3))),
            ("h.{l}.attn", "h.12.attn", None),
            ("h.{l}.attn", "h.03.attn", None),
            ("h.{l}.attn", "h.x.attn", None),
            ("hidden_states.{l+1}", "hidden_states.1", Some(Some(0))),
            ("hidden_states.{l+1}", "hidden_states.0", None),
            ("hidden_states.{L}", "hidden_states.4", Some(None)),
            ("kq-{l}", "kq-0", Some(Some(0))),
            ("{l}/in/{l}", "2/in/2", Some(Some(2))),
            ("{l}/in/{l}", "2/in/3", None),
            ("embd", "embd", Some(None)),
        ] {
            assert_eq!(matched(template, name, 4), found, "{template} {name}");
        }
        assert_eq!(filled("h.{l}.to.{l+1}", 2), "h.2.to.3");
    }
}
