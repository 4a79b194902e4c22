"""The builder: what it is asked for on each line of versions, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from targets.errors import EdgeboundError, EvidenceError, ModelError, UnsupportedError
from targets.trt.build import PLAN_NAME
from targets.trt.run import open_plan
from tests.targets.trt.parts import ORIN, WORK, built, model_of
from tests.trt_double.boards import FP32, INT8, far_away, graph
from tests.trt_double.fixtures import LINES, board_here

CACHED = "Local timing cache in use. "


def lines_of(folder: Path, words: str) -> list[str]:
    return [line for line in (folder / "build.log").read_text().splitlines() if words in line]


def test_a_model_with_weights_in_other_files_is_refused_before_the_parser_opens_them(tmp_path: Path) -> None:
    with board_here("10.3"), pytest.raises(ModelError, match=r"weights in other files: weights\.bin"):
        built(tmp_path, far_away())


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    class Text:
        def SerializeToString(self) -> bytes:  # noqa: N802
            return b"<html>404</html>"

    with board_here("10.3"), pytest.raises(ModelError, match="no ONNX model"):
        built(tmp_path, Text())


@pytest.mark.parametrize("line", LINES)
def test_the_parser_s_complaint_names_the_node_also_where_tensorrt_only_counts(
    line: str, tmp_path: Path
) -> None:
    model = graph(FP32)
    model.graph.node[1].op_type, model.graph.node[1].name = "Celu2", "/model.0/act"

    with board_here(line), pytest.raises(UnsupportedError, match=r"/model\.0/act \(Celu2\)"):
        built(tmp_path, model)


def test_without_a_gpu_nothing_is_built_and_evidence_is_missing(tmp_path: Path) -> None:
    with board_here("10.3", CUDA_DOUBLE_DEVICES="0"), pytest.raises(EvidenceError, match=r"no|GPU|CUDA"):
        built(tmp_path, graph(FP32), cache=None)


class TestTries:
    def test_each_try_times_all_layers_anew(self, tmp_path: Path) -> None:
        with board_here("10.3"):
            built(tmp_path, graph(FP32))
            built(tmp_path, graph(FP32), replace(WORK, tries=2), logs=tmp_path)

        timed = lines_of(tmp_path, CACHED)
        assert timed == [f"I {CACHED}3 of 3 layers are to be timed."] * 2

    def test_one_try_goes_by_what_was_timed_before(self, tmp_path: Path) -> None:
        with board_here("10.3"):
            built(tmp_path, graph(FP32))
            built(tmp_path, graph(FP32), logs=tmp_path)

        assert lines_of(tmp_path, CACHED) == [f"I {CACHED}0 of 3 layers are to be timed."]

    def test_a_broken_timing_cache_is_begun_anew(self, tmp_path: Path) -> None:
        with board_here("10.3"):
            built(tmp_path, graph(FP32))
            (cache,) = (tmp_path / "cache").iterdir()
            cache.write_bytes(b"half a ca")
            built(tmp_path, graph(FP32), logs=tmp_path)

        assert lines_of(tmp_path, CACHED) == [f"I {CACHED}3 of 3 layers are to be timed."]
        assert cache.read_bytes() != b"half a ca"

    def test_only_the_kept_plan_is_left_in_the_engine_s_folder(self, tmp_path: Path) -> None:
        with board_here("10.3"):
            told = built(tmp_path, graph(FP32), replace(WORK, tries=3))

        assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "cache", PLAN_NAME}
        assert len(told.p50_ms) == 3


class TestProgress:
    def test_a_builder_tells_its_steps(self, tmp_path: Path) -> None:
        told: list[tuple[float, float, str]] = []

        with board_here("10.3"):
            built(tmp_path, graph(FP32), progress=lambda *what: told.append(what))

        words = "building, try 1 of 1"
        assert told == [(0, 1, words), *((step, 3, f"{words}: Building Engine") for step in (1, 2, 3))]

    def test_an_older_builder_tells_its_tries(self, tmp_path: Path) -> None:
        told: list[tuple[float, float, str]] = []

        with board_here("8.6"):
            built(tmp_path, graph(FP32), progress=lambda *what: told.append(what))

        assert told == [(0, 1, "building, try 1 of 1")]


class TestDla:
    @pytest.mark.parametrize(
        ("line", "precision", "why"),
        [
            ("8.5", "int8", r"before TensorRT 11\.4\.1 it takes no Q/DQ"),
            ("10.3", "int8", r"before TensorRT 11\.4\.1 it takes no Q/DQ"),
            ("10.3", "fp32", "computes in FP16 and INT8"),
            ("10.13", "fp16", "has 0"),
        ],
    )
    def test_what_it_cannot_run_is_refused_with_the_reason(
        self, line: str, precision: str, why: str, tmp_path: Path
    ) -> None:
        with board_here(line), pytest.raises(UnsupportedError, match=why):
            built(tmp_path, model_of(precision, line), replace(WORK, dla_core=0))

    def test_a_core_that_the_board_has_not_is_refused_whatever_the_profile_says(self, tmp_path: Path) -> None:
        refused = pytest.raises(UnsupportedError, match="has 0")
        assert ORIN.dla == 2

        with board_here("10.3", sm="8.9"), refused:
            built(tmp_path, model_of("fp16", "10.3"), replace(WORK, dla_core=0))

    @pytest.mark.parametrize("precision", ["fp16", "int8"])
    def test_it_takes_q_dq_again_from_11_4_1_on(self, precision: str, tmp_path: Path) -> None:
        with board_here("11.4"):
            told = built(tmp_path, model_of(precision, "11.4"), replace(WORK, dla_core=1))
            with open_plan(tmp_path / PLAN_NAME):
                pass

        assert "--useDLACore=1 --allowGPUFallback" in told.command


class TestCommand:
    def test_it_names_timing_cache_workspace_and_level(self, tmp_path: Path) -> None:
        work = replace(WORK, workspace_mib=512, optimization_level=4)

        with board_here("8.6"):
            new = built(tmp_path, graph(FP32), work).command.split()
        with board_here("8.5"):
            old = built(tmp_path, graph(FP32), work).command.split()

        assert {"--memPoolSize=workspace:512", "--builderOptimizationLevel=4"} <= set(new)
        assert "--builderOptimizationLevel=4" not in old  # there is no such option yet
        assert any(part.startswith("--timingCacheFile=") for part in new)

    def test_it_names_the_shapes_of_an_open_batch(self, tmp_path: Path) -> None:
        with board_here("10.3"):
            command = built(tmp_path, graph(FP32, batch="N")).command

        assert "--minShapes=images:1x3x8x8 --optShapes=images:1x3x8x8 --maxShapes=images:8x3x8x8" in command


def test_an_open_side_of_the_picture_is_refused(tmp_path: Path) -> None:
    model = graph(FP32)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"

    with board_here("10.3"), pytest.raises(UnsupportedError, match="only its batch may be open"):
        built(tmp_path, model)


def test_a_flag_that_a_strongly_typed_network_refuses_is_never_set(tmp_path: Path) -> None:
    with board_here("10.13"):
        told = built(tmp_path, graph(INT8, opset=19), logs=tmp_path)

    assert told.layers["INT8"] == 1
    assert not lines_of(tmp_path, "not compatible")


def test_a_builder_that_fails_leaves_no_plan(tmp_path: Path) -> None:
    with board_here("10.3", TRT_DOUBLE_FAIL="oom"), pytest.raises(EdgeboundError, match="OutOfMemory"):
        built(tmp_path, graph(FP32), cache=None)

    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
