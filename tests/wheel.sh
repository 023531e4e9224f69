#!/bin/sh
# The wheel, built from the source archive, works away from the checkout.
# Usage: tests/wheel.sh PYTHON   (its environment lends the heavy dependencies)
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m build --outdir "$work/dist" .
# An environment of its own for the wheel; torch and the rest, 5 GB, are borrowed by a path file.
"$python" -m venv --without-pip "$work/venv"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --python "$work/venv/bin/python" "$work"/dist/*.whl
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
"$work/venv/bin/egofeat" extract --help > /dev/null
echo "the wheel works"
