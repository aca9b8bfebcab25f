"""Verifies proof bundles without any of the code that wrote them.

A second implementation of crates/proof-bundle/FORMAT.md, in Python with NumPy: it reads the records strictly, holds
the specs against its own, computes every number again from the stored tensors and the weights, and derives every word
again. It adds up in an order of its own, so recorded numbers must lie within the margins that the format states.
Where a number is closer to its bound than that, the word is uncertain.

Not recomputed, and not claimed: the renderings (report.html, report.md, junit.xml) and the schemas, of which only the
digests are checked; the texts of findings; what FORMAT.md calls the record's word (section 12): faults, laws, repeats
but the first, cases without tensors, incidents, notes. Signatures are not looked at. Of what may be stale it compares
the commit and the two lock files with the work tree; the source of the references and the schemas it does not.

Exit codes: 0 conforming, 1 not conforming, 2 invalid evidence, 3 stale evidence, 4 incomplete or uncertain, 64 usage,
70 it could not be read. Of several bundles the exit code is the gravest: 70, 2, 1, 3, 4, 0.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")  # before NumPy

import argparse
import resource
import sys
from pathlib import Path
from typing import NoReturn

from bundle_verifier.problem import harmless
from bundle_verifier.repository import CASES, SPECS, Repository
from bundle_verifier.verification import UNREADABLE, Question, verify

ROOT = Path(__file__).resolve().parent.parent
MOST_MEMORY = 512 << 20  # until the records have been read
MOST_TO_COMPUTE = 4 << 30
GRAVITY = [70, 2, 1, 3, 4, 0]
EXAMPLES = """examples:
  python reference/verify_bundle.py --historical proof-bundles/golden
  python reference/verify_bundle.py proof-bundles/*/              # of this very work tree
  python reference/verify_bundle.py --historical --expect-commit f328d059ebf7 DIR
  python reference/verify_bundle.py --partial DIR                 # a run of some checkpoints or cases
  python reference/verify_bundle.py --model models/gpt2 DIR       # a bundle without the weights of its model
"""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def parser() -> Parser:
    made = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("bundles", type=Path, nargs="+", metavar="DIR", help="the folder of a bundle")
    made.add_argument("--historical", action="store_true", help="do not ask whether it is of this work tree")
    made.add_argument("--expect-commit", metavar="COMMIT", help="exit 3 unless it is of this commit, and clean")
    made.add_argument("--partial", action="store_true", help="a run of some of the checkpoints and cases is enough")
    made.add_argument(
        "--specs", type=Path, default=ROOT / SPECS, help="folder of families to judge by (default: the repository's)"
    )
    made.add_argument("--model", type=Path, metavar="MODEL", help="the folder of the model that it must be about")
    made.add_argument("--cases", type=Path, default=ROOT / CASES, help="the own cases (default: the repository's)")
    return made


def main(arguments: list[str] | None = None) -> int:
    made = parser()
    options = made.parse_args(arguments)
    if not options.specs.is_dir():
        made.error(f"--specs {options.specs}: no such folder; expected <family>/*.toml in it")
    if options.model is not None and not options.model.is_dir():
        made.error(f"--model {options.model}: no such folder; expected config.json and model.safetensors in it")
    repository = Repository(ROOT)
    question = Question(
        options.specs,
        options.cases,
        repository,
        options.historical,
        options.expect_commit,
        options.partial,
        options.model,
        _allow_to_compute,
    )
    codes = []
    for bundle in options.bundles:
        if len(options.bundles) > 1:
            print(harmless(f"bundle         {bundle}"))
        codes.append(_verify(bundle, question))
    return min(codes, key=GRAVITY.index)


def _verify(bundle: Path, question: Question) -> int:
    try:
        return verify(bundle, question)
    except OSError as error:
        print(harmless(f"cannot read: {error}"), file=sys.stderr)
    except Exception as error:  # a verifier that breaks has verified nothing, and says so in one line
        print(harmless(f"internal error: {type(error).__name__}: {error}"), file=sys.stderr)
    return UNREADABLE


def _allow_to_compute() -> None:
    """What a record claims takes no more memory than its bytes; what a model computes takes more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == MOST_MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_TO_COMPUTE))
    sys.exit(main())
