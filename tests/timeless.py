"""What a training leaves, but for how long it took, which is never the same."""

import json
import re
from pathlib import Path


def timeless(path: Path) -> bytes:
    """The bytes of a run's file without its seconds, and without digests that cover them."""
    content = path.read_bytes()
    if path.name == "config.yaml":
        return re.sub(rb"seconds: .*", b"", content)
    if path.name == "SHA256SUMS":
        return re.sub(rb".*  config.yaml\n", b"", content)
    if path.suffix == ".safetensors":
        return _of_tensors(content)
    return content


def _of_tensors(content: bytes) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    kept = header.get("__metadata__", {})
    if "egofeat" in kept:
        facts = json.loads(kept["egofeat"])
        kept["egofeat"] = {k: v for k, v in facts.items() if k not in ("seconds", "sha256")}
    return json.dumps(header).encode() + content[8 + size :]
