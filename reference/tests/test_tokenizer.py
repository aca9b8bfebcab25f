import json
from pathlib import Path

import pytest
from conftest import TEXT
from tokenizers import Tokenizer

from trialplate_reference.bpe import BytePairEncoder

TEXTS = [
    "",
    TEXT,
    "  leading and trailing  ",
    "tabs\tand\nlines\r\n\r\n   then   spaces   ",
    "I'll say it's they're I'VE don't 'twas",
    "x1 2y ½ ² Ⅷ 12345",
    "日本語とEnglish混在、ελληνικά, العربية, हिन्दी",
    "e\u0301 \u00a0 \u2003 \u200b \ufeff \x00 \x7f \x85",
    "🙂👩‍👩‍👧‍👦 flags 🇩🇪",
    "<|endoftext|>a<|endoftext|><|endoftext|> <|endoftext",
    "aaaaaaaaaaaaaaaaaaaaaaaa !!!???...",
]


@pytest.mark.parametrize("text", TEXTS)
def test_both_tokenizers_agree(model: Path, text: str) -> None:
    path = model / "tokenizer.json"
    assert (
        BytePairEncoder(path).encode(text) == Tokenizer.from_file(str(path)).encode(text, add_special_tokens=False).ids
    )


def test_merges_may_be_written_as_strings(model: Path, tmp_path: Path) -> None:
    raw = json.loads((model / "tokenizer.json").read_text())
    raw["model"]["merges"] = [merge if isinstance(merge, str) else " ".join(merge) for merge in raw["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    assert BytePairEncoder(tmp_path / "tokenizer.json").encode(TEXT) == BytePairEncoder(
        model / "tokenizer.json"
    ).encode(TEXT)


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        {"pre_tokenizer": None},
    ],
)
def test_another_kind_of_tokenizer_is_refused(model: Path, tmp_path: Path, change: dict[str, object]) -> None:
    raw = json.loads((model / "tokenizer.json").read_text()) | change
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match="expected BPE after"):
        BytePairEncoder(tmp_path / "tokenizer.json")


def test_a_byte_without_a_token_is_an_error(model: Path, tmp_path: Path) -> None:
    raw = json.loads((model / "tokenizer.json").read_text())
    del raw["model"]["vocab"]["~"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match="no token for '~'"):
        BytePairEncoder(tmp_path / "tokenizer.json").encode("~")
