"""The schemas of the records, field by field in the order in which they are written."""

from bundle_verifier.format_version import MAJOR, NEWEST_MINOR
from bundle_verifier.schema import (
    Always,
    Array,
    Ascending,
    Boolean,
    Constant,
    Either,
    Integer,
    Kind,
    Known,
    Map,
    Maybe,
    Measured,
    Record,
    Some,
    Tagged,
    Text,
    Word,
)


def _schema(record: str) -> Word:
    """The schemas of a record in every version that is read."""
    return Word(*(f"trialplate/{record}/{MAJOR}.{minor}" for minor in range(NEWEST_MINOR + 1)))


TEXT, COUNT, MEASURE, FLAG = Text(), Integer(), Measured(), Boolean()
DIGEST = Text("[0-9a-f]{64}")
CASE_ID = Text("[a-z0-9-]+")
VERDICTS = ["pass", "conditional", "blocked", "incomplete", "error", "fail"]
COMPARISON_VERDICTS = ["pass", "incomplete", "error", "missing", "fail"]
VERDICT = Word(*VERDICTS)
COMPARISON_VERDICT = Word(*COMPARISON_VERDICTS)
REASON = Word(
    *["shape", "dtype", "non_finite", "empty", "budget", "systematic", "chained", "exact"],
    *["invariant", "determinism", "missing", "unexpected", "unreadable", "tie", "incident"],
)
MODE = Word("isolated", "chained")
DTYPE = Word("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL")

