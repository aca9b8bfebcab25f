//! The bundled specs, and what must not pass for one.

use super::{ActivationSpec, Rule, SpecError, SpecSet};
use crate::Check;

fn bundled() -> SpecSet {
    SpecSet::bundled("gpt2").unwrap()
}

/// The bundled files with one text replaced in one of them; the replacement must have happened.
fn edited(file: &str, from: &str, to: &str) -> Result<SpecSet, SpecError> {
    let mut sources = SpecSet::sources("gpt2").unwrap();
    let (_, text) = sources.iter_mut().find(|(name, _)| name == file).unwrap();
    assert!(text.contains(from), "{file} holds no {from:?}");
    *text = text.replacen(from, to, 1);
    SpecSet::parse(sources)
}

#[track_caller]
fn rejected(file: &str, from: &str, to: &str, expected: &str) {
    let message = edited(file, from, to).unwrap_err().to_string();
    assert!(message.contains(file), "{message:?} does not name {file}");
    assert!(message.contains(expected), "{message:?} does not say {expected:?}");
}

#[test]
fn the_bundled_specs_are_thirteen_and_consistent() {
    let names: Vec<String> =
        bundled().specs.iter().map(|spec| format!("{} {}", spec.id, spec.name)).collect();
    assert_eq!(
        names,
        [
            "00 foundation",
            "01 layer-norm",
            "02 qkv",
            "03 kv-cache",
            "04 attention-scores",
            "05 attention-output",
            "06 ffn",
            "07 block",
            "08 logits",
            "09 selected-logits",
            "10 argmax",
            "11 softmax-probs",
            "12 end-to-end",
        ]
    );
}

#[test]
fn every_check_is_bound_to_a_requirement() {
    let specs = bundled();
    for check in Check::ALL {
        let used = specs.specs.iter().flat_map(|spec| &spec.requirements).any(|r| r.check == check);
        assert!(used, "no requirement has the check {check:?}");
    }
}

#[test]
fn every_activation_of_the_design_is_there() {
    let specs = bundled();
    let weights = specs.activations().filter(|(_, _, a)| a.name.starts_with("weights.")).count();
    assert_eq!(weights, 16);
    let others: Vec<&str> = specs
        .activations()
        .map(|(_, _, activation)| activation.name.as_str())
        .filter(|name| !name.starts_with("weights."))
        .collect();
    assert_eq!(
        others,
        [
            "head.tied",
            "prompt.ids",
            "token_ids",
            "embd",
            "h.{l}.ln_1.normalized",
            "h.{l}.ln_1",
            "h.{l}.ln_2.normalized",
            "h.{l}.ln_2",
            "ln_f.normalized",
            "ln_f",
            "h.{l}.attn.q",
            "h.{l}.attn.k",
            "h.{l}.attn.v",
            "h.{l}.attn.cache",
            "h.{l}.attn.cached_k",
            "h.{l}.attn.cached_v",
            "h.{l}.attn.scores",
            "h.{l}.attn.mask",
            "h.{l}.attn.probs",
            "h.{l}.attn.context",
            "h.{l}.attn.out",
            "h.{l}.mlp.fc",
            "h.{l}.mlp.act",
            "h.{l}.mlp.out",
            "h.{l}.mid",
            "h.{l}.out",
            "logits",
            "logits.last",
            "token",
            "probs.t0.5",
            "probs.t1",
            "probs.t2",
            "generated.logits",
            "generated",
        ]
    );
}

#[test]
fn the_ceilings_are_those_of_the_design() {
    let specs = bundled();
    for (spec, _, activation) in specs.activations() {
        let Some(ceiling) = &activation.ceiling else { continue };
        let expected = match spec {
            1 => 1e-5,
            8 | 12 => 1e-3,
            11 => 1e-6,
            _ => 1e-4,
        };
        assert_eq!(ceiling.tolerance.atol().to_bits(), f64::to_bits(expected), "{}", activation.name);
        assert!(ceiling.tolerance.rtol() > 0.0 && ceiling.tolerance.rtol() <= 1e-4, "{}", activation.name);
    }
}

