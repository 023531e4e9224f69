"""Networks of torchvision, whose import leaves torch's compiler alone.

One of its operations asks the compiler whether it could be compiled, and imports it to know: over
a second at every start. It is asked when the operation runs.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_ASKED = "torch._dynamo.utils"


def _could_compile(device: str) -> bool:
    return bool(_of_the_compiler("is_compile_supported")(device))


def _of_the_compiler(name: str) -> Any:
    """What the module itself has: for others that ask for it meanwhile, from another thread.

    Raises:
        AttributeError: whoever looks through all modules asks them for their files.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    if "__file__" not in vars(sys.modules.get(_ASKED, sys)):
        sys.modules.pop(_ASKED, None)
    return getattr(import_module(_ASKED), name)


def _import_alone() -> None:
    if _ASKED in sys.modules:
        return
    stand_in = ModuleType(_ASKED)
    vars(stand_in).update(is_compile_supported=_could_compile, __getattr__=_of_the_compiler)
    sys.modules[_ASKED] = stand_in
    try:
        import torchvision  # noqa: F401, PLC0415
    except ImportError:  # another version asks for more: it is imported where it is used
        return
    finally:
        if sys.modules.get(_ASKED) is stand_in:
            del sys.modules[_ASKED]


_import_alone()
