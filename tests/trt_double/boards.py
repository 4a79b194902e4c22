"""Small graphs, and a board to parse, build and run them on as the examples of the bindings do."""

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser

from targets.cuda_access import find_cuda

FP32 = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,3,8,8] images) => (float[N,4,8,8] out) <float[4,3,3,3] w, float[4] b>
    { c = Conv <pads = [1, 1, 1, 1]> (images, w, b)  s = Sigmoid (c)  out = Mul (c, s) }"""


FP16 = """<ir_version: 9, opset_import: ["" : OPSET]>
    g (float[1,3,8,8] images) => (float[1,4,8,8] out) <float16[4,3,3,3] w, float16[4] b>
    { h = Cast <to = 10> (images)  c = Conv <pads = [1, 1, 1, 1]> (h, w, b)  s = Sigmoid (c)
      m = Mul (c, s)  out = Cast <to = 1> (m) }"""


INT8 = """<ir_version: 9, opset_import: ["" : OPSET]>
    g (float[1,3,8,8] images) => (float[1,4,8,8] out) <float[4,3,3,3] w, float[4] b, SCALE one, int8 zero>
    { q = QuantizeLinear (images, one, zero)  d = DequantizeLinear (q, one, zero)
      wq = QuantizeLinear (w, one, zero)  wd = DequantizeLinear (wq, one, zero)
      out = Conv <pads = [1, 1, 1, 1]> (d, wd, b) }"""


IMAGE = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)


def graph(text, batch="1", opset=17, scale=np.float32):
    names = {np.float32: "float", np.float16: "float16"}
    text = text.replace("[N,", f"[{batch},").replace("OPSET", str(opset)).replace("SCALE", names[scale])
    model = parser.parse_model(text)
    random = np.random.default_rng(0)
    arrays = {
        "w": random.normal(size=(4, 3, 3, 3)).astype(np.float16 if "float16[4,3" in text else np.float32),
        "b": random.normal(size=4).astype(np.float16 if "float16[4]" in text else np.float32),
        "one": np.array(0.05, scale),
        "zero": np.array(0, np.int8),
    }
    wanted = {name for node in model.graph.node for name in node.input}
    del model.graph.initializer[:]
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items() if n in wanted)
    return model


def half_scale():
    return graph(INT8, scale=np.float16)


def two_inputs():
    model = graph(INT8)
    del model.graph.node[0].input[2]
    return model


def asymmetric():
    model = graph(INT8)
    model.graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.array(3, np.int8), "zero"))
    return model


def far_away():
    model = graph(FP32)
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")
    return model


class Board:
    """A builder with what it said, driven as the bindings' examples do."""

    def __init__(self, trt):
        self.trt, self.said = trt, []
        board = self

        class Log(trt.ILogger):
            def __init__(self):
                trt.ILogger.__init__(self)

            def log(self, severity, msg):
                if severity.value <= trt.ILogger.WARNING.value:
                    board.said.append(msg)

        self.log = Log()
        self.builder = trt.Builder(self.log)
        self.config = self.builder.create_builder_config()

    def strong(self):
        flags = self.trt.NetworkDefinitionCreationFlag
        return 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0

    def weak(self):
        flags = self.trt.NetworkDefinitionCreationFlag
        return 1 << int(flags.EXPLICIT_BATCH) if hasattr(flags, "EXPLICIT_BATCH") else 0

    def parse(self, model, flags):
        self.network = self.builder.create_network(flags)
        self.parser = self.trt.OnnxParser(self.network, self.log)
        return self.parser.parse(model.SerializeToString())

    def build(self, model, flags):
        assert self.parse(model, flags), self.said
        return self.builder.build_serialized_network(self.network, self.config)

    def any_plan(self):
        return self.build(graph(FP32), self.strong() or self.weak())

    def open(self, plan):
        return self.trt.Runtime(self.log).deserialize_cuda_engine(plan)


def run(engine, images, out_shape, context=None):
    """Run once, through the product's CUDA access."""
    cuda, context = find_cuda(), context or engine.create_execution_context()
    out = np.empty(out_shape, np.float32)
    stream, device, result = cuda.create_stream(), cuda.allocate(images.nbytes), cuda.allocate(out.nbytes)
    context.set_tensor_address("images", device)
    context.set_tensor_address("out", result)
    cuda.copy_to_device(device, images.ctypes.data, images.nbytes, stream)
    assert context.execute_async_v3(stream)
    cuda.copy_to_host(out.ctypes.data, result, out.nbytes, stream)
    cuda.synchronize(stream)
    for address in (device, result):
        cuda.release(address)
    cuda.destroy_stream(stream)
    return out


def reference(model, images):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"images": images})[0]
