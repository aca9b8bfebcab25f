"""Train the bundled model `reference/models/gpt2-rustbook`, from corpus to checkpoint.

The corpus is The Rust Programming Language as the toolchain ships it (`rustup component add rust-docs`), so nothing is
downloaded. The same toolchain, package versions, thread count and kind of CPU give the same bytes; elsewhere the
rounding of the matrix products differs, and with it the weights.
"""

import argparse
import hashlib
import math
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
import transformers
from rust_book import Toolchain
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

REPOSITORY = Path(__file__).resolve().parents[2]
SEED = 20260414
THREADS = 2
VOCABULARY = 1024
END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = VOCABULARY - 1  # the last id, as in GPT-2
CONTEXT = 256
BATCH = 12
HELD_OUT_PAGES = slice(16, None, 32)  # whole pages, never trained on
PEAK_LEARNING_RATE = 2e-3
WARMUP_STEPS = 200
INTERIM_STEP = 300  # a first usable model is written here
PROGRESS_EVERY = 100
CONTINUATION_TOKENS = 80
PROMPTS = ("Ownership is", "```\nfn main() {\n    let")
PROVENANCE = """\
# gpt2-rustbook: provenance

A small GPT-2 ({parameters:,} parameters) for conformance runs, trained from scratch; no other weights went into it.

| | |
|---|---|
| corpus | *The Rust Programming Language*, from the `rust-docs` component of `{toolchain}` |
| corpus licence | MIT OR Apache-2.0, © The Rust Project Developers; the same terms apply to the files here |
| corpus text | {corpus_bytes:,} bytes, SHA-256 `{corpus_sha256}` |
| tokens | {tokens:,} trained on, {held_out_tokens:,} held out (whole pages) |
| command | `{command}` |
| seed | {seed} |
| steps | {steps}, of {batch} \u00d7 {context} tokens |
| final loss | {train_loss:.4f} (nats per token, mean of the last 100 steps); held out {held_out_loss:.4f} |
| made with | {packages}; {machine} |

The tokenizer was trained on all pages, the held-out ones included.

## Files (SHA-256)

```
{digests}
```

## Greedy continuations

{samples}
"""