#[test]
fn everything_is_judged_by_its_operation_but_what_no_operation_gives() {
    let specs = bundled();
    let ruled = specs.activations().filter(|(_, _, activation)| activation.op.is_none());
    let ruled: Vec<&str> =
        ruled.map(|(_, _, a)| a.name.as_str()).filter(|name| !name.starts_with("weights.")).collect();
    assert_eq!(
        ruled,
        ["head.tied", "prompt.ids", "token_ids", "h.{l}.attn.cache", "generated.logits", "generated"]
    );
    let is_chained = |rule: &Option<Rule>| matches!(rule, Some(Rule::Chained { .. }));
    let chained: Vec<&str> = specs
        .activations()
        .filter(|(_, _, a)| is_chained(&a.rule))
        .map(|(_, _, a)| a.name.as_str())
        .collect();
    assert_eq!(chained, ["generated.logits"]);
}

#[test]
fn goldens_belong_to_the_weights_of_gpt2_medium() {
    let specs = bundled();
    let [hello, answer] = &specs.specs[12].goldens[..] else { panic!("two goldens are published") };
    assert_eq!(
        format!("{}{}", hello.prompt, hello.continuation),
        "Hello. I'm a little late to the party, but"
    );
    assert!(answer.continuation.starts_with("\n\nThe answer is"));
    for name in [
        "hf:openai-community/gpt2-medium",
        "hf:gpt2-medium",
        "hf:gpt2-medium@6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
    ] {
        assert!(hello.applies_to(name), "{name}");
    }
    for name in ["gpt2-medium", "synthetic:gpt2-medium", "hf:gpt2", "hf:gpt2-medium-x", "./gpt2-medium"] {
        assert!(!hello.applies_to(name), "{name}");
    }
}

#[test]
fn an_unknown_family_is_named() {
    let message = SpecSet::bundled("mamba").unwrap_err().to_string();
    assert!(message.contains("`mamba`") && message.contains("gpt2, llama"), "{message}");
}

#[test]
fn files_may_come_in_any_order() {
    let mut sources = SpecSet::sources("gpt2").unwrap();
    sources.reverse();
    assert_eq!(SpecSet::parse(sources).unwrap(), bundled());
}

#[test]
fn a_file_left_out_is_noticed() {
    let without = |file: &str| {
        let mut sources = SpecSet::sources("gpt2").unwrap();
        let before = sources.len();
        sources.retain(|(name, _)| name != file);
        assert_eq!(sources.len() + 1, before, "{file}");
        SpecSet::parse(sources).unwrap_err().to_string()
    };
    for (file, expected) in [
        ("04-attention-scores.toml", "`05` stands where `04` must be"),
        ("12-end-to-end.toml", "12 checkpoints found, 13 expected"),
        ("family.toml", "family.toml: is not among the files"),
        ("judging.toml", "judging.toml: is not among the files"),
        ("operations/softmax.toml", "there is no law for the operation `softmax`"),
    ] {
        let message = without(file);
        assert!(message.contains(expected), "{file}: {message}");
    }
    let message = SpecSet::parse(Vec::new()).unwrap_err().to_string();
    assert!(message.contains("is not among the files"), "{message}");
}

