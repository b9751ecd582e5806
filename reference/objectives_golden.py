"""Golden values for internal/blueteam: losses, gradients by name and perturbations of the published objectives, on a small random Llama in
float32.

    python reference/objectives_golden.py internal/blueteam/testdata/objectives.safetensors.gz

- importance_sampling and ppo: the losses of the Tinker API (tinker-docs.thinkingmachines.ai/losses), Schulman et al. 2017, eq. 7;
- dpo: Rafailov et al. 2023, eq. 7, as TRL's and latent-adversarial-training's compute_dpo_loss have it;
- lat: github.com/aengusl/latent-adversarial-training, GDAdversary and projected_gradient_descent: an attack on the output of some
  layers' mlp at the prompt's tokens, AdamW, then a cut to the norm epsilon. The defence's loss is half with and half without it;
- crow: github.com/NayMyatMin/CROW, consistency_trainer.py: FGSM on the embeddings by the consistency loss, then cross-entropy of the clean
  input plus alpha times the consistency loss of the moved one.
- distillation: Hinton et al. 2015, section 2, at temperature 1, as DistilKL and TRL's forward GKD have it: the divergence from the teacher's
  distribution, which is cut to its most likely tokens and made to add up to 1 again.

Samples go through the model one by one, so no padding takes part in a mean.
"""

import gzip
import json
import sys

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save

torch.set_num_threads(1)

WIDTH, BLOCKS, VOCAB = 16, 4, 40
# The settings of the objectives. Epsilons are shares of the hidden states' size, as in internal/blueteam.
BETA, LAT_EPSILON, PGD_STEPS, CROW_EPSILON, ALPHA = 0.3, 0.2, 6, 0.5, 5.5
PGD_RATE = 5e-2 * 64 / 1.5  # of epsilon over the root of the width: 5e-2 where epsilon is 1.5 and the width 4096
LAT_BLOCKS = [0, 1, 2]  # whose mlp is attacked: the residual stream at layers 1, 2 and 3

torch.manual_seed(11)
config = transformers.LlamaConfig(
    vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=BLOCKS, num_attention_heads=2, num_key_value_heads=1,
    max_position_embeddings=64, attn_implementation="eager", initializer_range=0.25, rms_norm_eps=1e-5, tie_word_embeddings=True)
model = transformers.LlamaForCausalLM(config).float()
reference = transformers.LlamaForCausalLM(config).float()
reference.load_state_dict(model.state_dict())
with torch.no_grad():
    for p in reference.parameters():
        p.add_(0.05 * torch.randn_like(p))

Tensor = torch.Tensor


