//! What claims to be written by `torch.save`.

use crate::case::Case;
use crate::zip::{Member, archive};

/// An archive of this pickle and one storage of six floats.
fn saved(pickle: &[u8]) -> Vec<u8> {
    let storage: Vec<u8> = (0..6u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    archive(&[Member::stored("a/data.pkl", pickle.to_vec()), Member::stored("a/data/0", storage)])
}

/// A dict of one entry, whose value is made by these opcodes.
fn dict(key: &str, value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}", &text(key)[..], value, b"s."].concat()
}

fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short text");
    [b"X", &length.to_le_bytes()[..], text.as_bytes()].concat()
}

fn number(number: i64) -> Vec<u8> {
    [b"\x8a\x08", &number.to_le_bytes()[..]].concat()
}

fn numbers(all: &[i64]) -> Vec<u8> {
    let inner: Vec<u8> = all.iter().flat_map(|&one| number(one)).collect();
    [b"(", &inner[..], b"t"].concat()
}

fn storage(key: &str, elements: i64) -> Vec<u8> {
    let class = b"ctorch\nFloatStorage\n";
    [b"(", &text("storage")[..], class, &text(key), &text("cpu"), &number(elements), b"tQ"].concat()
}

/// A tensor on `storage`.
fn tensor_on(storage: &[u8], offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let (shape, strides) = (numbers(shape), numbers(strides));
    let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n";
    [&rebuild[..], b"(", storage, &number(offset), &shape, &strides, b"\x89}tR"].concat()
}

fn tensor(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    tensor_on(&storage("0", 6), offset, shape, strides)
}

/// Lists that each hold the one before ten times.
fn laughs() -> Vec<u8> {
    let mut bytes = b"\x80\x02(]q\x00".to_vec();
    for level in 1..20u8 {
        bytes.extend(b"](");
        (0..10).for_each(|_| bytes.extend([b'h', level - 1]));
        bytes.extend([b'e', b'q', level]);
    }
    bytes.extend(b"t.");
    bytes
}

/// A list in a list in a list…
fn nested(depth: usize) -> Vec<u8> {
    let ends = b"a".repeat(depth);
    [b"\x80\x02", &b"]".repeat(depth + 1)[..], &ends, b"."].concat()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = executing();
    cases.extend(malformed());
    cases.extend(views());
    cases.extend(archives());
    cases
}

fn case(name: &'static str, pickle: &[u8], says: &'static str) -> Case {
    Case::file(name, "a.pt", saved(pickle), says)
}

fn executing() -> Vec<Case> {
    let in_dict = |name, value: &[u8], says| case(name, &dict("a", value), says);
    let named = [&text("os")[..], &text("system"), b"\x93"].concat();
    vec![
        in_dict(
            "pt_that_executes",
            b"cos\nsystem\n(X\x04\x00\x00\x00truetR",
            "the pickle asks for os.system",
        ),
        in_dict("pt_that_executes_by_protocol_4", &named, "the pickle asks for os.system"),
        in_dict("pt_name_with_an_escape_to_import", b"c\x1b[2J\nsystem\n", "\\u{1b}[2J.system"),
        in_dict("pt_that_evaluates", b"c__builtin__\neval\n", "__builtin__.eval"),
        in_dict("pt_that_imports_by_torch", b"ctorch.hub\nload\n", "torch.hub.load"),
        in_dict("pt_that_unpickles", b"ctorch.serialization\nload\n", "torch.serialization.load"),
        in_dict("pt_of_an_attribute", b"ctorch\nFloatStorage.__class__\n", "torch.FloatStorage.__class__"),
        in_dict("pt_of_an_instance", b"(ios\nsystem\n", "the opcode INST"),
        in_dict("pt_of_an_object", b"(cos\nsystem\no", "os.system"),
        in_dict("pt_of_a_new_object", b"ctorch\nSize\n)\x81", "the opcode NEWOBJ"),
        in_dict("pt_of_an_extension", b"\x82\x01", "the opcode EXT1"),
        in_dict("pt_of_a_persistent_name", b"Pname\n", "the opcode PERSID"),
        in_dict("pt_that_sets_a_state", b"]}b", "BUILD"),
        in_dict(
            "pt_of_an_array",
            b"cnumpy.core.multiarray\n_reconstruct\n",
            "numpy.core.multiarray._reconstruct",
        ),
        in_dict("pt_that_calls_a_list", b"])R", "a call of something that is no function"),
        in_dict("pt_that_calls_a_dtype", b"ctorch\nfloat32\n)R", "called with 0 arguments"),
    ]
}