#[test]
fn syntax_errors_name_file_and_line() {
    rejected("02-qkv.toml", "kind = \"float\"", "kind = \"floaty\"", "line 12");
    rejected(
        "02-qkv.toml",
        "steps = \"every\"",
        "steps = \"every\"\nreplay = true",
        "unknown field `replay`",
    );
    rejected("02-qkv.toml", "check = \"distinct\"", "check = \"distincd\"", "unknown variant `distincd`");
    rejected("02-qkv.toml", "atol = 1e-4", "atol = -1e-4", "finite and at least 0");
    rejected("02-qkv.toml", "atol = 1e-4", "atol = nan", "finite and at least 0");
    rejected("02-qkv.toml", "rtol = 1e-5", "rtol = inf", "finite and at least 0");
    rejected("02-qkv.toml", "rtol = 1e-5", "rtol = 1e-5, slack = 1", "unknown field `slack`");
    rejected("02-qkv.toml", ", rtol = 1e-5", "", "missing field `rtol`");
    rejected("02-qkv.toml", "title =", "titel =", "unknown field `titel`");
    rejected("02-qkv.toml", "name = \"qkv\"", "name = \"qkv\"\nname = \"qkv\"", "duplicate key");
    rejected("02-qkv.toml", "linear = {", "matmul = {", "unknown variant `matmul`");
    rejected("02-qkv.toml", "layout = \"in-out\", ", "", "missing field `layout`");
    rejected("02-qkv.toml", "part = [0, 3]", "part = [3, 3]", "part 3 of 3");
    rejected("judging.toml", "kappa = 4.0", "kapa = 4.0", "unknown field `kapa`");
    rejected("operations/linear.toml", "slices =", "slice =", "unknown field `slice`");
    rejected("family.toml", "[sizes]", "[size]", "unknown field `size`");
}

#[test]
fn names_ids_and_order_are_held() {
    rejected("02-qkv.toml", "name = \"qkv\"", "name = \"kqv\"", "02-kqv.toml");
    rejected("operations/add.toml", "operation = \"add\"", "operation = \"sum\"", "operations/sum.toml");
    let again = "[[activation]]\nname = \"h.{l}.attn.q\"\nshape = [\"B\", \"S\", \"D\"]\nkind = \"float\"\nsteps = \"every\"\n\
                 op = { add = { x = \"h.{l}.mid\", y = \"h.{l}.mlp.out\" } }\n\n[[activation]]";
    rejected("06-ffn.toml", "[[activation]]", again, "already an activation of 02");
    let ill_named = again.replace("h.{l}.attn.q", "h {l}");
    rejected("06-ffn.toml", "[[activation]]", &ill_named, "a name is letters");
    rejected("02-qkv.toml", "id = \"02.2\"", "id = \"02.3\"", "stands where `02.2` must be");
}

#[test]
fn shapes_and_values_must_make_sense() {
    rejected("02-qkv.toml", "\"Dh\"", "\"Dk\"", "unknown symbol `Dk`");
    rejected("03-kv-cache.toml", "[\"2\",", "[\"0\",", "unknown symbol `0`");
    rejected("12-end-to-end.toml", "\"N\", \"V\"", "\"S\", \"V\"", "only a step has");
    rejected("02-qkv.toml", "range = [-1000.0, 1000.0]", "range = [1.0, 1.0]", "is no range");
    let masks = "steps = \"every\"\nnon_finite = \"negative-infinity-after-query\"";
    rejected("02-qkv.toml", "steps = \"every\"", masks, "[…, S, K]");
    let reason = "reason = \"the output head is wte itself; whether it is the same storage is yes or no\"";
    rejected("00-foundation.toml", reason, "reason = \" \"", "`reason` is empty");
    let ceiling = "steps = \"every\"\nceiling = { atol = 1e-4, rtol = 1e-5, reason = \"so\" }";
    rejected("10-argmax.toml", "steps = \"every\"", ceiling, "a ceiling is for floats");
}

#[test]
fn inputs_must_exist_and_be_reachable() {
    rejected("02-qkv.toml", "x = \"h.{l}.ln_1\"", "x = \"h.{l}.ln_0\"", "there is no such activation");
    let last = "op = { layer_norm = { x = \"h.{L-1}.out\", epsilon = \"epsilon\" } }";
    rejected("01-layer-norm.toml", last, &last.replace("{L-1}", "{l}"), "the last layer is `{L-1}`");
    rejected("01-layer-norm.toml", "\"embd | h.{l-1}.out\"", "\"h.{l-1}.out\"", "a stand-in for layer 0");
    rejected("06-ffn.toml", "x = \"h.{l}.ln_2\"", "x = \"h.{l}.mlp.act\"", "lead back to");
    rejected("00-foundation.toml", "ids = \"token_ids\"", "ids = \"head.tied\"", "no input of a step");
}

