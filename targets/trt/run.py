"""Run: a plan on the GPU, by named tensors, on a stream of its own, as a CUDA graph where shapes allow.

`set_tensor_address` and `execute_async_v3` are in every version from 8.5 on. The first enqueue
is never captured: TensorRT sets itself up in it, as trtexec knows too.
"""

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Tuple

from targets.cuda import Cuda
from targets.cuda_access import find_cuda
from targets.errors import EvidenceError, ModelError
from targets.trt.explain import loading_failed
from targets.trt.library import load
from targets.trt.log import Log, make_logger, needing_gpu
from targets.trt.tensors import Tensor, allocate, names_of

if TYPE_CHECKING:
    from targets.runtime import Images, Output


@dataclass(frozen=True)
class Loaded:
    """An engine, and what TensorRT said since it was loaded.

    Fields are let go in their order, and an engine needs its runtime, both the logger.

    Attributes:
        most: Pictures that a call may have; 0 where the engine's batch is fixed.
    """

    engine: Any
    runtime: Any
    logger: Any
    log: Log
    most: int

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
        tensors: Tuple[Tensor, Tensor],
    ) -> None:
        self._cuda = cuda
        self._loaded = loaded
        self._context = context
        self._stream = stream
        self._input, self._output = tensors
        self._graphs: Dict[bool, int] = {}
        self._lock = Lock()
        self.graph = False
        self.batch = int(self._input.array.shape[0])

    def infer(self, images: "Images") -> "Output":
        """Run one batch, copies in and out included; threads take turns.

        Raises:
            ModelError: The pictures have not the engine's shape.
            EvidenceError: CUDA or TensorRT failed.
        """
        return self.call(images, graph=self.graph)

    def call(self, images: "Images", *, graph: bool) -> "Output":
        """Run one batch as `infer` does, with or without a CUDA graph."""
        import numpy as np

        with self._lock:  # there is one set of buffers
            self.put(images)
            self.enqueue(copies=True, graph=graph)
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
            tensor = self._input
            self._cuda.copy_to_device(tensor.device, tensor.host, tensor.array.nbytes, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise self._loaded.failure("TensorRT could not queue the engine")
        if copies:
            tensor = self._output
            self._cuda.copy_to_host(tensor.host, tensor.device, tensor.array.nbytes, self._stream)

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
        """Free the graphs and the context, once nothing runs."""
        with suppress(EvidenceError):  # what failed before fails here again, and was told
            self.wait()
        while self._graphs:
            self._cuda.destroy_graph(self._graphs.popitem()[1])
        self._context = None

    def _captured(self, *, copies: bool) -> int:
        if copies not in self._graphs:
            self._cuda.begin_capture(self._stream)
            try:
                self.enqueue(copies=copies, graph=False)
            except EvidenceError:
                with suppress(EvidenceError):  # a capture that was spoilt cannot be ended with success
                    self._cuda.destroy_graph(self._cuda.end_capture(self._stream))
                raise
            self._graphs[copies] = self._cuda.end_capture(self._stream)
        return self._graphs[copies]


@contextmanager
def open_engine(plan: Path) -> "Iterator[Loaded]":
    """Load a plan, from which sessions are opened.

    Its sessions must be closed first: a context needs its engine.

    Raises:
        ModelError: There is none, or it is none for this TensorRT and this GPU.
        EvidenceError: TensorRT or a GPU is missing.
    """
    trt, log = load(), Log()
    logger = make_logger(trt, log)
    trt.init_libnvinfer_plugins(logger, "")
    with needing_gpu(log):
        runtime = trt.Runtime(logger)
    # engine_host_code_allowed stays off: a plan may carry code for the host.
    engine = _deserialize(runtime, plan, log)
    yield Loaded(engine, runtime, logger, log, _most(engine, names_of(trt, engine)[0]))


def _deserialize(runtime: Any, plan: Path, log: Log) -> Any:
    """Give the engine. The plan's bytes are let go, or they would count as memory of the engine."""
    try:
        content = plan.read_bytes()
    except OSError as exc:
        raise ModelError(f"{plan} cannot be read: {exc.strerror}.", hint="Build the engine again.") from exc
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        raise loading_failed(content, log)
    return engine


def _most(engine: Any, name: str) -> int:
    if tuple(engine.get_tensor_shape(name))[:1] != (-1,):
        return 0
    _, _, largest = engine.get_tensor_profile_shape(name, 0)
    return int(next(iter(largest)))


@contextmanager
def open_session(loaded: Loaded, *, batch: int = 1, graph: bool = True) -> "Iterator[Session]":
    """Open a context of an engine with its own stream and buffers.

    Args:
        loaded: Of `open_engine`.
        batch: Pictures of a call, where the engine's batch is open.
        graph: Launch a CUDA graph, if one can be captured.

    Raises:
        ModelError: Its input or output is not as a detector's.
        EvidenceError: CUDA failed, as when memory ran out.
    """
    cuda, engine = find_cuda(), loaded.engine
    names = names_of(load(), engine)
    with ExitStack() as stack:
        stream = cuda.create_stream()
        stack.callback(cuda.destroy_stream, stream)
        context = engine.create_execution_context()
        if context is None:
            raise loaded.failure("TensorRT could not make an execution context")
        shape = tuple(engine.get_tensor_shape(names[0]))
        if -1 in shape and not context.set_input_shape(names[0], (batch, *shape[1:])):
            raise loaded.failure(f"The engine does not take {batch} pictures at once")
        tensors = [allocate(cuda, stack, engine, context, name) for name in names]
        if tensors[0].array.dtype.kind != "f":
            raise ModelError(
                f"The engine takes pictures as {tensors[0].array.dtype}; they are given in 0 to 1.",
                hint="Export the model with an input in FP32 or FP16.",
            )
        session = Session(cuda, loaded, context, stream=stream, tensors=(tensors[0], tensors[1]))
        del context  # the session's now, which lets it go first
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
    with open_engine(plan) as loaded, open_session(loaded) as session:
        yield session
