"""Golden values for internal/engine/local/llama and internal/engine/local: logits, loss, every gradient by name, ten training losses with full
weights and with a LoRA, and greedy continuations, of small random models by transformers and peft in float32.

    python reference/llama_golden.py internal/engine/local/llama/testdata

writes one gzipped safetensors file per model; what is no tensor stands as JSON in its metadata.
"""

import gzip
import json
import sys

import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save

torch.set_num_threads(1)

COMMON = dict(vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=128, attn_implementation="eager", initializer_range=0.15)
MODELS = {
    "llama-tied": (transformers.LlamaConfig, transformers.LlamaForCausalLM, dict(
        tie_word_embeddings=True, rms_norm_eps=1e-5,
        rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=32))),
    "llama-untied": (transformers.LlamaConfig, transformers.LlamaForCausalLM, dict(
        tie_word_embeddings=False, head_dim=12, num_key_value_heads=4, rms_norm_eps=1e-6)),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, dict(tie_word_embeddings=True)),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, dict(tie_word_embeddings=False, head_dim=16)),
}
LR, BETA1, BETA2, EPS, DECAY, CLIP = 3e-3, 0.9, 0.95, 1e-8, 0.1, 1.0
RANK, ALPHA = 4, 12


def batch(seed):
    """Ragged samples with holes in the loss."""
    g = torch.Generator().manual_seed(seed)
    data = []
    for n in (9, 1, 23, 14):
        tokens = torch.randint(0, 48, (n,), generator=g)
        targets = torch.randint(0, 48, (n,), generator=g)
        weights = torch.rand(n, generator=g) * (torch.rand(n, generator=g) > 0.3) / 30
        data.append((tokens, targets, weights.float()))
    return data


def loss_of(model, data):
    total = 0.0
    for tokens, targets, weights in data:
        logits = model(input_ids=tokens[None]).logits[0]
        total = total + (weights * torch.nn.functional.cross_entropy(logits, targets, reduction="none")).sum()
    return total


def train(model, steps=10):
    """Ten updates; matrices decay, vectors do not."""
    params = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW([dict(params=[p for p in params if p.dim() > 1], weight_decay=DECAY),
                             dict(params=[p for p in params if p.dim() == 1], weight_decay=0.0)],
                            lr=LR, betas=(BETA1, BETA2), eps=EPS)
    losses, norms = [], []
    for step in range(steps):
        opt.zero_grad()
        loss = loss_of(model, batch(step % 3))
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(params, CLIP)))
        opt.step()
        losses.append(float(loss))
    return losses, norms


def gradients(model, prefix, out):
    model.zero_grad()
    loss_of(model, batch(0)).backward()
    for name, p in model.named_parameters():
        if p.requires_grad:
            out[prefix + name.replace(".default", "")] = p.grad.clone()


def golden(name):
    config_class, model_class, extra = MODELS[name]
    torch.manual_seed(7)
    config = config_class(**{**COMMON, **extra})
    model = model_class(config).float()
    with torch.no_grad():  # norms and biases away from their plain start
        for p in model.parameters():
            if p.dim() == 1:
                p.add_(0.2 * torch.randn_like(p))
    out, meta = {}, {}
    start = {k: v.clone() for k, v in model.state_dict().items()}
    for k, v in start.items():
        if not (k == "lm_head.weight" and config.tie_word_embeddings):
            out["weights." + k] = v
    data = batch(0)
    for i, (tokens, _, _) in enumerate(data):
        out[f"logits.{i}"] = model(input_ids=tokens[None]).logits[0].detach()
    meta["loss"] = float(loss_of(model, data))
    prompt = data[0][0]
    said = prompt.tolist()
    with torch.no_grad():  # generate() would take some ids for padding
        for _ in range(64):
            said.append(int(model(input_ids=torch.tensor(said)[None]).logits[0, -1].argmax()))
    meta["greedy"] = said[len(prompt):]
    gradients(model, "grad.", out)
    meta["losses"], meta["norms"] = train(model)

    model.load_state_dict(start)
    torch.manual_seed(8)
    lora = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, bias="none",
                                            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj",
                                                            "down_proj"]))
    with torch.no_grad():
        for k, p in lora.named_parameters():
            if "lora_B" in k:
                p.add_(0.1 * torch.randn_like(p))
    for k, p in lora.named_parameters():
        if p.requires_grad:
            out["lora." + k.replace(".default", "")] = p.detach().clone()
    gradients(lora, "loragrad.", out)
    meta["lora_losses"], meta["lora_norms"] = train(lora)

    meta["config"] = json.loads(config.to_json_string(use_diff=False))
    meta["data"] = [[dict(tokens=t.tolist(), targets=y.tolist(), weights=w.tolist()) for t, y, w in batch(s)] for s in range(3)]
    meta["optim"] = dict(lr=LR, beta1=BETA1, beta2=BETA2, eps=EPS, weight_decay=DECAY, clip_norm=CLIP)
    meta["lora"] = dict(rank=RANK, alpha=ALPHA)
    meta["versions"] = dict(torch=torch.__version__, transformers=transformers.__version__)
    return save({k: v.contiguous() for k, v in out.items()}, metadata={"golden": json.dumps(meta)})


for name in MODELS:
    with open(f"{sys.argv[1]}/{name}.safetensors.gz", "wb") as f:
        with gzip.GzipFile(fileobj=f, mode="wb", compresslevel=9, mtime=0) as z:
            z.write(golden(name))
