#!/usr/bin/env bash
# One video has 6 frames, 176 or 121, by the library that is asked.
#
# A screen recording stores a frame when the picture changes. imageio reads such a file through
# ffmpeg at a constant rate and so repeats frames, each of which a detector would see again; through
# PyAV it reads what is stored, and tells a shape of 0 frames. OpenCV multiplies the length by a rate
# and tells 121, but reads 6. Numbers of frames from one library name other pictures in another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.0.0 imageio==2.38.1 imageio-ffmpeg==0.8.1 \
    numpy==2.4.6 opencv-python-headless==5.0.0.93 pillow==13.0.0

cat > "$folder/count.py" <<'PYTHON'
import sys
from fractions import Fraction

import av
import cv2
import imageio.v3 as imageio
import numpy as np

SECONDS = (0, 0.05, 0.1, 2, 2.05, 4)
path, tick = sys.argv[1], Fraction(1, 600)
with av.open(path, "w") as container:
    stream = container.add_stream("libx264", rate=30)
    stream.width = stream.height = 64
    stream.codec_context.time_base = tick
    for number, seconds in enumerate(SECONDS):
        pixels = np.full((64, 64, 3), 20 * number, "uint8")
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = round(seconds / tick), tick
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))

with av.open(path) as container:
    print("PyAV             reads", sum(1 for _ in container.decode(video=0)))
capture, read = cv2.VideoCapture(path), 0
told = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
while capture.read()[0]:
    read += 1
print("OpenCV           reads", read, "tells", told)
for plugin in ("pyav", "FFMPEG"):
    read, told = len(imageio.imread(path, plugin=plugin)), imageio.improps(path, plugin=plugin).shape[0]
    print(f"imageio, {plugin:<7} reads", read, "tells", told)
PYTHON

echo "versions: av 18.0.0, imageio 2.38.1, imageio-ffmpeg 0.8.1, opencv-python-headless 5.0.0.93, numpy 2.4.6"
echo "behaviour: a Matroska file of 6 frames in 4 seconds has as many frames as the library makes of it"
seen=$("$folder/venv/bin/python" -W ignore "$folder/count.py" "$folder/recording.mkv" 2> /dev/null)
echo "output:"
echo "$seen"
diff <(echo "$seen") - <<'EXPECTED'
PyAV             reads 6
OpenCV           reads 6 tells 121
imageio, pyav    reads 6 tells 0
imageio, FFMPEG  reads 176 tells inf
EXPECTED