def train_tokenizer(pages: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - 1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(pages, trainer)
    tokenizer.add_special_tokens([END_OF_TEXT])
    assert tokenizer.token_to_id(END_OF_TEXT) == END_OF_TEXT_ID, tokenizer.get_vocab_size()
    return tokenizer


def encode(tokenizer: Tokenizer, pages: list[str]) -> Tensor:
    """All pages as one row of ids, each page closed by the end-of-text token."""
    return torch.tensor([token for page in pages for token in (*tokenizer.encode(page).ids, END_OF_TEXT_ID)])


def new_model() -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=128, n_layer=4, n_head=4,
        activation_function="gelu_new", layer_norm_epsilon=1e-5,
        bos_token_id=END_OF_TEXT_ID, eos_token_id=END_OF_TEXT_ID,
        embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def loss_of(model: GPT2LMHeadModel, windows: Tensor) -> Tensor:
    """Mean cross-entropy of the next token, at every position of windows `[B, CONTEXT + 1]`."""
    logits = model(windows[:, :-1], use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model: GPT2LMHeadModel, tokens: Tensor) -> float:
    return loss_of(model, tokens.unfold(0, CONTEXT + 1, CONTEXT)).item()


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then cosine decay to a tenth of the peak."""
    if step < WARMUP_STEPS:
        return PEAK_LEARNING_RATE * (step + 1) / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return PEAK_LEARNING_RATE * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


@dataclass(frozen=True)
class Run:
    """Everything a written model directory is made from."""

    toolchain: Toolchain
    corpus: bytes
    tokenizer: Tokenizer
    train: Tensor
    held_out: Tensor
    model: GPT2LMHeadModel
    steps: int

    def fit(self, out: Path) -> None:
        decayed = [p for p in self.model.parameters() if p.dim() >= 2]
        plain = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
        offsets = torch.arange(CONTEXT + 1)
        started, losses = time.monotonic(), list[float]()
        for step in range(self.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, self.steps)
            starts = torch.randint(len(self.train) - CONTEXT, (BATCH, 1))
            loss = loss_of(self.model, self.train[starts + offsets])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            done = step + 1
            recent = sum(losses[-PROGRESS_EVERY:]) / len(losses[-PROGRESS_EVERY:])
            if done % PROGRESS_EVERY == 0:
                print(f"step {done:5}/{self.steps}  loss {recent:.4f}  {time.monotonic() - started:6.0f} s", flush=True)
            if done in (INTERIM_STEP, self.steps):
                self.write(out, done, recent)

    @torch.no_grad()
    def continuation(self, prompt: str) -> str:
        """The prompt and its greedy continuation, computed without a cache."""
        ids = self.tokenizer.encode(prompt).ids
        for _ in range(CONTINUATION_TOKENS):
            logits = self.model(torch.tensor([ids]), use_cache=False).logits
            ids.append(int(logits[0, -1].argmax()))
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def write(self, out: Path, done: int, train_loss: float) -> None:
        """Replace the files in `out` one by one, each by an atomic rename."""
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".writing-") as name:
            staged = Path(name)
            self.model.save_pretrained(staged)
            (staged / "generation_config.json").unlink()  # decoding is the harness's business
            self.tokenizer.save(str(staged / "tokenizer.json"))
            for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
                (staged / licence).write_text(self.toolchain.licence(licence), "utf-8")
            (staged / "PROVENANCE.md").write_text(self.provenance(staged, done, train_loss), "utf-8")
            for path in sorted(staged.iterdir()):
                path.chmod(0o644)
                path.replace(out / path.name)
        print(f"wrote {out.name} after {done} steps", flush=True)

    def provenance(self, staged: Path, done: int, train_loss: float) -> str:
        digests = "\n".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(staged.iterdir())
        )
        samples = "\n\n".join(
            f"After {prompt!r}:\n\n{textwrap.indent(self.continuation(prompt), '    ')}" for prompt in PROMPTS
        )
        return PROVENANCE.format(
            toolchain=self.toolchain.version,
            corpus_bytes=len(self.corpus),
            corpus_sha256=hashlib.sha256(self.corpus).hexdigest(),
            parameters=self.model.num_parameters(),
            tokens=len(self.train),
            held_out_tokens=len(self.held_out),
            command=f"python reference/train/train_rustbook.py --steps {self.steps}",
            seed=SEED,
            steps=done if done == self.steps else f"{done} of {self.steps} (interim)",
            batch=BATCH,
            context=CONTEXT,
            train_loss=train_loss,
            held_out_loss=held_out_loss(self.model, self.held_out),
            packages=f"torch {torch.__version__}, transformers {transformers.__version__}, "
            f"tokenizers {tokenizers.__version__}",
            machine=f"{THREADS} threads, {torch.backends.cpu.get_cpu_capability()}",
            digests=digests,
            samples=samples,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "reference/models/gpt2-rustbook")
    args = parser.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)

    toolchain = Toolchain.find()
    pages = toolchain.book()
    tokenizer = train_tokenizer(pages)
    held_out = pages[HELD_OUT_PAGES]
    run = Run(
        toolchain=toolchain,
        corpus="".join(pages).encode(),
        tokenizer=tokenizer,
        train=encode(tokenizer, [page for page in pages if page not in held_out]),
        held_out=encode(tokenizer, held_out),
        model=new_model(),
        steps=args.steps,
    )
    print(f"{len(pages)} pages, {len(run.corpus):,} bytes, {len(run.train):,} training tokens", flush=True)
    run.fit(args.out)


if __name__ == "__main__":
    main()