fn malformed() -> Vec<Case> {
    let whole = dict("a", &tensor(0, &[2], &[1]));
    let in_dict = |name, value: &[u8], says| case(name, &dict("a", value), says);
    vec![
        case("pt_half_a_pickle", &whole[..whole.len() - 2], "half a file?"),
        case("pt_empty_pickle", b"", "half a file?"),
        case("pt_of_nothing", b"\x80\x02.", "0 values at its end"),
        case("pt_of_two_values", b"\x80\x02}}.", "2 values at its end"),
        case("pt_of_protocol_9", b"\x80\x09}.", "protocol 9"),
        case("pt_without_tensors", b"\x80\x02}.", "no tensor found"),
        case("pt_of_an_unknown_opcode", b"\x80\x02\xff.", "the opcode \"\\\\xff\""),
        case("pt_that_recalls_nothing", b"\x80\x02h\x07.", "a reference to 7"),
        case("pt_that_pops_nothing", b"\x80\x02s.", "wants a value"),
        case("pt_that_pops_below_a_mark", b"\x80\x02}(\x85.", "wants a value"),
        case("pt_without_a_mark", b"\x80\x02t.", "wants a mark"),
        case(
            "pt_key_without_value",
            &[b"\x80\x02}(", &text("a")[..], b"u."].concat(),
            "a key without a value",
        ),
        case("pt_item_for_a_dict", b"\x80\x02}]a.", "no list"),
        case("pt_key_for_a_list", b"\x80\x02]]]s.", "no dict"),
        case("pt_key_that_is_a_list", b"\x80\x02}]]s.", "a key of \"\" is a list"),
        case("pt_text_of_4_gib", b"\x80\x02X\xff\xff\xff\xffa.", "half a file?"),
        case("pt_text_of_16_eib", b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.", "half a file?"),
        case("pt_text_that_is_none", b"\x80\x02X\x01\x00\x00\x00\xff.", "no UTF-8"),
        case("pt_line_without_end", b"\x80\x02ctorch", "a line without an end"),
        case("pt_lists_within_each_other", &nested(5000), "more than 32 dicts and lists"),
        case("pt_list_that_holds_itself", b"\x80\x02]q\x00h\x00a.", "more than 32 dicts and lists"),
        case("pt_lists_of_the_same_lists", &laughs(), "too many dicts and lists"),
        in_dict("pt_storage_of_a_list", b"]Q", "a storage told by 0 values"),
        in_dict("pt_storage_that_is_no_tuple", b"NQ", "not told by a tuple"),
    ]
}

fn views() -> Vec<Case> {
    let in_dict = |name, value: &[u8], says| case(name, &dict("a", value), says);
    let view = |name, offset, shape: &[i64], strides: &[i64], says| {
        case(name, &dict("a", &tensor(offset, shape, strides)), says)
    };
    let out = "out of a storage of 6 elements";
    let far = i64::MAX;
    vec![
        view("pt_view_past_its_storage", 0, &[7], &[1], out),
        view("pt_view_from_past_its_storage", 6, &[1], &[1], out),
        view("pt_view_with_long_strides", 0, &[2, 2], &[1, 6], out),
        view("pt_view_whose_place_overflows", far, &[2], &[far], out),
        view("pt_view_whose_stride_overflows", 0, &[3], &[far], out),
        view("pt_view_before_its_storage", -1, &[1], &[1], "negative"),
        view("pt_shape_that_is_negative", 0, &[-1], &[1], "negative"),
        view("pt_shape_that_overflows", 0, &[far, far], &[0, 0], "than memory can address"),
        view("pt_view_that_repeats_one_element", 0, &[1 << 40], &[0], "repeat what is stored"),
        view("pt_shape_without_strides", 0, &[2, 3], &[1], "with the strides [1]"),
        in_dict(
            "pt_storage_of_an_exbibyte",
            &tensor_on(&storage("0", far), 0, &[1], &[1]),
            "it has 24 bytes",
        ),
        in_dict(
            "pt_storage_of_fewer_elements",
            &tensor_on(&storage("0", 5), 0, &[1], &[1]),
            "it has 24 bytes",
        ),
        in_dict(
            "pt_storage_that_is_not_there",
            &tensor_on(&storage("1", 6), 0, &[1], &[1]),
            "no member \"a/data/1\"",
        ),
        in_dict("pt_storage_elsewhere", &tensor_on(&storage("../data/0", 6), 0, &[1], &[1]), "no member"),
        in_dict("pt_tensor_without_storage", &tensor_on(b"N", 0, &[1], &[1]), "whose storage is nothing"),
    ]
}

fn archives() -> Vec<Case> {
    let good = dict("a", &tensor(0, &[2], &[1]));
    let value = tensor(0, &[2], &[1]);
    let twice = [b"\x80\x02}(", &text("a")[..], &value, &text("a"), &value, b"u."].concat();
    let nested =
        [b"\x80\x02}(", &text("a.b")[..], &value, &text("a"), b"}", &text("b"), &value, b"su."].concat();
    let member = |name: &str| Member::stored(name, good.clone());
    let with =
        |name, more: Member, says| Case::file(name, "a.pt", archive(&[member("a/data.pkl"), more]), says);
    vec![
        case("pt_two_tensors_of_one_name", &twice, "two tensors have the name \"a\""),
        case("pt_two_ways_to_one_name", &nested, "two tensors have the name \"a.b\""),
        case("pt_name_that_leads_out", &dict("../a", &value), "lead out of a folder"),
        case("pt_name_with_an_escape", &dict("\u{1b}[2J", &value), "control characters"),
        with("pt_two_pickles", member("b/data.pkl"), "one expected"),
        with("pt_of_torchscript", member("a/constants.pkl"), "TorchScript"),
        with("pt_of_another_byte_order", Member::stored("a/byteorder", b"big".to_vec()), "\"big\""),
        Case::file("pt_that_is_a_pickle", "a.pt", good.clone(), "a pickle of Python's"),
        Case::file("pt_empty_file", "a.pt", Vec::new(), "a pickle of Python's, or nothing"),
    ]
}
