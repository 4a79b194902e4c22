"""The double of TensorRT: what a version lacks, its parser or its builder refuses, is refused here too."""

import numpy as np
import pytest
from onnx import numpy_helper

from tests.trt_double.boards import FP16, FP32, INT8, asymmetric, far_away, graph, half_scale, two_inputs


def test_it_says_of_itself_that_it_simulates(board):
    assert board.trt.SIMULATED is True


@pytest.mark.parametrize(
    ("line", "lacks"),
    [
        pytest.param("11.4", lambda trt: trt.BuilderFlag.FP16, id="FP16 flag on 11"),
        pytest.param("11.4", lambda trt: trt.IInt8EntropyCalibrator2, id="calibrators on 11"),
        pytest.param(
            "11.4", lambda trt: trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH, id="batch flag on 11"
        ),
        pytest.param("10.3", lambda trt: trt.IExecutionContext.execute_async_v2, id="execute_async_v2 on 10"),
        pytest.param("8.5", lambda trt: trt.IProgressMonitor, id="progress monitor on 8.5"),
        pytest.param(
            "8.6", lambda trt: trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED, id="strong typing on 8"
        ),
        pytest.param("10.3", lambda trt: trt.BuilderFlag.EDITABLE_TIMING_CACHE, id="editable cache on 10.3"),
    ],
)
def test_what_a_version_lacks_is_not_there(on, line, lacks):
    with pytest.raises(AttributeError):
        lacks(on(line).trt)


def test_what_a_version_lacks_cannot_be_set(on):
    config = on("8.5").config

    with pytest.raises(AttributeError, match="builder_optimization_level"):
        config.builder_optimization_level = 5


def test_what_can_only_be_read_cannot_be_set(on):
    with pytest.raises(AttributeError):
        on("10.3").builder.num_DLA_cores = 1


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda board: board.config.set_memory_pool_limit(0, 1), id="a number for an enum"),
        pytest.param(lambda board: board.config.set_flag(flags=1), id="a wrong name"),
        pytest.param(lambda board: board.builder.create_network(1, 2), id="too many"),
        pytest.param(lambda board: board.builder.build_serialized_network(None), id="too few"),
        pytest.param(lambda board: len(board.any_plan()), id="a length of host memory"),
    ],
)
def test_wrong_arguments_are_refused_as_pybind11_does(on, call):
    with pytest.raises(TypeError):
        call(on("10.3"))


def test_an_argument_that_only_later_versions_take_is_refused(on):
    engine = on("8.5").open(on("8.5").any_plan())

    with pytest.raises(TypeError, match=r"TensorRT 8\.5\.2 takes \[\['self'\]\]"):
        engine.create_execution_context(0)


def test_a_logger_whose_base_was_not_made_is_refused(board):
    class Log(board.trt.ILogger):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="must be called when overriding"):
        board.trt.Builder(Log())


def test_enum_values_are_those_of_the_version(on):
    flags = [int(on(line).trt.BuilderFlag.VERSION_COMPATIBLE) for line in ("8.6", "10.3", "11.4")]

    assert flags == [15, 13, 12]


@pytest.mark.parametrize(
    ("line", "model", "complaint"),
    [
        pytest.param(
            "8.5", lambda: graph(INT8, opset=19, scale=np.float16), "Opset 19", id="opset 19 on 8.5"
        ),
        pytest.param("10.3", lambda: graph(FP32.replace("17", "21")), "Opset 21", id="opset 21 on 10.3"),
        pytest.param("8.5", half_scale, "scale type must be FLOAT", id="FP16 scales on 8.5"),
        pytest.param("8.5", two_inputs, "requires 3 inputs", id="Q with two inputs on 8.5"),
        pytest.param("10.3", asymmetric, "symmetric", id="a zero point that is not 0"),
        pytest.param(
            "10.3", lambda: graph(FP32.replace("Sigmoid", "Unheard")), "Unheard", id="unknown operator"
        ),
        pytest.param("8.5", lambda: graph(FP32.replace("Sigmoid", "Gelu")), "Gelu", id="Gelu on 8.5"),
        pytest.param("10.3", far_away, "Failed to open file", id="weights in another file"),
    ],
)
def test_a_graph_that_the_parser_of_a_version_refuses_is_refused_with_the_node(on, line, model, complaint):
    board = on(line)

    assert board.parse(model(), board.weak()) is False
    assert complaint in "\n".join(board.parser.get_error(at).desc() for at in range(board.parser.num_errors))