#[test]
fn everything_is_judged_in_one_way_and_can_be() {
    let op = "op = { argmax = { x = \"logits.last\" } }";
    rejected("10-argmax.toml", op, "", "neither an operation nor a rule");
    let rule = format!("{op}\nrule = {{ kind = \"exact\", reason = \"so\" }}");
    rejected("10-argmax.toml", op, &rule, "an operation and a rule");
    let inputs = format!("{op}\ninputs = [\"logits.last\"]");
    rejected("10-argmax.toml", op, &inputs, "the operation names the inputs");
    let budget = format!("{op}\nbudget = {{ slices = [\"tensor\"], reason = \"so\" }}");
    rejected("10-argmax.toml", op, &budget, "moves data and has a rounding budget");
    rejected("10-argmax.toml", "steps = \"every\"", "steps = \"case\"", "occurs in every step");
    rejected("02-qkv.toml", "\"columns\"]", "\"F\"]", "the slice `F` is no axis");
    let float = "kind = \"float\"\nsteps = \"every\"\nop = { rows";
    rejected("00-foundation.toml", float, &float.replace("float", "token"), "`rows` gives floats");
    rejected(
        "12-end-to-end.toml",
        "rule = { kind = \"derived\", from = \"greedy\",",
        "rule = { kind = \"chained\",",
        "a chained bound is for floats",
    );
}

#[test]
fn numbers_that_decide_are_numbers_with_a_reason() {
    for (from, to, expected) in [
        ("probability = 1e-9", "probability = 0.0", "false_alarm.probability is 0"),
        ("probability = 1e-9", "probability = 1.0", "1 − false_alarm.probability is 0"),
        ("kappa = 4.0", "kappa = 1.0", "chained.kappa is 1"),
        ("kappa = 4.0", "kappa = inf", "chained.kappa is inf"),
        ("kappa = 4.0", "kappa = nan", "chained.kappa is NaN"),
        ("replicas = 8", "replicas = 7", "chained.replicas is 7; it lies between 8"),
        ("replicas = 8", "replicas = 9", "chained.replicas is 9"),
        ("roundings = 65536.0", "roundings = -1.0", "quorum.roundings is -1"),
        ("allowance = 2.0", "allowance = 0.0", "systematic.allowance is 0"),
        ("used = 0.5", "used = 0.0", "reservation.used is 0"),
        ("reason = \"voices", "reason = \"\" # \"voices", "a number has no reason"),
    ] {
        rejected("judging.toml", from, to, expected);
    }
    for (from, to, expected) in [
        ("reason = \"sums of as many", "reason = \" \" # \"sums", "`reason` is empty"),
        ("\"weights\", \"output\"", "\"weights\"", "is rounded at its output"),
        ("\"weights\", \"output\"", "\"output\", \"output\"", "twice in one place"),
    ] {
        rejected("operations/linear.toml", from, to, expected);
    }
}

