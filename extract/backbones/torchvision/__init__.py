"""Networks of torchvision, whose import leaves torch's compiler alone.

One of its operations asks the compiler whether it could be compiled, and imports it to know: over
a second at every start. It is asked when the operation runs.
"""

import sys
from types import ModuleType


def _could_compile(device: str) -> bool:
    from torch._dynamo.utils import is_compile_supported  # noqa: PLC0415  # what is put off

    return bool(is_compile_supported(device))


def _import_alone() -> None:
    name = "torch._dynamo.utils"
    if name in sys.modules:
        return
    asked = ModuleType(name)
    asked.is_compile_supported = _could_compile  # type: ignore[attr-defined]
    sys.modules[name] = asked
    try:
        import torchvision  # noqa: F401, PLC0415
    except ImportError:  # another version asks for more: it is imported where it is used
        return
    finally:
        del sys.modules[name]


_import_alone()
