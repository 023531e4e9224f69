"""docs/backbones.md says of each network without published weights what it is good for."""

import re
from pathlib import Path

from egofeat.extract.backbones import BACKBONES, find_backbone

PAGE = Path(__file__).parents[2] / "docs/backbones.md"


def test_each_network_without_weights_has_its_line():
    text = PAGE.read_text(encoding="utf-8")
    part = text.partition("### Networks without published weights")[2].partition("\n### ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    named = {name for line in lines for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    of_none = {name for name in BACKBONES if not find_backbone(name)[0].weights}
    assert named == of_none - {"flow_grid"}  # no network
    assert all(all(cell.strip() for cell in line.split("|")[1:-1]) for line in lines)


def test_parameters_of_the_top_heavy_network_are_said_as_they_are():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    all_of_it, top_heavy = (
        find_backbone(name)[0].parameters for name in ("s3d_v3", "s3d_v3_top_heavy")
    )
    said = f"`s3d_v3` has {all_of_it / 1e6:.2f} M, `s3d_v3_top_heavy` {top_heavy / 1e6:.2f} M, "
    assert f"{said}{100 * (1 - top_heavy / all_of_it):.1f} % less" in text
