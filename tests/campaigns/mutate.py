"""Input as a broken disk, a careless editor or somebody ill-disposed leaves it."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

TOKENS = (
    *(b"", b"0", b"-1", b"1e400", b"nan", b"inf", b"-0.0", b"null", b"true", b"[]", b"{}", b"~"),
    *(b"9" * 400, b"18446744073709551616", b"9223372036854775807", b"0x10", b"1_000"),
    *(b",", b",,,,", b"\t", b"\n", b"\r", b"\r\n\r\n", b'"', b'""', b"'", b"\\"),
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", "é".encode(), "\u202e".encode()),
    *(b"\x1b[31m", b"\x1b]0;t\x07", b"../../../etc", b"/etc/passwd", b"~root", b"$NOWHERE", b"$$"),
    *(b"2001-99-99", b"99:99:99.9", b"-00:00:01", b"00:" * 50, b"9" * 400 + b":00:00"),
    *(b"(a+)+$", b"(", b"*", b"(?P<n>a)", b"\\d{99999999}", b"!!python/object/apply:os.system"),
    *(b"&a [*a, *a]", b"<<: *a", b"---\n", b"#", b": ", b"%YAML 9.9\n", b"item {", b"}", b"id: 0"),
)


LONG = (
    *(b"9" * 5000, b"[" * 3000, b"{" * 3000, b'{"a":' * 3000, b"- " * 3000, b"(" * 500),
    *(b"x" * 140_000, b"x," * 20_000, b"x\n" * 20_000),
)
"""Tokens that take their readers long, and so come seldom."""


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change data a little, once to four times, in one way or another."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        data = rng.choice(_WAYS)(data, rng)
    return data


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change what is no text: bytes, numbers of several bytes, pieces, the end."""
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        data = rng.choice(_BYTE_WAYS)(data, rng)
    return data


def _token(rng: random.Random) -> bytes:
    return rng.choice(LONG if rng.random() < 0.03 else TOKENS)


def _flip(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + _token(rng) + data[at:]


def _replace_word(data: bytes, rng: random.Random) -> bytes:
    words = list(re.finditer(rb"[\w.+-]+", data))
    if not words:
        return data
    word = rng.choice(words)
    return data[: word.start()] + _token(rng) + data[word.end() :]


def _lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(3):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case _:
            lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)


def _cells(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    part = b"\t" if b"\t" in lines[at] else b" " if b"," not in lines[at] else b","
    cells = lines[at].split(part)
    cell = rng.randrange(len(cells))
    match rng.randrange(3):
        case 0:
            del cells[cell]
        case 1:
            cells.insert(cell, _token(rng))
        case _:
            cells[cell] = _token(rng)
    lines[at] = part.join(cells)
    return b"\n".join(lines)


_ODD: tuple[Any, ...] = (None, True, -1, 2**64, 1e308, "", "x", [], {}, [[]], {"a": 1}, "\x1b[31m")


def _json(data: bytes, rng: random.Random) -> bytes:
    """Change a value, a key or a length of JSON, of which the last line may be any one."""
    head, _, last = data.rstrip(b"\n").rpartition(b"\n") if data[:1] != b"{" else (b"", b"", data)
    try:
        document = json.loads(last)
    except (ValueError, RecursionError):
        return _replace_word(data, rng)
    here, places = [document] if isinstance(document, dict | list) else [], []
    while here:
        node = here.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                here.append(node[key])
    if not places:
        return json.dumps(rng.choice(_ODD)).encode()
    node, key = rng.choice(places)
    match rng.randrange(4):
        case 0:
            del node[key]
        case 1 if isinstance(node, list):
            node.insert(key, rng.choice(_ODD))
        case 1:
            node["x"] = rng.choice(_ODD)
        case _:
            node[key] = rng.choice(_ODD)
    return (head + b"\n" if head else b"") + json.dumps(document).encode()


def _number(data: bytes, rng: random.Random) -> bytes:
    """Put an extreme number of 1, 2, 4 or 8 bytes somewhere."""
    size = rng.choice((1, 2, 4, 8))
    if len(data) < size:
        return data
    at = (
        rng.randrange(len(data) - size + 1)
        if rng.random() < 0.5
        else rng.randrange(min(600, len(data) - size + 1))
    )
    most = 1 << 8 * size
    value = rng.choice((0, 1, most - 1, most // 2, most // 2 - 1, rng.randrange(most)))
    return data[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def _piece(data: bytes, rng: random.Random) -> bytes:
    """Cut out, double or move a stretch."""
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    last = min(last, first + 20_000)
    at = rng.randrange(len(data) + 1)
    match rng.randrange(3):
        case 0:
            return data[:first] + data[last:]
        case 1:
            return data[:at] + data[first:last] + data[at:]
        case _:
            return data[:first] + bytes(last - first) + data[last:]


Way = Callable[[bytes, random.Random], bytes]
_WAYS: tuple[Way, ...] = (_flip, _truncate, _insert, _replace_word, _lines, _cells, _cells, _json)
_BYTE_WAYS: tuple[Way, ...] = (_flip, _flip, _flip, _number, _number, _piece, _truncate)