#[test]
fn requirements_must_leave_nothing_out() {
    let agreement = "check = \"agreement\"\nof = [\"h.{l}.attn.q\", \"h.{l}.attn.k\", \"h.{l}.attn.v\"]";
    rejected(
        "02-qkv.toml",
        agreement,
        "check = \"agreement\"\nof = [\"h.{l}.attn.q\"]",
        "`h.{l}.attn.k` compared",
    );
    let finite = agreement.replace("agreement", "finite");
    rejected("02-qkv.toml", &finite, "check = \"finite\"\nof = [\"h.{l}.attn.q\"]", "scanned for NaN");
    let range = agreement.replace("agreement", "plausible-range");
    rejected(
        "02-qkv.toml",
        &range,
        "check = \"plausible-range\"\nof = [\"h.{l}.attn.q\"]",
        "held against its range",
    );
    let distinct = agreement.replace("agreement", "distinct");
    rejected(
        "02-qkv.toml",
        &distinct,
        "check = \"distinct\"\nof = [\"h.{l}.attn.q\"]",
        "differs from itself",
    );
    rejected("02-qkv.toml", &distinct, "check = \"distinct\"\nof = []", "`of` must name");
    rejected(
        "02-qkv.toml",
        &distinct,
        "check = \"distinct\"\nof = [\"h.{l}.attn.q\", \"ln_f\"]",
        "is no activation of this checkpoint",
    );
    rejected(
        "02-qkv.toml",
        &distinct,
        "check = \"cache-append-only\"\nof = [\"h.{l}.attn.q\"]",
        "is not indexed by position",
    );
    rejected(
        "00-foundation.toml",
        "check = \"agreement\"\nof = [\"token_ids\"]",
        "check = \"finite\"\nof = [\"token_ids\"]",
        "holds no floats",
    );
}

#[test]
fn a_requirement_needs_a_check() {
    rejected("06-ffn.toml", "check = \"finite\"\n", "", "missing field `check`");
}

#[test]
fn goldens_must_say_something() {
    rejected("12-end-to-end.toml", "tokens = 10", "tokens = 0", "says nothing");
    rejected("12-end-to-end.toml", "prompt = \"Hello.\"", "prompt = \"\"", "`golden.prompt` is empty");
    let models = "models = [\"hf:openai-community/gpt2-medium\", \"hf:gpt2-medium\"]";
    rejected("12-end-to-end.toml", models, "models = []", "the names of its models");
}