def samples(seed: int, lengths: list[tuple[int, int]]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Input tokens, targets and a mask of the targets in the response, of prompts and responses of those lengths."""
    g = torch.Generator().manual_seed(seed)
    out = []
    for prompt, response in lengths:
        ids = torch.randint(0, VOCAB, (prompt + response,), generator=g)
        mask = torch.arange(prompt + response - 1) >= prompt - 1
        out.append((ids[:-1], ids[1:], mask))
    return out


LENGTHS = [(5, 4), (9, 2), (3, 7)]
DATA = samples(1, LENGTHS)
# The same prompts with other responses: what DPO rejects, and what an adversary of lat-toward seeks.
OTHER = []
for (ids, targets, mask), (prompt, _) in zip(DATA, LENGTHS):
    tokens = torch.cat([ids[:prompt], torch.tensor([7, 21, 3])])
    OTHER.append((tokens[:-1], tokens[1:], torch.arange(len(tokens) - 1) >= prompt - 1))


def log_probs(m: torch.nn.Module, ids: Tensor, targets: Tensor) -> Tensor:
    logits = m(input_ids=ids[None]).logits[0]
    return logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]


def cross_entropy(m: torch.nn.Module, data: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The mean over the tokens of all responses."""
    total = sum(int(mask.sum()) for _, _, mask in data)
    return sum(-log_probs(m, ids, targets)[mask].sum() for ids, targets, mask in data) / total


out: dict[str, Tensor] = {f"weights.{k}": v.clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
meta: dict[str, object] = {
    "config": json.loads(config.to_json_string(use_diff=False)), "beta": BETA, "lat_epsilon": LAT_EPSILON, "pgd_steps": PGD_STEPS, "crow_epsilon": CROW_EPSILON,
    "consistency": ALPHA, "versions": {"torch": torch.__version__, "transformers": transformers.__version__}}


def keep(prefix: str, loss: Tensor) -> None:
    model.zero_grad()
    loss.backward()
    meta[prefix] = loss.item()
    for name, p in model.named_parameters():
        out[f"{prefix}.{name}"] = p.grad.clone()
    model.zero_grad()


# Reinforcement learning.
g = torch.Generator().manual_seed(5)
policy = []
for ids, targets, mask in DATA:
    with torch.no_grad():
        sampled = log_probs(model, ids, targets) + 0.3 * torch.randn(len(ids), generator=g)
    policy.append((torch.randn(len(ids), generator=g), mask * torch.rand(len(ids), generator=g), sampled))
meta["policy"] = [{"advantages": a.tolist(), "weights": w.tolist(), "logprobs": q.tolist()} for a, w, q in policy]
for name in ("importance_sampling", "ppo"):
    loss = torch.tensor(0.0)
    for (ids, targets, _), (advantages, weights, sampled) in zip(DATA, policy):
        ratio = torch.exp(log_probs(model, ids, targets) - sampled)
        objective = ratio * advantages
        if name == "ppo":
            objective = torch.min(objective, torch.clamp(ratio, 0.8, 1.2) * advantages)
        loss = loss - (weights * objective).sum()
    keep(name, loss)

# DPO.
dpo = torch.tensor(0.0)
before = []
for chosen, rejected in zip(DATA, OTHER):
    def total(m: torch.nn.Module, d: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return log_probs(m, d[0], d[1])[d[2]].sum()
    with torch.no_grad():
        for ids, targets, _ in (chosen, rejected):
            before.append(log_probs(reference, ids, targets).tolist())
        ref = total(reference, chosen) - total(reference, rejected)
    dpo = dpo - F.logsigmoid(BETA * (total(model, chosen) - total(model, rejected) - ref)) / len(DATA)
meta["reference"] = before
keep("dpo", dpo)


# Latent adversarial training.
class GDAdversary(torch.nn.Module):
    """The published one, for samples of their own lengths: attacks[i] is of sample i, on its first prompts[i] tokens."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.attacks = torch.nn.ParameterList(torch.zeros(prompt, WIDTH) for prompt, _ in LENGTHS)
        self.sample = 0

    def forward(self, x: Tensor) -> Tensor:
        attack = self.attacks[self.sample]
        return torch.cat([x[:, :len(attack)] + attack, x[:, len(attack):]], dim=1)

    def clip_attack(self) -> None:
        with torch.no_grad():
            for attack in self.attacks:
                norms = torch.norm(attack, dim=-1, keepdim=True)
                attack.div_(torch.clamp(norms / self.epsilon, min=1))


def states(ids: Tensor) -> tuple[Tensor, ...]:
    return model(input_ids=ids[None], output_hidden_states=True).hidden_states


def attacked(adversaries: list[GDAdversary], data: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """cross_entropy under the attack."""
    hooks = [model.model.layers[i].mlp.register_forward_hook(lambda _m, _i, x, a=a: a(x)) for i, a in zip(LAT_BLOCKS, adversaries)]
    total = sum(int(mask.sum()) for _, _, mask in data)
    loss = torch.tensor(0.0)
    for i, (ids, targets, mask) in enumerate(data):
        for a in adversaries:
            a.sample = i
        loss = loss - log_probs(model, ids, targets)[mask].sum() / total
    for h in hooks:
        h.remove()
    return loss


for name, data, sign in (("lat", DATA, -1.0), ("lat-toward", OTHER, 1.0)):
    adversaries = []
    for block in LAT_BLOCKS:
        with torch.no_grad():
            norms = torch.cat([states(ids)[block + 1][0, :prompt].norm(dim=-1) for (ids, _, _), (prompt, _) in zip(DATA, LENGTHS)])
        adversaries.append(GDAdversary(LAT_EPSILON * float(norms.mean())))
    optim = torch.optim.AdamW([{"params": list(a.parameters()), "lr": PGD_RATE * a.epsilon / WIDTH**0.5} for a in adversaries])
    steps = []
    for step in range(PGD_STEPS):
        optim.zero_grad()
        loss = attacked(adversaries, data)
        (sign * loss).backward()
        steps.append(loss.item())
        if step == 1:  # the second, of a perturbation that is not zero
            for k, a in enumerate(adversaries):
                for i, attack in enumerate(a.attacks):
                    out[f"{name}.attackgrad.{k}.{i}"] = sign * attack.grad  # of the loss itself
        optim.step()
        for a in adversaries:
            a.clip_attack()
    for k, a in enumerate(adversaries):
        for i, attack in enumerate(a.attacks):
            out[f"{name}.attack.{k}.{i}"] = attack.detach().clone()
    meta[name + "-steps"] = steps
    meta[name + "-epsilon"] = [a.epsilon for a in adversaries]
    keep(name, 0.5 * attacked(adversaries, DATA) + 0.5 * cross_entropy(model, DATA))


# CROW.
def consistency(embeds: list[Tensor]) -> Tensor:
    """One minus the cosine of neighbouring layers, on average over layers and the tokens of all samples."""
    parts = []
    for x in embeds:
        hidden = model(inputs_embeds=x[None], output_hidden_states=True, use_cache=False).hidden_states
        h, after = torch.stack(hidden[1:-2]), torch.stack(hidden[2:-1])
        parts.append((1 - F.cosine_similarity(h, after, dim=-1, eps=1e-8)).flatten())
    return torch.cat(parts).sum() / sum(len(p) for p in parts)


embedding = model.get_input_embeddings()
leaves = [embedding(ids).detach().requires_grad_(True) for ids, _, _ in DATA]
clean = consistency(leaves)
clean.backward()
meta["crow-clean"] = clean.item()
by = CROW_EPSILON * float(torch.cat([x.detach().flatten() for x in leaves]).pow(2).mean().sqrt())
for i, x in enumerate(leaves):
    out[f"crow.inputgrad.{i}"] = x.grad.clone()
moved = consistency([embedding(ids) + by * x.grad.sign() for (ids, _, _), x in zip(DATA, leaves)])
meta["crow-moved"] = moved.item()
keep("crow", cross_entropy(model, DATA) + ALPHA * moved)

# Distillation by logits: the reference model is the teacher.
MOST = 8
out |= {f"teacher.{k}": v.clone() for k, v in reference.state_dict().items() if k != "lm_head.weight"}
meta["most"] = MOST
distillation = torch.tensor(0.0)
for ids, targets, mask in DATA:
    with torch.no_grad():
        top = reference(input_ids=ids[None]).logits[0].log_softmax(-1).topk(MOST, dim=-1)
        said = top.values.log_softmax(-1)
    ours = model(input_ids=ids[None]).logits[0].log_softmax(-1).gather(1, top.indices)
    distillation = distillation + F.kl_div(ours, said, reduction="none", log_target=True).sum(-1)[mask].sum()
keep("distillation", distillation / sum(int(mask.sum()) for _, _, mask in DATA))

# What a reader of hidden states sees, the last before the final norm.
for i, (ids, _, _) in enumerate(DATA):
    seen: list[Tensor] = []
    hook = model.model.norm.register_forward_pre_hook(lambda _m, x, seen=seen: seen.append(x[0].detach()))
    with torch.no_grad():
        hidden = states(ids)
    hook.remove()
    out[f"states.{i}"] = torch.stack([*(h[0] for h in hidden[:-1]), seen[0][0]])

for name, data in (("data", DATA), ("other", OTHER)):
    meta[name] = [{"tokens": ids.tolist(), "targets": targets.tolist(), "weights": mask.float().tolist()} for ids, targets, mask in data]

with open(sys.argv[1], "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", compresslevel=9, mtime=0) as z:
    z.write(save({k: v.detach().contiguous() for k, v in out.items()}, metadata={"golden": json.dumps(meta)}))
