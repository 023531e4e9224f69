"""What runs a network: PyTorch, or OpenVINO, which is faster in float32 on a CPU."""

import ctypes
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from egofeat.device import is_out_of_memory
from egofeat.errors import EgofeatError, RequestError, WeightsError

ENGINES = ("torch", "openvino")
_HINTS = {"float32": "f32", "fp16": "f16", "bf16": "bf16"}
"""Precision to OpenVINO's name of it."""
_CAPABILITIES = {"fp16": "FP16", "bf16": "BF16"}
"""Precision to what OpenVINO calls a processor that has its arithmetic."""
_NEAR = {"float32": 1e-3, "fp16": 0.1, "bf16": 0.3}
"""Precision to the share of a tap's norm that tells rounding from a mistake."""


def check_engine(engine: str, precision: str, device: torch.device | None) -> None:
    """Refuse an engine that is not there, or does not run here.

    Args:
        engine: one of `ENGINES`.
        precision: of the network.
        device: where it runs; None is not known.

    Raises:
        RequestError: in one sentence, with what can be used instead.
    """
    if engine not in ENGINES:
        raise RequestError(f"there is no engine '{engine}': choose {' or '.join(ENGINES)}")
    if engine == "torch" or device is None:
        return
    if device.type != "cpu":
        raise RequestError(
            f"`engine` openvino runs networks on the processor, and `device` is {device}: give "
            "`device` cpu, or `engine` torch"
        )
    asked = _CAPABILITIES.get(precision)
    has = _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision not in _HINTS or (asked and asked not in has):
        raise RequestError(
            f"OpenVINO has no {precision} arithmetic on this processor: give `precision` float32, "
            "or `engine` torch"
        )


def engine_version(engine: str) -> str:
    """The engine and its version, for the record.

    Raises:
        RequestError: it is not installed.
    """
    if engine == "torch":
        return f"torch {torch.__version__}"
    _openvino()
    return f"openvino {metadata.version('openvino')}"


def check_finite(values: Tensor, named: str, precision: str) -> None:
    """Blame weights where numbers are not finite.

    Args:
        values: of the network, or what it gives.
        named: says what values they are, and of which network.
        precision: that it computes in.

    Raises:
        WeightsError: they are not.
    """
    real = values.numel() and values.is_floating_point()
    if real and not all(end.isfinite() for end in values.aminmax()):
        raise WeightsError(
            f"{named} are not finite numbers: its weights are broken, or too large for "
            f"{precision}: give other `weights`"
            + (", or `precision` float32" if precision == "fp16" else "")
        )


_COMPILING = threading.Lock()
"""Of one network at a time: which warnings are told is set for all threads meanwhile."""
_SHAPE = Tensor.shape.__get__  # type: ignore[attr-defined]


class Compiled:
    """A network that OpenVINO compiles for each shape of batch, when one first comes.

    What it makes of that first batch is compared with what PyTorch makes of it.

    Args:
        module: in float32 on the CPU; maps a batch to a dict of taps.
        name: of the network, for sentences.
        precision: `float32`, or `fp16` or `bf16` where the processor has it.
    """

    def __init__(self, module: nn.Module, name: str, precision: str) -> None:
        self._module = module
        self._name = name
        self._precision = precision
        self._taps: tuple[str, ...] = ()
        """In the order of the outputs."""
        self.streams = 1
        """Threads that call it at once."""
        self._requests: dict[tuple[int, ...], _Requests] = {}
        """Shape of a batch to those who infer it."""

    def __call__(self, batch: Tensor) -> dict[str, Tensor]:
        """Run a float32 batch, `[B, C, H, W]` or `[B, C, T, H, W]`, as the module would.

        Raises:
            RequestError: OpenVINO cannot run the network, or gives other numbers.
            WeightsError: PyTorch gives what is no finite number.
        """
        shape = tuple(batch.shape)
        if shape not in self._requests:
            with _COMPILING:
                if shape not in self._requests:
                    return self._first(batch)
        return self._infer(self._requests[shape], batch)

    def _first(self, batch: Tensor) -> dict[str, Tensor]:
        """Run the first batch of a shape."""
        batch = batch.contiguous()  # networks may count on it, as a trace of them then does not
        try:
            requests, expected = self._compile(batch)
            outputs = self._infer(requests, batch)
        except Exception as error:  # its failures have no common kind
            if isinstance(error, EgofeatError) or is_out_of_memory(error):
                raise
            reason = str(error).strip().splitlines()[-1]
            raise RequestError(
                f"OpenVINO cannot run {self._name} ({reason}): use `engine` torch"
            ) from None
        for tap, right in expected.items():
            # Which OpenVINO clips to numbers.
            check_finite(right, f"values of {self._name} at tap {tap}", "float32")
            apart, most = (outputs[tap] - right).norm(), _NEAR[self._precision] * right.norm()
            if not apart <= most + 1e-6:  # nor is what is not a number
                raise RequestError(
                    f"OpenVINO gives other values of the tap {tap} of {self._name} than PyTorch: "
                    "use `engine` torch"
                )
        self._requests[tuple(batch.shape)] = requests
        return outputs

    def _infer(self, requests: "_Requests", batch: Tensor) -> dict[str, Tensor]:
        results = requests.infer(batch)
        return {tap: torch.from_numpy(results[place]) for place, tap in enumerate(self._taps)}

    def _compile(self, batch: Tensor) -> "tuple[_Requests, dict[str, Tensor]]":
        """Those that infer batches of this shape, and what PyTorch makes of this one."""
        expected: dict[str, Tensor] = {}

        def run(views: Tensor) -> tuple[Tensor, ...]:
            outputs = self._module(views)
            expected.update(outputs)
            return tuple(outputs.values())

        with torch.no_grad(), _FixedShapes(), warnings.catch_warnings(action="ignore"):
            trace: Callable[..., Any] = torch.jit.trace
            model = _converted(trace(run, batch, check_trace=False))
        self._taps = tuple(expected)
        model.reshape(list(batch.shape))
        turned = _is_convolved(model)
        model = _channels_last(model, batch.ndim) if turned else model
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
            "INFERENCE_NUM_THREADS": self.streams * torch.get_num_threads(),
            "NUM_STREAMS": self.streams,
            "PERFORMANCE_HINT": "LATENCY",
            # Processes that share a machine would all be bound to its first cores.
            "ENABLE_CPU_PINNING": False,
        }
        with _own_signal_stack():
            compiled = _openvino().Core().compile_model(model, "CPU", settings)
        return _Requests(compiled, turned), expected


