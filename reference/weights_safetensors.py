"""Writes safetensors files with the reference library, and checks those that internal/hf/weights wrote.

    python reference/weights_safetensors.py           writes internal/hf/weights/testdata
    python reference/weights_safetensors.py DIR       loads every file of DIR (written by go test ./internal/hf/weights
                                                      -run TestGolden -export DIR) and compares it with our own

Needs: torch, safetensors, numpy.
"""

import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

OUT = pathlib.Path(__file__).parent.parent / "internal/hf/weights/testdata"


def tensors():
    g = torch.Generator().manual_seed(7)
    x = torch.randn(5, 7, generator=g)
    edge = torch.tensor([0.0, -0.0, 1e-40, 6e-8, 3e-5, 65504.0, 65519.9, 65520.0, 1e38, float("inf"), -float("inf"), 1 / 3, 1.00390625, 1.01171875])
    return {
        "model.layers.10.w": x,
        "model.layers.9.w": x.T.contiguous(),
        "edge.f32": edge,
        "edge.f16": edge.half(),
        "edge.bf16": edge.bfloat16(),
        "x.f16": x.half(),
        "x.bf16": x.bfloat16(),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "ids": torch.arange(3),
        "mask": torch.tensor([True, False, True]),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "double": torch.randn(3, dtype=torch.float64, generator=g),
        "f8": torch.ones(3).to(torch.float8_e4m3fn),
        'odd "name"\\/\n\t\x01é\u2028\U0001f600<&>': torch.ones(1),
    }


def write():
    OUT.mkdir(parents=True, exist_ok=True)
    t = tensors()
    save_file(t, OUT / "all.safetensors", {"format": "pt"})
    save_file({k: v for k, v in t.items() if k.startswith("edge")}, OUT / "bare.safetensors")
    # What PyTorch makes of each in float32, to compare conversions with.
    save_file({k: t[k].float() for k in ["edge.f32", "edge.f16", "edge.bf16", "x.f16", "x.bf16"]}, OUT / "float32.safetensors")


def check(folder):
    want = tensors()
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        got = load_file(path)
        with safe_open(path, "pt") as f:
            assert f.metadata() in ({"format": "pt"}, None), f.metadata()
        for name, t in got.items():
            assert t.dtype == want[name].dtype and t.shape == want[name].shape, name
            assert torch.equal(t.view(torch.uint8), want[name].view(torch.uint8)) if t.dim() else t == want[name], name
        print(json.dumps({"file": path.name, "tensors": len(got), "equal": True}))


if len(sys.argv) > 1:
    check(sys.argv[1])
else:
    write()
