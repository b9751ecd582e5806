"""Golden trajectories of SOAP for internal/engine/local/optim.

Follows the behaviour of the authors' reference implementation (github.com/nikhilvyas/SOAP, Vyas et al. 2024) with its
defaults: normalize_grads and merge_dims off, precondition_1d off, bias correction on, shampoo_beta = beta2. Written anew
after the paper and that behaviour, in float64, so that what is measured against it is the other side's rounding.

    python reference/soap_golden.py | gzip -9n > internal/engine/local/optim/testdata/soap.json.gz
"""

import json
import math

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

LR, BETA1, BETA2, EPS, DECAY = 3e-3, 0.95, 0.95, 1e-8, 0.01
STEPS = 50
CASES = [
    # name, shape, refreshes every, max_precond_dim
    ("square", (12, 12), 1, 10000),
    ("square", (12, 12), 10, 10000),
    ("wide", (10, 16), 1, 10000),
    ("wide", (6, 40), 10, 10000),
    ("tall", (16, 10), 1, 10000),
    ("tall", (40, 6), 10, 10000),
    ("blocks", (70, 70), 10, 10000),
    ("one side", (24, 9), 1, 16),
    ("other side", (9, 24), 10, 16),
    ("no side", (24, 20), 10, 16),
    ("vector", (16,), 1, 10000),
    ("vector", (16,), 10, 10000),
]


def noise(n, t):
    """Uniform-looking numbers in [-1, 1) that any language can repeat."""
    out = []
    for i in range(n):
        x = math.sin(12.9898 * (i + 1) + 78.233 * (t + 1)) * 43758.5453
        out.append(2 * (x - math.floor(x)) - 1)
    return torch.tensor(out)


def gradient(w, t):
    return 0.5 * w + noise(w.numel(), t).reshape(w.shape)


class Soap:
    def __init__(self, w, every, max_dim):
        self.w, self.every = w, every
        self.t = 0
        self.m, self.v = torch.zeros_like(w), torch.zeros_like(w)
        self.sides = [d for d in range(w.dim()) if w.dim() > 1 and w.shape[d] <= max_dim]
        self.mean = {d: torch.zeros(w.shape[d], w.shape[d]) for d in self.sides}
        self.basis = None

    def into(self, x):
        for d in self.sides:
            x = torch.movedim(torch.tensordot(x, self.basis[d], dims=([d], [0])), -1, d)
        return x

    def out_of(self, x):
        for d in self.sides:
            x = torch.movedim(torch.tensordot(x, self.basis[d], dims=([d], [1])), -1, d)
        return x

    def learn(self, g):
        for d in self.sides:
            other = [k for k in range(g.dim()) if k != d]
            self.mean[d].lerp_(torch.tensordot(g, g, dims=(other, other)), 1 - BETA2)

    def step(self, g):
        if self.basis is None:  # the first gradient only sets up the bases
            self.learn(g)
            self.basis = {}
            for d in self.sides:
                _, q = torch.linalg.eigh(self.mean[d])
                self.basis[d] = q.flip(1)
            return
        p = self.into(g)
        self.t += 1
        self.m.mul_(BETA1).add_(p, alpha=1 - BETA1)
        self.v.mul_(BETA2).add_(p.square(), alpha=1 - BETA2)
        rate = LR * math.sqrt(1 - BETA2**self.t) / (1 - BETA1**self.t)
        self.w.add_(self.out_of(self.m / (self.v.sqrt() + EPS)), alpha=-rate)
        if self.w.dim() > 1:  # here vectors do not decay
            self.w.mul_(1 - LR * DECAY)
        plain = self.out_of(self.m)
        self.learn(g)
        if self.t % self.every == 0:
            for d in self.sides:
                eig = torch.diag(self.basis[d].T @ self.mean[d] @ self.basis[d])
                order = torch.argsort(eig, descending=True)
                self.v = self.v.index_select(d, order)
                self.basis[d], _ = torch.linalg.qr(self.mean[d] @ self.basis[d][:, order])
        self.m = self.into(plain)


cases = []
for name, shape, every, max_dim in CASES:
    n = math.prod(shape)
    soap = Soap(noise(n, 1000).reshape(shape).float().double(), every, max_dim)
    kept = {}
    for t in range(STEPS):
        soap.step(gradient(soap.w, t).float().double())
        if t == 0:
            first = {d: q.T.float() for d, q in soap.basis.items()}
        if t + 1 in (1, 2, 5, 11, 12, 25, 50):
            kept[t + 1] = [round(float(x), 8) for x in soap.w.flatten()]
    cases.append({
        "name": name, "rows": shape[0] if len(shape) > 1 else 1, "cols": shape[-1], "matrix": len(shape) > 1,
        "frequency": every, "max_dim": max_dim, "weights": kept,
        # Eigenvectors of the first means, in rows: those of the eigenvalue zero are any basis of a null space.
        "left": [round(float(x), 9) for x in first[0].flatten()] if 0 in first else [],
        "right": [round(float(x), 9) for x in first[1].flatten()] if 1 in first else [],
    })
print(json.dumps({"torch": torch.__version__, "lr": LR, "beta1": BETA1, "beta2": BETA2, "eps": EPS, "decay": DECAY,
                  "cases": cases}))
