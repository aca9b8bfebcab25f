"""GPT-2's byte-level BPE, written from its description and independent of the `tokenizers` library."""

import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import regex

_WORDS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def _byte_alphabet() -> dict[int, str]:
    """GPT-2 writes each byte as one printable character; the unprintable ones move to 256 and above, in order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}


class BytePairEncoder:
    def __init__(self, path: Path):
        raw = json.loads(path.read_text(encoding="utf-8"))
        model, split = raw["model"], raw["pre_tokenizer"] or {}
        expected = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
        found = {key: split.get(key, key == "use_regex") for key in expected}
        if model["type"] != "BPE" or raw.get("normalizer") is not None or found != expected:
            raise ValueError(
                f"{path}: expected BPE after {expected} without a normalizer, found {model['type']} after {found}"
            )
        self._vocabulary: dict[str, int] = model["vocab"]
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        self._ranks = {(left, right): rank for rank, (left, right) in enumerate(pairs)}
        self._special = {token["content"]: int(token["id"]) for token in raw.get("added_tokens", [])}
        self._alphabet = _byte_alphabet()
        self._encode_word = functools.lru_cache(maxsize=65536)(self._merge)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in self._split_special(text):
            if part in self._special:
                ids.append(self._special[part])
            else:
                for word in _WORDS.findall(part):
                    ids.extend(self._encode_word(word))
        return ids

    def _split_special(self, text: str) -> Iterator[str]:
        if not self._special:
            yield text
            return
        longest_first = sorted(self._special, key=len, reverse=True)
        yield from regex.split("(" + "|".join(map(regex.escape, longest_first)) + ")", text)

    def _merge(self, word: str) -> tuple[int, ...]:
        """Join the adjacent pair of the lowest rank until no pair has one."""
        parts = [self._alphabet[byte] for byte in word.encode("utf-8")]
        while len(parts) > 1:
            unranked = len(self._ranks)
            ranks = [self._ranks.get(pair, unranked) for pair in itertools.pairwise(parts)]
            if (lowest := min(ranks)) == unranked:
                break
            merged: list[str] = []
            index = 0
            while index < len(parts):
                joins = index < len(ranks) and ranks[index] == lowest
                merged.append("".join(parts[index : index + 1 + joins]))
                index += 1 + joins
            parts = merged
        if unknown := [part for part in parts if part not in self._vocabulary]:
            raise ValueError(f"the vocabulary has no token for {unknown[0]!r}, a part of {word!r}")
        return tuple(self._vocabulary[part] for part in parts)
