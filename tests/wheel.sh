#!/bin/sh
# The wheel, built from the source archive, works away from the checkout.
# Usage: tests/wheel.sh PYTHON   (its environment lends the heavy dependencies)
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m build --outdir "$work/dist" . > "$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
# An environment of its own for the wheel; torch and the rest, 5 GB, are borrowed by a path file.
"$python" -m venv --without-pip "$work/venv"
"$python" -m pip --python "$work/venv/bin/python" install --quiet --disable-pip-version-check \
    --no-deps "$work"/dist/*.whl
cd "$work"
"$work/venv/bin/python" - "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" <<'PY'
import pathlib, sys, sysconfig
own = pathlib.Path(sysconfig.get_path("purelib"))
(own / "borrowed.pth").write_text(sys.argv[1] + "\n")
PY
"$work/venv/bin/python" -c '
import pathlib, egofeat, egofeat.extract, egofeat.heads, egofeat.pipelines, sys
home = pathlib.Path(egofeat.__file__)
assert home.is_relative_to(sys.prefix), home
for room in (egofeat.extract, egofeat.heads, egofeat.pipelines):
    assert pathlib.Path(room.__file__).is_relative_to(home.parent), room.__file__
'
"$work/venv/bin/egofeat" --help > /dev/null
# Two clips through the whole road, with random weights.
"$work/venv/bin/python" - <<'PY'
import av, numpy, pathlib
for split in ("train", "val"):
    for name, step in (("rise", 9), ("fall", -9)):
        for number in range(2):
            path = pathlib.Path("clips", split, name, f"{number}.mp4")
            path.parent.mkdir(parents=True, exist_ok=True)
            with av.open(str(path), "w") as output:
                stream = output.add_stream("mpeg4", rate=10)
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
                for frame in range(10):
                    picture = numpy.full((48, 64, 3), 125 + step * frame, numpy.uint8)
                    output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                output.mux(stream.encode(None))
pathlib.Path("data_manifest.yaml").write_text(
    "version: 1\ndatasets:\n  mine: {format: folder, media: clips}\n"
)
PY
"$work/venv/bin/egofeat" extract --weights random --size 64 --frames 4
"$work/venv/bin/egofeat" fit-head lstm --epochs 2
"$work/venv/bin/egofeat" report runs --out page.html
grep -q "function matrix" page.html
echo "the wheel works"
