"""The work of internal/engine/local/checkpoint's BenchmarkBlueTeam with transformers and PEFT: a LoRA of rank 64 on the same samples.

    python benchmarks/peers/smollm2.py MODEL DATA DTYPE SECONDS THREADS

It prints a JSON line after every step, and ends with the data or after the step that passes SECONDS. Batches are padded, as
trainers do it; tokens are counted without padding.
"""

import json
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

BATCH, RANK = 4, 64
path, file, dtype, seconds, threads = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5])
torch.set_num_threads(threads)
torch.manual_seed(1)
data = json.load(open(file))
model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype))
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
    took, usage = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"step": at // BATCH + 1, "steps": len(data) // BATCH, "tokens": tokens, "seconds": took, "loss": loss.item(),
                      "peak": usage.ru_maxrss * 1024}), flush=True)
    if took > seconds:
        break
