//! Names of the debugger's files, and what each holds.

/// The name of the tensor in the file `stem` of a model of that class; none where the file is not the debugger's.
///
/// A file is named by the class, the module's path, `_inputs` or `_outputs`, and the way to the tensor, its parts joined by `_`.
pub(super) fn tensor(class: &str, stem: &str) -> Option<String> {
    let rest = stem.strip_prefix(class)?;
    // The model itself has no path: a dot begins one, anything else is another class.
    let rest = match rest.strip_prefix('.') {
        Some(rest) => rest,
        None if rest.starts_with('_') => rest,
        None => return None,
    };
    let (module, kind, way) = split(rest)?;
    let parts = match kind {
        "_outputs" => ["", way],
        _ => input(module, way)?,
    };
    let parts = [module, parts[0], parts[1]].into_iter().filter(|part| !part.is_empty());
    Some(parts.collect::<Vec<_>>().join("."))
}

/// The module's path, which of the two, and the way within it.
fn split(rest: &str) -> Option<(&str, &'static str, &str)> {
    let found = ["_inputs", "_outputs"].into_iter().filter_map(|kind| {
        let (at, _) = rest.match_indices(kind).find(|(at, _)| {
            let after = &rest[at + kind.len()..];
            after.is_empty() || after.starts_with('_')
        })?;
        Some((at, kind))
    });
    let (at, kind) = found.min()?;
    Some((&rest[..at], kind, rest[at + kind.len()..].trim_start_matches('_')))
}

/// `args_0` of a module is `input.0`, `kwargs_mask` is `input.mask`; what the model itself is given by keyword keeps its name.
fn input<'a>(module: &str, way: &'a str) -> Option<[&'a str; 2]> {
    if let Some(position) = way.strip_prefix("args_") {
        return Some(["input", position]);
    }
    let keyword = way.strip_prefix("kwargs_")?;
    Some([if module.is_empty() { "" } else { "input" }, keyword])
}

#[cfg(test)]
mod tests {
    use super::tensor;

    #[test]
    fn files_of_the_debugger_hold_what_a_module_was_given_or_returned() {
        for (stem, expected) in [
            ("Model_outputs_logits", "logits"),
            ("Model_inputs_kwargs_input_ids", "input_ids"),
            ("Model_inputs_args_0", "input.0"),
            ("Model.lm_head_outputs", "lm_head"),
            ("Model.h.0.attn.c_attn_outputs", "h.0.attn.c_attn"),
            ("Model.h.0.attn_outputs_0", "h.0.attn.0"),
            ("Model.h.0.ln_1_inputs_args_0", "h.0.ln_1.input.0"),
            ("Model.h.0.attn_inputs_kwargs_hidden_states", "h.0.attn.input.hidden_states"),
            ("Model.h.0.attn_inputs_kwargs_encoder_outputs", "h.0.attn.input.encoder_outputs"),
        ] {
            assert_eq!(tensor("Model", stem).as_deref(), Some(expected), "{stem}");
        }
    }

    #[test]
    fn other_files_are_not_the_debuggers() {
        for stem in
            ["", "Model", "Model.h.0", "ModelForLM_outputs", "Other.h.0_outputs", "Model.h.0_inputs_other_0"]
        {
            assert_eq!(tensor("Model", stem), None, "{stem}");
        }
    }
}
