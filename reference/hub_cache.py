"""Runs huggingface_hub against a small fake hub on this machine and records what it asked and what its cache looks like.

    python reference/hub_cache.py           writes internal/hf/hub/testdata/golden.json
    python reference/hub_cache.py DIR       reads the cache in DIR (written by go test ./internal/hf/hub -run TestGolden
                                            -export DIR) offline, file by file, and with scan_cache_dir

Needs: huggingface_hub.
"""

import hashlib
import http.server
import json
import os
import pathlib
import sys
import tempfile
import threading
import urllib.parse

OUT = pathlib.Path(__file__).parent.parent / "internal/hf/hub/testdata/golden.json"

COMMIT1, COMMIT2 = "1" * 40, "2" * 40
TOKEN = "hf_fake"

REPOS = [
    {
        "path": "owner/tiny",
        "kind": "models",
        "private": False,
        "revisions": {"main": COMMIT2, "v1.0": COMMIT1, "refs/pr/1": COMMIT2, COMMIT1: COMMIT1, COMMIT2: COMMIT2},
        "commits": {
            COMMIT1: {"config.json": "{\"version\": 1}", "README.md": "same"},
            COMMIT2: {"config.json": "{\"version\": 2}", "README.md": "same", "sub/dir/a file+é.txt": "deep", "model.safetensors": "LFS weights"},
        },
    },
    {
        "path": "datasets/owner/rows",
        "kind": "datasets",
        "private": False,
        "revisions": {"main": COMMIT1, COMMIT1: COMMIT1},
        "commits": {COMMIT1: {"data/train-00000-of-00001.jsonl": "LFS {\"a\": 1}\n"}},
    },
    {
        "path": "owner/secret",
        "kind": "models",
        "private": True,
        "revisions": {"main": COMMIT1, COMMIT1: COMMIT1},
        "commits": {COMMIT1: {"config.json": "secret", "model.safetensors": "LFS secret"}},
    },
]
MOVED = {"old/name": "owner/tiny"}

STEPS = [
    # name, kind, id, revision, file, token, offline
    ["cold small file", "models", "owner/tiny", "main", "config.json", "", False],
    ["warm small file", "models", "owner/tiny", "main", "config.json", "", False],
    ["cold large file with a token", "models", "owner/tiny", "main", "model.safetensors", TOKEN, False],
    ["tag", "models", "owner/tiny", "v1.0", "config.json", "", False],
    ["blob that another commit has", "models", "owner/tiny", "v1.0", "README.md", "", False],
    ["the same blob at main", "models", "owner/tiny", "main", "README.md", "", False],
    ["commit that is here", "models", "owner/tiny", COMMIT1, "README.md", "", False],
    ["commit that is not", "models", "owner/tiny", COMMIT2, "sub/dir/a file+é.txt", "", False],
    ["pull request", "models", "owner/tiny", "refs/pr/1", "config.json", "", False],
    ["data set", "datasets", "owner/rows", "main", "data/train-00000-of-00001.jsonl", "", False],
    ["private without a token", "models", "owner/secret", "main", "config.json", "", False],
    ["private with a token", "models", "owner/secret", "main", "config.json", TOKEN, False],
    ["private large file", "models", "owner/secret", "main", "model.safetensors", TOKEN, False],
    ["wrong token", "models", "owner/secret", "main", "other.json", "hf_wrong", False],
    ["no such repository", "models", "owner/absent", "main", "config.json", TOKEN, False],
    ["no such revision", "models", "owner/tiny", "absent", "config.json", "", False],
    ["no such file", "models", "owner/tiny", "main", "absent.json", "", False],
    ["moved repository", "models", "old/name", "main", "config.json", TOKEN, False],
    ["offline, there", "models", "owner/tiny", "main", "config.json", "", True],
    ["offline, not there", "models", "owner/tiny", "main", "tokenizer.json", "", True],
]


def etag(text):
    b = text.encode()
    if text.startswith("LFS"):
        return hashlib.sha256(b).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(b) + b).hexdigest()