IDENTITY = Record(name=TEXT, version=TEXT, precision=Word("f32", "f64", "f16", "bf16"), device=TEXT)
ELEMENT = Record(index=Array(COUNT), actual=MEASURE, expected=MEASURE, error=MEASURE, allowed=MEASURE)
FIT = {"scale": MEASURE, "scale_allowed": MEASURE, "offset": MEASURE, "offset_allowed": MEASURE, "used": MEASURE}
SYSTEMATIC = Either(
    "paired",
    Record(axis=Maybe(COUNT), paired=Always(), index=Maybe(COUNT), **FIT),
    Record(axis=Maybe(COUNT), index=Maybe(COUNT), **FIT),
)
BUDGET = Record(used=MEASURE, violations=COUNT, worst=Maybe(ELEMENT), systematic=Array(SYSTEMATIC))
NON_FINITE = Record(
    actual_nan=COUNT, expected_nan=COUNT, actual_infinite=COUNT, expected_infinite=COUNT, same_infinity=COUNT
)
STATISTICS = Record(
    elements=COUNT,
    violations=COUNT,
    non_finite=NON_FINITE,
    max_abs=MEASURE,
    mean_abs=MEASURE,
    max_rel=MEASURE,
    rmse=MEASURE,
    cosine=Maybe(MEASURE),
    max_ulp=Maybe(COUNT),
    used=MEASURE,
    range=Maybe(Array(MEASURE, 2)),
    buckets=Array(COUNT, 16),
    worst=Array(ELEMENT),
    ties=COUNT,
    budget=Maybe(BUDGET),
)
OUTCOME = Tagged(
    compared=Record(kind=TEXT, shape=Array(COUNT), statistics=STATISTICS),
    shape_mismatch=Record(kind=TEXT, expected=Array(COUNT), found=Array(COUNT), side=TEXT),
    dtype_mismatch=Record(kind=TEXT, expected=DTYPE, found=DTYPE, side=TEXT),
    missing=Record(kind=TEXT, side=TEXT),
    unreadable=Record(kind=TEXT, problem=TEXT),
)
COMPARISON = Record(
    name=TEXT,
    layer=Maybe(COUNT),
    step=Maybe(COUNT),
    case=TEXT,
    mode=MODE,
    reference=TEXT,
    outcome=OUTCOME,
    verdict=COMPARISON_VERDICT,
    reason=Maybe(REASON),
    chained_allowed=Maybe(MEASURE),
    downstream=FLAG,
)
FINDING = Record(case=TEXT, tensor=TEXT, reason=REASON, message=TEXT)
REQUIREMENT = Record(
    id=TEXT, text=TEXT, checked=COUNT, required=COUNT, verdict=COMPARISON_VERDICT, findings=Array(FINDING)
)
CHECKPOINT = Record(
    id=TEXT,
    name=TEXT,
    title=TEXT,
    verdict=VERDICT,
    compared=COUNT,
    required=COUNT,
    ties=COUNT,
    comparisons=Array(COMPARISON, stream=True),
    requirements=Array(REQUIREMENT),
    not_applicable=Array(Record(what=TEXT, reason=TEXT)),
)
QUORUM = Record(
    voices=Array(Record(name=TEXT, lineage=TEXT)),
    verdict=VERDICT,
    compared=COUNT,
    required=COUNT,
    used=MEASURE,
    worst=Maybe(TEXT),
    disagreement=Maybe(FINDING),
)
DIVERGENCE = Record(checkpoint=TEXT, activation=TEXT, case=TEXT, step=Maybe(COUNT), mode=MODE, reason=REASON)
DIAGNOSIS = Record(
    checkpoint=TEXT,
    activation=TEXT,
    case=TEXT,
    step=Maybe(COUNT),
    tried=COUNT,
    named=Array(Record(id=TEXT, what=TEXT, used=MEASURE)),
)
KILLER = Record(by=TEXT, reason=REASON, tensor=Maybe(TEXT), mode=Maybe(MODE), margin=Maybe(MEASURE), message=TEXT)
OBSERVATION = Record(id=TEXT, changed=FLAG, killer=Maybe(KILLER), refusals=Map(VERDICT), verdict=VERDICT)
FAULT = Record(
    id=TEXT,
    checkpoint=TEXT,
    what=TEXT,
    by=TEXT,
    reasons=Array(REASON),
    word=Word(
        *["killed", "equivalent", "not_exercised", "missing", "idle", "matters", "other_reason", "elsewhere"],
        "survived",
    ),
    note=Maybe(TEXT),
    observation=Maybe(OBSERVATION),
)
FAULTS = Record(
    extent=Word("none", "fast", "all"),
    case=Maybe(TEXT),
    declared=COUNT,
    required=COUNT,
    killed=COUNT,
    equivalent=COUNT,
    not_exercised=COUNT,
    problem=Maybe(TEXT),
    verdict=VERDICT,
    faults=Array(FAULT, stream=True),
)
PEER = Record(
    checkpoint=TEXT,
    implementation=TEXT,
    chained_max_abs=MEASURE,
    isolated_max_abs=MEASURE,
    budget_used=Maybe(MEASURE),
    ceiling_used=Maybe(MEASURE),
)
GROWTH = Record(
    case=TEXT,
    step=Maybe(COUNT),
    name=TEXT,
    layer=Maybe(COUNT),
    errors=Array(Record(implementation=TEXT, rmse=MEASURE, max_abs=MEASURE)),
)
REPEATED = Record(
    implementation=TEXT,
    cases=Array(TEXT),
    repeats=Array(Record(process=COUNT, threads=COUNT, sha256=TEXT)),
    compared=COUNT,
    required=COUNT,
    first_difference=Maybe(Record(case=TEXT, step=Maybe(COUNT), activation=TEXT, between=Array(COUNT, 2))),
)
PLACE = Record(case=TEXT, tensor=TEXT, position=Maybe(COUNT), message=TEXT)
LAW_NUMBERS = Record(
    law=TEXT,
    implementation=TEXT,
    bound=Word("bits", "replicas", "quorum"),
    compared=COUNT,
    required=COUNT,
    violations=COUNT,
    max_abs=MEASURE,
    worst=Maybe(PLACE),
    first=Maybe(PLACE),
    refusal=Maybe(TEXT),
    problem=Maybe(TEXT),
    verdict=VERDICT,
)
INCIDENT = Record(
    implementation=TEXT,
    case=Maybe(TEXT),
    kind=Word("crashed", "timed_out", "broke_protocol", "failed"),
    message=TEXT,
)
ARCHITECTURE: dict[str, Kind] = {
    "family": Text("[a-z0-9-]+"),
    "layers": COUNT,
    "sizes": Map(COUNT),
    "constants": Map(Constant()),
}
RESULTS = Record(
    schema=_schema("results"),
    model=TEXT,
    architecture=Either("features", Record(**ARCHITECTURE, features=Array(Text("[a-z0-9-]+"))), Record(**ARCHITECTURE)),
    subject=IDENTITY,
    references=Array(IDENTITY),
    cases=Array(Record(id=CASE_ID, about=TEXT, batch=COUNT, tokens=COUNT, steps=COUNT, generate=COUNT)),
    quorum=QUORUM,
    checkpoints=Array(CHECKPOINT),
    first_divergence=Maybe(DIVERGENCE),
    diagnoses=Some(DIAGNOSIS),
    faults=FAULTS,
    peers=Array(PEER),
    growth=Array(GROWTH, stream=True),
    determinism=Record(verdict=VERDICT, finding=Maybe(FINDING), implementations=Array(REPEATED)),
    laws=Record(verdict=VERDICT, findings=Array(FINDING), numbers=Array(LAW_NUMBERS)),
    incidents=Array(INCIDENT),
    reservations=Array(Record(checkpoint=Maybe(TEXT), message=TEXT)),
    notes=Array(TEXT),
    options=Array(TEXT),
    tensors=Record(keep=Word("full", "failing", "digest"), digest_only=Array(TEXT)),
    verdict=VERDICT,
    exit_code=COUNT,
)

