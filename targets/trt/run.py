"""Run: a plan on the GPU, by named tensors, on a stream of its own, as a CUDA graph where shapes allow.

`set_tensor_address` and `execute_async_v3` are in every version from 8.5 on. The first enqueue
is never captured: TensorRT sets itself up in it, as trtexec knows too.
"""

import ctypes
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Tuple

from targets.cuda import Cuda
from targets.cuda_access import find_cuda
from targets.errors import EvidenceError, ModelError
from targets.trt.explain import loading_failed
from targets.trt.library import load
from targets.trt.log import Log, make_logger

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from targets.runtime import Images, Output


@dataclass(frozen=True)
class _Tensor:
    """An input or output: its memory on both sides.

    Attributes:
        device: Address on the GPU.
        host: Address of page-locked memory.
        array: The same memory, as the engine's type says.
    """

    name: str
    device: int
    host: int
    array: "NDArray[Any]"


@dataclass(frozen=True)
class Loaded:
    """An engine, and what TensorRT said since it was loaded."""

    engine: Any
    log: Log

    def failure(self, what: str) -> EvidenceError:
        """Give the error of a call that only said no."""
        said = "; ".join(self.log.errors[-2:]) or "it does not say why"
        return EvidenceError(f"{what}: {said}", hint="GPU memory may be short; close what else runs.")


class Session:
    """An engine that is loaded, with one execution context, stream and set of buffers.

    Attributes:
        graph: Calls launch a CUDA graph.
        batch: Pictures of a call.
    """

    def __init__(
        self,
        cuda: Cuda,
        loaded: Loaded,
        context: Any,
        *,
        stream: int,
        tensors: "Tuple[_Tensor, _Tensor]",
    ) -> None:
        self._cuda = cuda
        self._loaded = loaded
        self._context = context
        self._stream = stream
        self._input, self._output = tensors
        self._graphs: Dict[bool, int] = {}
        self.graph = False
        self.batch = int(self._input.array.shape[0])

    def infer(self, images: "Images") -> "Output":
        """Run one batch, copies in and out included.

        Raises:
            ModelError: The pictures have not the engine's shape.
            EvidenceError: CUDA or TensorRT failed.
        """
        import numpy as np

        self.put(images)
        self.enqueue(copies=True, graph=self.graph)
        self.wait()
        answer: Output = self._output.array.astype(np.float32)  # a copy: the buffer is used again
        return answer

    def put(self, images: "Images") -> None:
        """Lay a batch into the input's page-locked memory.

        Raises:
            ModelError: The pictures have not the engine's shape.
        """
        if images.shape != self._input.array.shape:
            raise ModelError(
                f"The engine takes {self._input.array.shape}, the pictures are {images.shape}.",
                hint="They must have the size that model.json says.",
            )
        self._input.array[...] = images

    def enqueue(self, *, copies: bool, graph: bool) -> None:
        """Queue one call on the stream: the engine alone, or with copies in and out."""
        if graph:
            self._cuda.launch_graph(self._captured(copies=copies), self._stream)
            return
        if copies:
            self._copy_in()
        if not self._context.execute_async_v3(self._stream):
            raise self._loaded.failure("TensorRT could not queue the engine")
        if copies:
            self._copy_out()

    def wait(self) -> None:
        """Wait until all that was queued is done."""
        self._cuda.synchronize(self._stream)

    @contextmanager
    def timer(self) -> "Iterator[List[float]]":
        """Time on the GPU, by events, what the block queues; the list has the milliseconds afterwards."""
        taken: List[float] = []
        begin, end = self._cuda.create_event(), self._cuda.create_event()
        try:
            self._cuda.record(begin, self._stream)
            yield taken
            self._cuda.record(end, self._stream)
            self.wait()
            taken.append(self._cuda.elapsed_ms(begin, end))
        finally:
            self._cuda.destroy_event(begin)
            self._cuda.destroy_event(end)

    def capture(self) -> bool:
        """See whether calls can be captured into a CUDA graph, and launch it from now on if so."""
        self.enqueue(copies=True, graph=False)
        self.wait()
        try:
            self._captured(copies=True)
        except EvidenceError:
            # What stops the capture is the engine's own: shapes that depend on data, work on a DLA.
            self.enqueue(copies=True, graph=False)
            self.wait()
            return False
        self.graph = True
        return True

    def close(self) -> None:
        """Free the graphs."""
        for graph in self._graphs.values():
            self._cuda.destroy_graph(graph)
        self._graphs.clear()

    def _captured(self, *, copies: bool) -> int:
        if copies not in self._graphs:
            self._cuda.begin_capture(self._stream)
            try:
                self.enqueue(copies=copies, graph=False)
            finally:
                graph = self._cuda.end_capture(self._stream)
            self._graphs[copies] = graph
        return self._graphs[copies]

    def _copy_in(self) -> None:
        tensor = self._input
        self._cuda.copy_to_device(tensor.device, tensor.host, tensor.array.nbytes, self._stream)

    def _copy_out(self) -> None:
        tensor = self._output
        self._cuda.copy_to_host(tensor.host, tensor.device, tensor.array.nbytes, self._stream)