def test_an_error_of_the_parser_names_node_and_operator_as_far_as_the_version_tells(on):
    board = on("10.3")
    board.parse(graph(FP32.replace("Sigmoid", "Unheard")), board.weak())
    error = board.parser.get_error(0)

    assert (error.node(), error.node_operator(), error.code().name) == (1, "Unheard", "UNSUPPORTED_NODE")


def test_bytes_that_are_no_graph_are_refused(board):
    board.network = board.builder.create_network(board.weak())
    board.parser = board.trt.OnnxParser(board.network, board.log)

    assert board.parser.parse(b"no graph") is False
    assert board.parser.get_error(0).code().name == "MODEL_DESERIALIZE_FAILED"


def test_version_8_wants_an_explicit_batch(on):
    assert on("8.6").parse(graph(FP32), 0) is False


def test_types_that_differ_are_refused_in_a_strongly_typed_network_only(on):
    board = on("10.3")
    mixed = graph(FP16, opset=19)
    mixed.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), "b"))

    assert not board.parse(mixed, board.strong())
    assert "different types" in board.parser.get_error(0).desc()


def test_10_3_wants_scales_of_the_type_of_the_input_and_10_16_does_not(on):
    half_input = (
        INT8.replace("(float[1,3", "(float16[1,3").replace("= Conv", "= Unused").replace("Unused", "Conv")
    )
    verdicts = []
    for line in ("10.3", "10.16"):
        board = on(line)
        board.parse(graph(half_input, opset=19), board.strong())
        said = [board.parser.get_error(at).desc() for at in range(board.parser.num_errors)]
        verdicts.append(any("must match the scale" in text for text in said))

    assert verdicts == [True, False]


@pytest.mark.parametrize(
    ("line", "model", "flags", "complaint"),
    [
        pytest.param(
            "8.5", lambda: graph(INT8), [], "int8 is not configured", id="Q/DQ without the INT8 flag"
        ),
        pytest.param(
            "10.3", lambda: graph(FP16, opset=17), [], "fp16 is not configured", id="FP16 without its flag"
        ),
        pytest.param(
            "8.6", lambda: graph(FP32, batch="n"), [], "no optimization profile", id="dynamic batch"
        ),
    ],
)
def test_a_weakly_typed_build_that_lacks_a_setting_gives_none_and_says_why(on, line, model, flags, complaint):
    board = on(line)

    assert board.build(model(), board.weak()) is None
    assert complaint in board.said[-1]


def test_precision_flags_and_strong_typing_exclude_each_other(on):
    board = on("10.16")
    board.config.set_flag(board.trt.BuilderFlag.FP16)

    assert board.build(graph(FP16, opset=19), board.strong()) is None
    assert "kFP16 is not compatible with a strongly typed network" in board.said[-1]


def test_what_goes_wrong_is_recorded_too(on):
    board = on("10.3")

    class Recorder(board.trt.IErrorRecorder):
        def __init__(self):
            board.trt.IErrorRecorder.__init__(self)
            self.errors = []

        def report_error(self, arg0, arg1):
            self.errors.append((arg0.name, arg1))

    recorder = board.builder.error_recorder = Recorder()
    board.build(graph(FP16, opset=17), board.weak())

    assert recorder.errors[0][0] == "INVALID_CONFIG"


@pytest.mark.parametrize(
    ("line", "model", "complaint"),
    [
        ("10.3", lambda: graph(INT8), "does not support explicit quantization"),
        ("10.13", lambda: graph(FP32), "DLA core 0 is not valid"),
    ],
)
def test_dla_takes_no_q_dq_up_to_10_7_and_is_gone_after(on, line, model, complaint):
    board = on(line)
    board.config.default_device_type, board.config.DLA_core = board.trt.DeviceType.DLA, 0
    board.config.set_flag(board.trt.BuilderFlag.GPU_FALLBACK)

    assert board.build(model(), board.strong()) is None
    assert complaint in board.said[-1]


def test_without_a_device_there_is_no_builder(on):
    with pytest.raises(TypeError, match="factory function returned nullptr"):
        on("10.3", CUDA_DOUBLE_DEVICES="0")