class _Requests:
    """Infer what a compiled network is asked, each for one thread at a time.

    Args:
        compiled: the network.
        turned: whether it takes batches whose channels are last.
    """

    def __init__(self, compiled: Any, turned: bool) -> None:
        self._compiled = compiled
        self._turned = turned
        self._idle: list[Any] = []

    def infer(self, batch: Tensor) -> Any:
        """Place of an output to an array of its own."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        pixels = batch.movedim(1, -1) if self._turned else batch
        results = request.infer([pixels.contiguous().numpy()], share_inputs=True)
        self._idle.append(request)
        return results


class _SignalStack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (
        ("start", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextmanager
def _own_signal_stack() -> Iterator[None]:
    """Keep where this thread handles signals.

    OpenVINO names memory of its own for that when it compiles, and frees it with the network: a
    later Ctrl-C would end the process by a segmentation fault.
    """
    if sys.platform != "linux":
        yield
        return
    before, library = _SignalStack(), ctypes.CDLL(None)
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)


class _FixedShapes(TorchFunctionMode):
    """Sizes are numbers where a network is traced: what it computes from them is constant."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (_SHAPE, Tensor.size):
            return int(result) if isinstance(result, Tensor) else tuple(map(int, result))
        return result


def _converted(traced: Any) -> Any:
    """OpenVINO's own `convert_model` does the same, and tells its makers of it."""
    _openvino()
    from openvino.frontend import FrontEndManager  # noqa: PLC0415
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, graph_element=None)  # which `frontend` holds not
    return frontend.convert(frontend.load(decoder))


def _is_convolved(model: Any) -> bool:
    """Whether all that a network does with a batch is to pad and convolve it, or either.

    Sums over a batch whose channels are last are less exact by OpenVINO, up to a hundred times.
    """
    users = {user.get_node().get_type_name() for user in model.input().get_target_inputs()}
    return users <= {"Convolution", "Pad"}


def _channels_last(model: Any, axes: int) -> Any:
    """The model, fed as batches lie in memory: turning them takes as long as its first layers."""
    library, clips = _openvino(), "D" * (axes == 5)
    steps = library.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_layout(library.Layout(f"N{clips}HWC"))
    steps.input().model().set_layout(library.Layout(f"NC{clips}HW"))
    return steps.build()


def _openvino() -> Any:
    """The library; importing it alone would send word to its makers, but for what stands here.

    Raises:
        RequestError: it is not installed.
    """
    name = "openvino_telemetry"
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # as if it were not installed
    try:
        import openvino  # noqa: PLC0415
    except ImportError:
        raise RequestError(
            "`engine` openvino needs OpenVINO, which is not installed: "
            "pip install egofeat[openvino]"
        ) from None
    finally:
        if sys.modules[name] is None:
            del sys.modules[name]
    return openvino
