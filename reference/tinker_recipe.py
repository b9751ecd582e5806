"""Makes what the cookbook's recipe sl_loop reads by name, and checks what it wrote.

  tinker_recipe.py prepare MODEL_FOLDER     in the folder where the recipe will run
  tinker_recipe.py check METRICS            20 steps, and the loss fell
"""

import json
import pathlib
import shutil
import sys


def prepare(model):
    shutil.copytree(model, "thinkingmachineslabinc/meta-llama-3-instruct-tokenizer")
    data = pathlib.Path("HuggingFaceH4/no_robots/train.jsonl")
    data.parent.mkdir(parents=True)
    with data.open("w") as f:
        for i in range(400):
            a, b = i % 20, i // 20
            f.write(json.dumps(dict(messages=[dict(role="user", content=f"What is {a} plus {b}?"),
                                              dict(role="assistant", content=f"The answer is {a + b}.")])) + "\n")


def check(metrics):
    loss = [row["train_mean_nll"] for row in map(json.loads, open(metrics)) if "train_mean_nll" in row]
    if len(loss) != 20 or not sum(loss[-3:]) < 0.5 * sum(loss[:3]):
        raise SystemExit(f"the recipe's losses: {loss}")
    print(f"tinker_cookbook.recipes.sl_loop: {len(loss)} steps, loss {loss[0]:.3f} to {loss[-1]:.3f}")


{"prepare": prepare, "check": check}[sys.argv[1]](sys.argv[2])