@contextmanager
def open_engine(plan: bytes) -> "Iterator[Loaded]":
    """Load a plan, from which sessions are opened.

    Raises:
        ModelError: It is no plan for this TensorRT and this GPU.
    """
    trt, log = load(), Log()
    logger = make_logger(trt, log)
    trt.init_libnvinfer_plugins(logger, "")
    runtime = trt.Runtime(logger)
    # engine_host_code_allowed stays off: a plan may carry code for the host.
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise loading_failed(plan, log)
    yield Loaded(engine, log)
    del engine, runtime


@contextmanager
def open_session(loaded: Loaded, *, batch: int = 1, graph: bool = True) -> "Iterator[Session]":
    """Open a context of an engine with its own stream and buffers.

    Args:
        loaded: Of `open_engine`.
        batch: Pictures of a call, where the engine's batch is open.
        graph: Launch a CUDA graph, if one can be captured.

    Raises:
        ModelError: It has not one input and one output.
        EvidenceError: CUDA failed, as when memory ran out.
    """
    cuda = find_cuda()
    with ExitStack() as stack:
        engine = loaded.engine
        context = engine.create_execution_context()
        if context is None:
            raise loaded.failure("TensorRT could not make an execution context")
        stream = cuda.create_stream()
        stack.callback(cuda.destroy_stream, stream)
        names = _names(engine)
        _fix_batch(context, engine, names[0], batch)
        tensors = tuple(_allocate(cuda, stack, engine, context, name) for name in names)
        for tensor in tensors:
            context.set_tensor_address(tensor.name, tensor.device)
        session = Session(cuda, loaded, context, stream=stream, tensors=(tensors[0], tensors[1]))
        stack.callback(session.close)
        if graph:
            session.capture()
        yield session


@contextmanager
def open_plan(plan: Path) -> "Iterator[Session]":
    """Load a plan and open it for one picture a call, as it ships.

    Raises:
        ModelError: There is none, or it is none for this TensorRT and this GPU.
        EvidenceError: CUDA failed.
    """
    try:
        content = plan.read_bytes()
    except OSError as exc:
        raise ModelError(f"{plan} cannot be read: {exc.strerror}.", hint="Build the engine again.") from exc
    with open_engine(content) as loaded, open_session(loaded) as session:
        yield session


def _names(engine: Any) -> Tuple[str, str]:
    """Give the names of the input and the output."""
    trt = load()
    names: Dict[Any, List[str]] = {trt.TensorIOMode.INPUT: [], trt.TensorIOMode.OUTPUT: []}
    for place in range(engine.num_io_tensors):
        name = engine.get_tensor_name(place)
        names[engine.get_tensor_mode(name)].append(name)
    inputs, outputs = names[trt.TensorIOMode.INPUT], names[trt.TensorIOMode.OUTPUT]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"The engine has {len(inputs)} inputs and {len(outputs)} outputs; a detector has one of each.",
            hint="Export the model with the picture as its only input, decoding in the graph.",
        )
    return inputs[0], outputs[0]


def _fix_batch(context: Any, engine: Any, name: str, batch: int) -> None:
    shape = tuple(engine.get_tensor_shape(name))
    if -1 in shape:
        context.set_input_shape(name, (batch, *shape[1:]))


def _allocate(cuda: Cuda, stack: ExitStack, engine: Any, context: Any, name: str) -> _Tensor:
    """Give a tensor memory on both sides, freed when the stack unwinds."""
    import numpy as np

    shape = tuple(context.get_tensor_shape(name))
    if any(side < 0 for side in shape):
        raise ModelError(
            f"The shape of {name} depends on the data: {shape}.",
            hint="Move NMS out of the model: export without it.",
        )
    dtype = np.dtype(load().nptype(engine.get_tensor_dtype(name)))
    size = int(np.prod(shape)) * dtype.itemsize
    device = cuda.allocate(size)
    stack.callback(cuda.release, device)
    host = cuda.allocate_pinned(size)
    stack.callback(cuda.release_pinned, host)
    buffer = (ctypes.c_byte * size).from_address(host)
    return _Tensor(name, device, host, np.frombuffer(buffer, dtype).reshape(shape))
