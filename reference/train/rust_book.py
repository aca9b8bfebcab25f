"""The Rust Programming Language as plain text, read from the HTML that the toolchain's rust-docs component brings."""

import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

MIT_NOTICE = "Copyright (c) 2010 The Rust Project Developers\n\n"  # the book's; the toolchain's copy has no notice


class PageText(HTMLParser):
    """The text of one mdBook page as light Markdown: headings, list items, fenced code blocks, inline code.

    Prose is unwrapped; code keeps its lines, without those that the book hides from its readers (class `boring`).
    """

    HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
    BLOCKS = HEADINGS | {"p", "ul", "ol", "li", "pre", "figure", "figcaption", "blockquote", "section", "div", "tr"}

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._pieces: list[str] = []
        self._prefix = ""
        self._in_main = self._in_pre = False
        self._hidden_spans = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "main":
            self._in_main = True
        if tag in self.BLOCKS:
            self._end_block()
        if tag == "span" and (self._hidden_spans or ("class", "boring") in attrs):
            self._hidden_spans += 1
        elif tag == "pre":
            self._in_pre = True
        elif tag == "li":
            self._prefix = "- "
        elif tag in self.HEADINGS:
            self._prefix = "#" * int(tag[1]) + " "
        elif tag == "code" and not self._in_pre:
            self.handle_data("`")
        elif tag in ("td", "th"):
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "code" and not self._in_pre:
            self.handle_data("`")
        if tag in self.BLOCKS or tag == "main":
            self._end_block()
        if tag == "main":
            self._in_main = False
        elif tag == "pre":
            self._in_pre = False
        elif tag == "span" and self._hidden_spans:
            self._hidden_spans -= 1

    def handle_data(self, data: str) -> None:
        if self._in_main and not self._hidden_spans:
            self._pieces.append(data)

    def _end_block(self) -> None:
        text = "".join(self._pieces)
        self._pieces.clear()
        if not text.strip():
            return
        if self._in_pre:
            self.blocks.append(f"```\n{text.strip(chr(10)).rstrip()}\n```")
        else:
            self.blocks.append(self._prefix + " ".join(text.split()))
        self._prefix = ""


class TableOfContents(HTMLParser):
    """The pages that mdBook's `toc.html` links to, in reading order."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        page = (dict(attrs).get("href") or "").partition("#")[0]
        if tag == "a" and page.endswith(".html") and page not in self.pages:
            self.pages.append(page)


@dataclass(frozen=True)
class Toolchain:
    """Where the corpus and the licence texts come from."""

    version: str
    html: Path

    @classmethod
    def find(cls) -> "Toolchain":
        def rustc(*args: str) -> str:
            return subprocess.run(["rustc", *args], check=True, capture_output=True, text=True).stdout.strip()

        html = Path(rustc("--print", "sysroot")) / "share/doc/rust/html"
        if not (html / "book/toc.html").is_file():
            raise SystemExit("the toolchain has no book: run `rustup component add rust-docs`")
        return cls(rustc("--version"), html)

    def book(self) -> list[str]:
        contents = TableOfContents()
        contents.feed((self.html / "book/toc.html").read_text("utf-8"))
        pages = []
        for name in contents.pages:
            page = PageText()
            page.feed((self.html / "book" / name).read_text("utf-8"))
            page.close()
            pages.append("\n\n".join(page.blocks) + "\n")
        return pages

    def licence(self, name: str) -> str:
        (path,) = (self.html / "static.files").glob(f"{name}-*.txt")
        notice = MIT_NOTICE if name == "LICENSE-MIT" else ""
        return notice + path.read_text("utf-8")
