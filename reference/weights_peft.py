"""Writes a LoRA adapter with PEFT, and loads one that internal/hf/weights wrote into PEFT.

    python reference/weights_peft.py           writes internal/hf/weights/testdata/peft*
    python reference/weights_peft.py DIR       loads DIR (written by go test ./internal/hf/weights -run TestPEFT -export DIR)
                                               and compares its logits with those of the adapter that PEFT wrote

Needs: torch, transformers, peft.
"""

import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).parent.parent / "internal/hf/weights/testdata"


def base():
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
    return LlamaForCausalLM(config).eval()


def write(folder, **options):
    torch.manual_seed(2)
    model = get_peft_model(base(), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", **options))
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    model.save_pretrained(OUT / folder)
    (OUT / folder / "README.md").unlink(missing_ok=True)


def logits(folder):
    model = PeftModel.from_pretrained(base(), folder).eval()
    with torch.no_grad():
        return model(torch.arange(20)[None]).logits


if len(sys.argv) > 1:
    got, want = logits(sys.argv[1]), logits(OUT / "peft")
    plain = base()(torch.arange(20)[None]).logits
    assert torch.equal(got, want), (got - want).abs().max()
    assert not torch.allclose(got, plain), "the adapter changes nothing"
    print("logits equal")
else:
    shutil.rmtree(OUT / "peft", ignore_errors=True)
    write("peft")
    shutil.rmtree(OUT / "peft-rslora", ignore_errors=True)
    write("peft-rslora", use_rslora=True)
    for folder in ["peft-dora"]:
        shutil.rmtree(OUT / folder, ignore_errors=True)
        write(folder, use_dora=True)
