"""The schemas of the three records, field by field in the order in which they are written."""

from bundle_verifier.schema import (
    Array,
    Boolean,
    Constant,
    Integer,
    Map,
    Maybe,
    Measured,
    Record,
    Tagged,
    Text,
    Word,
)

TEXT, COUNT, MEASURE, FLAG = Text(), Integer(), Measured(), Boolean()
DIGEST = Text("[0-9a-f]{64}")
VERDICTS = ["pass", "conditional", "blocked", "incomplete", "error", "fail"]
COMPARISON_VERDICTS = ["pass", "incomplete", "error", "missing", "fail"]
VERDICT = Word(*VERDICTS)
COMPARISON_VERDICT = Word(*COMPARISON_VERDICTS)
REASON = Word(
    *["shape", "dtype", "non_finite", "empty", "ceiling", "budget", "systematic", "chained", "exact"],
    *["invariant", "missing", "unexpected", "unreadable", "tie"],
)
MODE = Word("run", "replay")
DTYPE = Word("F64", "F32", "F16", "BF16", "I64", "I32", "U8", "BOOL")

IDENTITY = Record(name=TEXT, version=TEXT, precision=Word("f32", "f64"), device=TEXT)
ELEMENT = Record(index=Array(COUNT), actual=MEASURE, expected=MEASURE, error=MEASURE, allowed=MEASURE)
SYSTEMATIC = Record(
    axis=Maybe(COUNT),
    index=Maybe(COUNT),
    scale=MEASURE,
    scale_allowed=MEASURE,
    offset=MEASURE,
    offset_allowed=MEASURE,
    used=MEASURE,
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
    comparisons=Array(COMPARISON),
    requirements=Array(REQUIREMENT),
    not_applicable=Array(Record(what=TEXT, reason=TEXT)),
)
RESULTS = Record(
    schema=Word("trialplate/results/1"),
    model=TEXT,
    architecture=Record(family=Text("[a-z0-9-]+"), layers=COUNT, sizes=Map(COUNT), constants=Map(Constant())),
    subject=IDENTITY,
    references=Array(IDENTITY),
    cases=Array(
        Record(id=Text("[a-z0-9-]+"), about=TEXT, batch=COUNT, tokens=COUNT, steps=COUNT, generate=COUNT),
    ),
    quorum=Record(
        verdict=VERDICT,
        compared=COUNT,
        required=COUNT,
        used=MEASURE,
        worst=Maybe(TEXT),
        disagreement=Maybe(FINDING),
    ),
    checkpoints=Array(CHECKPOINT),
    first_divergence=Maybe(
        Record(checkpoint=TEXT, activation=TEXT, case=TEXT, step=Maybe(COUNT), mode=MODE, reason=REASON),
    ),
    peers=Array(
        Record(
            checkpoint=TEXT,
            implementation=TEXT,
            run_max_abs=MEASURE,
            replay_max_abs=MEASURE,
            budget_used=Maybe(MEASURE),
        ),
    ),
    incidents=Array(
        Record(
            implementation=TEXT,
            case=Maybe(TEXT),
            kind=Word("crashed", "timed_out", "broke_protocol", "failed"),
            message=TEXT,
        ),
    ),
    reservations=Array(Record(checkpoint=Maybe(TEXT), message=TEXT)),
    notes=Array(TEXT),
    options=Array(TEXT),
    verdict=VERDICT,
    exit_code=COUNT,
)

FILES = Array(Record(name=TEXT, bytes=COUNT, sha256=DIGEST))
MATERIALS = Record(
    schema=Word("trialplate/materials/1"),
    git=Maybe(Record(commit=TEXT, tree=TEXT, dirty=FLAG)),
    cargo_lock=DIGEST,
    python_lock=DIGEST,
    reference_source=DIGEST,
    specs=DIGEST,
    weights=FILES,
    tokenizer=FILES,
    subject_weights=Maybe(FILES),
    toolchain=TEXT,
    cpu=TEXT,
    os=TEXT,
    threads=COUNT,
)

TOKENS = Array(Array(Integer(-(2**63), 2**63 - 1)))
CASE = Record(
    id=Text("[a-z0-9-]+"),
    token_ids=TOKENS,
    texts=Maybe(Array(TEXT)),
    schedule=Array(COUNT),
    generate=COUNT,
    forced=Maybe(TOKENS),
)
