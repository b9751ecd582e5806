"""Trains a LoRA by transformers and PEFT, as one would by hand, on rows that were written down.

    python reference/peft_train.py FOLDER

FOLDER has model/ (a checkpoint), start/ (the adapter to begin with) and rows.json: the optimizer's settings, and of every update the
rate and the rows. A row has tokens, targets and the loss weight of each target. Batches are padded to their longest row. It
leaves end/, the adapter, and losses.jsonl with a line for every update: the loss, the gradient's norm, the seconds since the first
update began, the peak of the process's memory in bytes.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM


def padded(rows: list[dict[str, list[float]]], key: str, dtype: torch.dtype) -> Tensor:
    """Returns a field of all rows (row, place), zeros behind the shorter ones."""
    longest = max(len(r["tokens"]) for r in rows)
    return torch.tensor([r[key] + [0] * (longest - len(r[key])) for r in rows], dtype=dtype)


def main() -> None:
    folder = Path(sys.argv[1])
    plan = json.loads((folder / "rows.json").read_text())
    torch.set_num_threads(plan["threads"])
    base = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, folder / "start", is_trainable=True)
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=0.0, betas=(plan["beta1"], plan["beta2"]), eps=plan["eps"], weight_decay=plan["weight_decay"])
    model.train()
    begun = time.perf_counter()
    with (folder / "losses.jsonl").open("w") as out:
        for update in plan["updates"]:
            rows = update["rows"]
            there = torch.arange(max(len(r["tokens"]) for r in rows)) < torch.tensor([[len(r["tokens"])] for r in rows])
            logits = model(input_ids=padded(rows, "tokens", torch.long), attention_mask=there.long()).logits
            each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), padded(rows, "targets", torch.long).flatten(), reduction="none")
            loss = (each * padded(rows, "weights", torch.float32).flatten()).sum()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(params, plan["clip_norm"])
            for group in optimizer.param_groups:
                group["lr"] = update["rate"]
            optimizer.step()
            optimizer.zero_grad()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            line = {"loss": loss.item(), "grad_norm": norm.item(), "seconds": time.perf_counter() - begun, "peak": peak}
            out.write(json.dumps(line) + "\n")
            out.flush()
    model.save_pretrained(folder / "end")


main()
