"""MMLU through lm-evaluation-harness: digests of its prompts, and the scores of a fixed random model.

    python reference/mmlu_golden.py ../shared/data/mmlu internal/evals/testdata/mmlu.json.gz

The tasks are the harness's own (mmlu_*), their data set replaced by local files. The model's log-probability of a
continuation is -(crc32(context + continuation) mod 100003) / 1000. A subject's entry holds, for 0 and 5 shots, the SHA-256
over its contexts (each with a zero byte after it), the SHA-256 of its continuations likewise, and a string with a 1 for
each question that was answered right; the file also holds the harness's accuracies by subject, group and overall.
"""

import glob
import gzip
import hashlib
import json
import os
import sys
import tempfile
import zlib

import yaml
from lm_eval import evaluator, tasks
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks.mmlu._generate_configs import SUBJECTS

FOLDER = os.path.join(os.path.dirname(tasks.__file__), "mmlu", "default")


class RandomModel(LM):
    def loglikelihood(self, requests):
        return [(-(zlib.crc32((c + a).encode()) % 100003) / 1000, False) for c, a in (r.args for r in requests)]

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError

    def generate_until(self, requests):
        raise NotImplementedError


def rows(path):
    by_subject = {}
    with gzip.open(path, "rt", encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            by_subject.setdefault(row["subject"], []).append(
                {"question": row["question"], "subject": row["subject"], "choices": row["choices"], "answer": "ABCD".index(row["answer"])})
    return by_subject


def config(subject, files):
    with open(os.path.join(FOLDER, "_default_template_yaml"), encoding="utf-8") as f:
        c = yaml.safe_load(f)
    with open(os.path.join(FOLDER, f"mmlu_{subject}.yaml"), encoding="utf-8") as f:
        c.update(yaml.safe_load(f))
    del c["include"]
    c.update(dataset_path="json", dataset_name=None, dataset_kwargs={"data_files": files})
    return c


def main():
    test, dev = rows(os.path.join(sys.argv[1], "mmlu_test.jsonl.gz")), rows(os.path.join(sys.argv[1], "mmlu_dev.jsonl.gz"))
    assert len(glob.glob(os.path.join(FOLDER, "mmlu_*.yaml"))) == 57 == len(test)
    out = {"subjects": {}}
    with tempfile.TemporaryDirectory() as tmp:
        for shots in (0, 5):
            loaded = {}
            for subject in sorted(test):
                files = {}
                for split, data in (("test", test), ("dev", dev)):
                    files[split] = os.path.join(tmp, f"{subject}_{split}.jsonl")
                    with open(files[split], "w", encoding="utf-8") as f:
                        f.writelines(json.dumps(r) + "\n" for r in data[subject])
                task = ConfigurableTask(config=config(subject, files))
                task.set_config(key="num_fewshot", value=shots)
                loaded[f"mmlu_{subject}"] = task
            result = evaluator.evaluate(lm=RandomModel(), task_dict=loaded, log_samples=True, bootstrap_iters=0)
            correct, total = {}, {}
            for subject in sorted(test):
                samples = sorted(result["samples"][f"mmlu_{subject}"], key=lambda s: s["doc_id"])
                contexts, continuations = hashlib.sha256(), hashlib.sha256()
                for s in samples:
                    contexts.update(s["arguments"][0][0].encode() + b"\0")
                    for _, a in s["arguments"]:
                        continuations.update(a.encode() + b"\0")
                right = "".join(str(int(s["acc"])) for s in samples)
                entry = out["subjects"].setdefault(subject, {"n": len(samples)})
                entry[str(shots)] = {"contexts": contexts.hexdigest(), "continuations": continuations.hexdigest(), "right": right,
                                     "acc": result["results"][f"mmlu_{subject}"]["acc,none"]}
                for group in (SUBJECTS[subject], "mmlu"):
                    correct[group] = correct.get(group, 0) + right.count("1")
                    total[group] = total.get(group, 0) + len(right)
            out[f"groups_{shots}"] = {g: {"k": correct[g], "n": total[g]} for g in sorted(total)}
    with open(sys.argv[2], "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
        z.write(json.dumps(out, indent=1, sort_keys=True).encode())
    print(len(out["subjects"]), "subjects", out["groups_0"], out["groups_5"])


main()
