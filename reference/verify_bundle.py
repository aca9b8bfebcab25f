"""Verifies a proof bundle without any of the code that wrote it.

A second implementation of crates/proof-bundle/FORMAT.md, in Python with NumPy: it reads the records strictly, holds
the specs against its own, computes every number again from the stored tensors and derives every word again.

Not recomputed, and not claimed: the renderings (report.html, report.md, junit.xml), of which only the digests are
checked; the texts of findings; the digests in materials.json of things that a bundle does not hold; notes, options,
incidents and what did not apply, which are taken as recorded.

Exit codes: 0 conforming, 1 not conforming, 2 invalid evidence, 4 incomplete, 64 usage, 70 it could not be read.
"""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from bundle_verifier.problem import harmless
from bundle_verifier.verification import verify

SPECS = Path(__file__).resolve().parent.parent / "crates" / "checkpoint-spec" / "specs"
EXAMPLES = """examples:
  python reference/verify_bundle.py proof-bundles/5683caee9130-25f0ca06-4e6025ee
  python reference/verify_bundle.py --specs my/trusted/specs DIR
"""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("bundle", type=Path, metavar="DIR", help="the folder of the bundle")
    parser.add_argument(
        "--specs", type=Path, default=SPECS, help="specs/<family>/*.toml to judge by (default: the repository's)"
    )
    options = parser.parse_args(arguments)
    if not options.specs.is_dir():
        parser.error(f"--specs {options.specs}: no such folder; expected specs/<family>/*.toml")
    try:
        return verify(options.bundle, options.specs)
    except OSError as error:
        print(harmless(f"cannot read: {error}"), file=sys.stderr)
    except Exception as error:  # a verifier that breaks has verified nothing, and says so in one line
        print(harmless(f"internal error: {type(error).__name__}: {error}"), file=sys.stderr)
    return 70


if __name__ == "__main__":
    sys.exit(main())