LOG = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        host = "cdn" if self.server is CDN else "hub"
        auth = self.headers.get("Authorization")
        LOG.append(f"{self.command} {host} {urllib.parse.unquote(self.path)}" + (" with token" if auth else ""))
        if host == "cdn":
            for repo in REPOS:
                for files in repo["commits"].values():
                    for text in files.values():
                        if self.path == "/" + etag(text):
                            return self.answer(200, [], text.encode())
            return self.answer(404)
        name, _, rest = self.path[1:].partition("/resolve/")
        if name in MOVED:
            return self.answer(307, [("Location", f"/{MOVED[name]}/resolve/{rest}")])
        repo = next((r for r in REPOS if r["path"] == name), None)
        if repo is None or (repo["private"] and not auth):
            return self.answer(401, [("X-Error-Code", "RepoNotFound"), ("X-Error-Message", "Repository not found")])
        if auth and auth != "Bearer " + TOKEN:
            return self.answer(401, [("X-Error-Message", "Invalid credentials in Authorization header")])
        revision, _, file = rest.partition("/")
        commit = repo["revisions"].get(urllib.parse.unquote(revision))
        if commit is None:
            return self.answer(404, [("X-Error-Code", "RevisionNotFound")])
        text = repo["commits"][commit].get(urllib.parse.unquote(file))
        headers = [("X-Repo-Commit", commit)]
        if text is None:
            return self.answer(404, headers + [("X-Error-Code", "EntryNotFound")])
        if text.startswith("LFS"):
            location = f"http://localhost:{CDN.server_port}/{etag(text)}"
            headers += [("X-Linked-Etag", f'"{etag(text)}"'), ("X-Linked-Size", str(len(text))), ("Location", location)]
            return self.answer(302, headers)
        return self.answer(200, headers + [("ETag", f'"{etag(text)}"')], text.encode())


def layout(root):
    out = {}
    for p in sorted(pathlib.Path(root).rglob("*")):
        rel = p.relative_to(root).as_posix()
        if rel.startswith((".locks", "CACHEDIR.TAG")):
            continue
        if p.is_symlink():
            out[rel] = "-> " + os.readlink(p)
        elif p.is_file():
            out[rel] = p.read_text()
    return out


def serve():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def record():
    global CDN
    hub, CDN = serve(), serve()
    cache = tempfile.mkdtemp()
    os.environ.update(HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}", HF_HOME=tempfile.mkdtemp(), HF_HUB_DISABLE_TELEMETRY="1")
    import huggingface_hub
    from huggingface_hub import constants, hf_hub_download

    steps = []
    for name, kind, repo, revision, file, token, offline in STEPS:
        LOG.clear()
        constants.HF_HUB_OFFLINE = offline
        try:
            path = hf_hub_download(repo, file, repo_type=kind[:-1], revision=revision, token=token or False, cache_dir=cache)
            result = pathlib.Path(path).relative_to(cache).as_posix()
        except Exception as e:  # the class is what is compared
            result = "error: " + type(e).__name__
        steps.append({"name": name, "kind": kind, "id": repo, "revision": revision, "file": file, "token": token, "offline": offline,
                      "result": result, "requests": list(LOG)})
        print(steps[-1])
    golden = {"huggingface_hub": huggingface_hub.__version__, "repos": REPOS, "moved": MOVED, "token": TOKEN, "steps": steps, "layout": layout(cache)}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


def check(cache):
    os.environ.update(HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=tempfile.mkdtemp())
    from huggingface_hub import hf_hub_download, scan_cache_dir, try_to_load_from_cache

    golden = json.loads(OUT.read_text())
    n = 0
    for step in golden["steps"]:
        if step["result"].startswith("error"):
            continue
        got = hf_hub_download(step["id"], step["file"], repo_type=step["kind"][:-1], revision=step["revision"], cache_dir=cache)
        assert pathlib.Path(got).read_text() == (pathlib.Path(cache) / step["result"]).read_text()
        n += 1
    absent = try_to_load_from_cache("owner/tiny", "absent.json", cache_dir=cache, revision="main")
    assert absent is not None and not isinstance(absent, str), absent
    info = scan_cache_dir(cache)
    assert not info.warnings, info.warnings
    print(json.dumps({"files read offline": n, "repositories": sorted(r.repo_id for r in info.repos), "warnings": len(info.warnings)}))


if len(sys.argv) > 1:
    check(sys.argv[1])
else:
    record()