FILE = Record(name=TEXT, bytes=COUNT, sha256=DIGEST)
FILES = Array(FILE)
MATERIALS = Record(
    schema=_schema("materials"),
    git=Maybe(Record(commit=TEXT, tree=TEXT, dirty=FLAG)),
    diff=Known(Record(bytes=COUNT, sha256=DIGEST, in_bundle=FLAG)),
    cargo_lock=DIGEST,
    python_lock=DIGEST,
    reference_source=DIGEST,
    specs=DIGEST,
    weights=FILES,
    tokenizer=FILES,
    weights_in_bundle=FLAG,
    subject_weights=Maybe(FILES),
    subject_executable=Known(FILE),
    subject_build=Known(Record(profile=TEXT, rustc=TEXT, target=TEXT, opt_level=TEXT, target_features=Ascending(TEXT))),
    toolchain=Known(TEXT),
    cpu=Record(model=Known(TEXT), features=Known(Ascending(TEXT))),
    os=Known(TEXT),
    threads=COUNT,
)

TOKENS = Array(Array(Integer(-(2**63), 2**63 - 1)))
CASE = Record(
    id=CASE_ID,
    token_ids=TOKENS,
    texts=Maybe(Array(TEXT)),
    schedule=Array(COUNT),
    generate=COUNT,
    forced=Maybe(TOKENS),
)

CAPTURES = Record(
    schema=_schema("captures"),
    captures=Array(Record(path=TEXT, bytes=COUNT, sha256=DIGEST, stored=FLAG)),
)

TENSOR_NAME = Record(step=Maybe(COUNT), activation=TEXT)
REQUIRED = Record(spec=COUNT, activation=COUNT, name=TENSOR_NAME, layer=Maybe(COUNT), shape=Array(COUNT), dtype=DTYPE)
ASSAY = Record(
    schema=_schema("assay"),
    assay=Record(
        case=TEXT,
        observations=Array(
            Record(
                required=REQUIRED,
                case=TEXT,
                mode=MODE,
                reference=TEXT,
                outcome=OUTCOME,
                chained_allowed=Maybe(MEASURE),
            ),
            stream=True,
        ),
        requirements=Array(
            Record(
                spec=COUNT,
                requirement=COUNT,
                required=COUNT,
                examination=Record(checked=COUNT, findings=Array(FINDING)),
            ),
            stream=True,
        ),
        unexpected=Array(TENSOR_NAME),
        quorum=Array(Record(name=TENSOR_NAME, between=TEXT, outcome=OUTCOME), stream=True),
        measured=Array(Record(implementation=TEXT, required=REQUIRED, mode=MODE, outcome=OUTCOME), stream=True),
    ),
)
