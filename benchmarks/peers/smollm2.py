"""The work of internal/checkpoint's BenchmarkBlueTeam with transformers and PEFT: 32 steps of a LoRA of rank 64 on the same samples.

    python benchmarks/peers/smollm2.py MODEL DATA [bfloat16]

prints a line like a Go benchmark's. Batches are padded, as trainers do it; tokens are counted without padding.
"""

import json
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

dtype = sys.argv[3] if len(sys.argv) > 3 else "float32"
BATCH, RANK = 4, 64
torch.manual_seed(1)
data = json.load(open(sys.argv[2]))
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=getattr(torch, dtype))
model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=RANK, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM", target_modules=[
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))
params = [p for p in model.parameters() if p.requires_grad]
opt = torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
model.train()
tokens, begun = 0, time.perf_counter()
for at in range(0, len(data), BATCH):
    batch = data[at:at + BATCH]
    longest = max(len(d["Tokens"]) for d in batch)

    def padded(key, fill):
        return torch.tensor([d[key] + [fill] * (longest - len(d[key])) for d in batch])

    mask = torch.tensor([[1] * len(d["Tokens"]) + [0] * (longest - len(d["Tokens"])) for d in batch])
    logits = model(input_ids=padded("Tokens", 0), attention_mask=mask).logits.float()
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), padded("Targets", 0).flatten(), reduction="none")
    loss = (losses * padded("Weights", 0.0).flatten()).sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(params, 1.0)
    opt.step()
    opt.zero_grad()
    tokens += sum(len(d["Tokens"]) for d in batch)
took = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
print(f"peft/{dtype}-{torch.get_num_threads()} {took:.1f} s {tokens / took:.1f} tok/s {loss.item():.4f} last-loss {peak:.2f} GiB-peak")
