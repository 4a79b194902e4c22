#!/usr/bin/env bash
# From pictures to a device, and what is refused on the way: run, release, pull, verify, detect.
#
#   story.sh registry.example/team/pitting bsdata/data.yaml yolov8n.pt [--set section.key=value …]
#
# It works in a new folder, ./story or $STORY. The "device" is a Python with the base install and the engine's
# runtime, without torch: $DEVICE_PYTHON, or a virtual environment that is made here.
set -euo pipefail

repository=$1
data=$(realpath "$2")
weights=$(realpath "$3")
shift 3
here=$(cd "$(dirname "$0")" && pwd)
story=${STORY:-story}
mkdir "$story"
cd "$story"

say() { printf '\n== %s\n' "$*"; }
# refused CODE COMMAND…: the command has to end with this exit code.
refused() {
  local want=$1 got=0
  shift
  "$@" || got=$?
  if [ "$got" != "$want" ]; then
    echo "expected exit code $want, got $got: $*" >&2
    exit 1
  fi
  echo "refused with exit code $got, as it should be"
}
on_device() { "$device_python" -m pipeline "$@"; }
# Exit code 4: signature, files and outputs hold, and the machine is too busy to tell its latency.
verified() {
  local got=0
  on_device verify "$@" || got=$?
  [ "$got" = 0 ] || [ "$got" = 4 ]
}

say "Keys: one that releases, one of a stranger. The device trusts the first."
pipeline key new --out keys --name release
pipeline key new --out keys --name stranger
pipeline key trust keys/release.pub.pem --channel stable --policy trust.json
export EDGEBOUND_TRUST=$PWD/trust.json

say "A run whose gate passes: $here/pipeline.yaml says how much may be lost."
cp "$here/pipeline.yaml" pipeline.yaml
pipeline run --target cpu --set "data.path=$data" --set "model.weights=$weights" "$@" --json | tail -n 1 >run.json
run=$(jq -r .run run.json)

say "Released."
pipeline release "$run" --to "$repository" --key keys/release.key.pem --json >first.json
first=$(jq -r .digest first.json)

say "The device has no torch."
if [ -z "${DEVICE_PYTHON:-}" ]; then
  python3 -m venv device-python
  device-python/bin/python -m pip install --quiet edgebound openvino
fi
device_python=${DEVICE_PYTHON:-device-python/bin/python}
for package in torch ultralytics onnx onnxruntime cryptography; do
  refused 1 "$device_python" -c "import sys, importlib.util as u; sys.exit(u.find_spec('$package') is None)"
done

say "Pulled, verified, and at work on a folder of pictures."
on_device pull "$repository:stable" --output device --json | tail -n 1 | jq .
verified device
on_device detect device/current --source "$(dirname "$data")/images/val" --json >seen.jsonl
tail -n 1 seen.jsonl

say "Other limits: no engine is within 1 MiB of memory. Refused; then a person answers for it, by name, signed."
refused 3 pipeline release "$run" --to "$repository" --key keys/release.key.pem --again --set gate.memory_mib=1
pipeline release "$run" --to "$repository" --key keys/release.key.pem --again --set gate.memory_mib=1 \
  --override 'memory=a trial on one bench, with memory to spare' --json >second.json
on_device pull "$repository:stable" --output device
jq -c .overrides device/current/release.json

say "An older release is refused, whoever points there; unless the device's owner asks for it."
refused 1 on_device pull "$repository@$first" --channel stable --output device
on_device pull "$repository@$first" --channel stable --output device --allow-older
on_device pull "$repository:stable" --output device

say "A tampered copy: one byte of the engine on the device is another one."
cp -r device tampered
engine=tampered/current/engine/model.bin
chmod u+w "$engine"
printf '\x5a' | dd of="$engine" bs=1 seek=1000 conv=notrunc status=none
cmp -s "$engine" device/current/engine/model.bin && printf '\xa5' | dd of="$engine" bs=1 seek=1000 conv=notrunc status=none
refused 1 on_device verify tampered
refused 1 on_device detect tampered/current --source "$(dirname "$data")/images/val"

say "A stranger releases to the same channel: well formed, well signed, by a key that the device does not trust."
pipeline release "$run" --to "$repository" --key keys/stranger.key.pem --again
refused 1 on_device pull "$repository:stable" --output device
verified device

say "Everything held."