#[test]
fn places_name_what_is_there_and_can_be_computed() {
    let place = r#"places = [{ at = ["h.{l}.mlp.fc"], change = { set = { x = "h.{l}.ln_1" } } }]"#;
    let instead = |to: &str, expected: &str| rejected("06-ffn.toml", place, to, expected);
    let change = |change: &str| format!(r#"places = [{{ at = ["h.{{l}}.mlp.fc"], change = {change} }}]"#);
    instead(&place.replace("mlp.fc", "mlp.fx"), "there is no activation `h.{l}.mlp.fx`");
    instead(&place.replace("h.{l}.mlp.fc", "token_ids"), "`token_ids` has no operation");
    instead(r#"places = [{ at = ["h.{l}.mlp.fc"] }]"#, "either a mutation or a change");
    instead(
        r#"places = [{ at = ["h.{l}.mlp.fc"], mutation = "erf" }]"#,
        "`linear`, which gives `h.{l}.mlp.fc`, has no mutation `erf`",
    );
    instead(&change(r#"{ set = { x = "h.{l}.mlp.act" } }"#), "cannot be applied to");
    instead(&change(r#"{ set = { x = "h.{l}.out" } }"#), "reads `h.0.out`, which is computed after it");
    instead(&change(r#"{ set = { y = "h.{l}.ln_1" } }"#), "unknown field `y`");
    instead(&change(r#"{ hands_on = "x" }"#), "declared as");
    instead(&change(r#"{ wrong = "over-queries" }"#), "`linear` has no wrong way `over-queries`");
    instead(&change(r#"{ weight = { of = "gain", change = "zero" } }"#), "has no weight `gain`");
    let layers = place.replace("],", "], layers = \"third\",");
    instead(&layers, "unknown variant `third`");
}

#[test]
fn mutations_have_ids_of_their_own() {
    let first = "id = \"first-missing\"\nwhat";
    rejected("operations/add.toml", first, "id = \"second-missing\"\nwhat", "another mutation");
    rejected("operations/add.toml", first, "id = \"First\"\nwhat", "lower-case letters");
}

/// The specs of every family, for models without any feature and with each one.
fn of_every_kind() -> Vec<SpecSet> {
    let of_family = |family: &str| {
        let features = SpecSet::bundled(family).unwrap().family.features;
        let one = features.into_iter().map(|feature| graph::Features::from([feature.name]));
        let all: Vec<SpecSet> = std::iter::once(graph::Features::new())
            .chain(one)
            .filter_map(|features| SpecSet::parse_for(SpecSet::sources(family).unwrap(), &features).ok())
            .collect();
        assert!(all.len() > 2, "{family}");
        all
    };
    ["gpt2", "llama"].into_iter().flat_map(of_family).collect()
}

#[test]
fn every_mutation_fits_an_activation_and_has_a_way() {
    let sets = of_every_kind();
    let activations: Vec<(&SpecSet, &ActivationSpec)> = sets
        .iter()
        .flat_map(|set| set.activations().map(move |(_, _, activation)| (set, activation)))
        .collect();
    let mut unused: Vec<String> = Vec::new();
    for law in sets[0].operations.values() {
        let ops: Vec<_> = activations
            .iter()
            .filter_map(|(set, activation)| Some((set, activation, activation.op.as_ref()?)))
            .filter(|(_, _, op)| op.name() == law.operation)
            .collect();
        let fits = |id: &str| {
            ops.iter()
                .any(|(set, activation, _)| set.changes_at(activation).iter().any(|named| named.id == id))
        };
        unused.extend(law.mutations.iter().filter(|one| !fits(&one.id)).map(|one| one.id.clone()));
        for mutation in &law.mutations {
            let graph::Change::Wrong(way) = &mutation.change else { continue };
            assert!(ops.iter().any(|(_, _, op)| oracle::wrong_ways(op).contains(&way.as_str())), "{way}");
        }
    }
    assert_eq!(unused, Vec::<String>::new());
}

#[test]
fn a_fault_is_put_in_where_its_places_say() {
    let specs = bundled();
    let sizes = [("D", 8), ("H", 2), ("Dh", 4)].map(|(symbol, size)| (symbol.to_owned(), size)).into();
    let architecture = graph::Architecture {
        family: "gpt2".to_owned(),
        layers: 3,
        sizes,
        constants: [("epsilon".to_owned(), 1e-5)].into(),
        features: graph::Features::new(),
    };
    let at = |id: &str| -> Vec<String> {
        let (_, fault) = specs.faults().find(|(_, fault)| fault.id == id).unwrap();
        specs.mutated(&fault.places, &specs.graph(), &architecture).unwrap().into_keys().collect()
    };
    assert_eq!(at("norm-epsilon-1e-6").len(), 4 * 3 + 2);
    assert_eq!(at("ffn-bias-missing"), ["h.1.mlp.fc"]);
    assert_eq!(at("qkv-nan-in-one-element"), ["h.0.attn.k"]);
    let inputs = specs.faults().find(|(_, fault)| fault.id == "qkv-inputs-tf32").unwrap().1;
    let both = &specs.mutated(&inputs.places, &specs.graph(), &architecture).unwrap()["h.2.attn.v"];
    assert_eq!((both.inputs.len(), both.weights.len()), (1, 1), "two mutations at one place");
}

#[test]
fn bugs_of_an_activation_are_those_of_its_operation_and_of_faults_that_are_its_own() {
    let specs = bundled();
    let (_, _, fc) = specs.activations().find(|(_, _, found)| found.name == "h.{l}.mlp.fc").unwrap();
    let ids: Vec<&str> = specs.changes_at(fc).into_iter().map(|named| named.id).collect();
    for id in ["weights-f16", "bias-missing", "ffn-parallel-to-attention", "ffn-fc-of-another-layer"] {
        assert!(ids.contains(&id), "{id}: {ids:?}");
    }
    assert!(!ids.contains(&"attention-projection-of-another-layer"), "{ids:?}");
}
