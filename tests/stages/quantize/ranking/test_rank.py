"""Ranking: how much noise each block brings to the head."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.artifact import Artifact
from stages.dataset import load_dataset, save_dataset
from stages.quantize import Quantize
from stages.quantize.calibration import Calibrate, CalibrateInputs
from stages.quantize.graph import Graph
from stages.quantize.placement import place
from stages.quantize.ranking import Block, Rank, Ranked, RankInputs
from stages.quantize.ranking.cost import Load
from stages.quantize.ranking.noise import NoiseMeter, find_blocks
from stages.stage import no_progress
from targets.errors import DataError, ModelError
from targets.model import InputSpec, ModelSpec
from targets.profile import Dialect

Build = Callable[..., onnx.ModelProto]
Drawn = tuple[Artifact, Artifact]


def export(model: onnx.ModelProto, folder: Path) -> Artifact:
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    ModelSpec(family="toy", class_names=("bolt", "nut"), input=InputSpec(16, 16)).save(folder)
    return Artifact.of(folder)


def inputs_of(model: onnx.ModelProto, drawn: Drawn, folder: Path) -> RankInputs:
    folder.mkdir(exist_ok=True)
    exported = export(model, folder / "onnx")
    inputs = CalibrateInputs(onnx=exported, index=drawn[0], pictures=drawn[1])
    statistics = Calibrate().run(inputs, folder, no_progress).statistics
    return RankInputs(
        onnx=exported, statistics=statistics, index=drawn[0], pictures=drawn[1], dialect=Dialect()
    )


def ranked(inputs: RankInputs, out: Path, stage: Rank | None = None) -> Ranked:
    out.mkdir()
    return (stage or Rank()).run(inputs, out, no_progress)


def scale_weight(model: onnx.ModelProto, name: str, factors: np.ndarray) -> None:
    """Change the weights that make each output channel."""
    tensor = next(one for one in model.graph.initializer if one.name == name)
    values = numpy_helper.to_array(tensor) * factors.reshape(-1, 1, 1, 1).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(values, name))


def test_each_block_has_its_noise_and_its_load(
    detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path
) -> None:
    result = ranked(inputs_of(detector, drawn, tmp_path / "in"), tmp_path / "out")

    assert [(one.name, one.nodes) for one in result.blocks] == [("c0", ("c0",)), ("c1", ("c1",))]
    assert [one.load.macs for one in result.blocks] == [8 * 3 * 9 * 64, 8 * 8 * 9 * 64]
    assert result.rest.macs == (16 * 8 + 2 * 8) * 64 + 4 * 4 * 64  # box and cls, and DFL
    assert all(20 < one.sqnr_db < 80 for one in result.blocks)
    assert result.pictures == 2  # more were not picked


def test_the_noise_of_all_is_about_the_sum_of_the_blocks(
    detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path
) -> None:
    result = ranked(inputs_of(detector, drawn, tmp_path / "in"), tmp_path / "out")

    together = 10 ** (-result.sqnr_db / 10)
    assert together == pytest.approx(sum(one.noise for one in result.blocks), rel=0.5)
    assert result.sqnr_db < min(one.sqnr_db for one in result.blocks) + 3


def test_a_block_whose_activation_has_outliers_is_the_noisiest(
    detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path
) -> None:
    scale_weight(
        detector, "w0", np.array([300] + [1] * 7)
    )  # one channel of a0 needs a scale that is no good to others
    next(one for one in detector.graph.initializer if one.name == "b0").CopyFrom(
        numpy_helper.from_array(np.zeros(8, np.float32), "b0")
    )

    result = ranked(
        inputs_of(detector, drawn, tmp_path / "in"),
        tmp_path / "out",
        Rank(quantize=Quantize(method="minmax")),
    )

    assert min(result.blocks, key=lambda one: one.sqnr_db).name == "c1"


def test_the_ranking_is_written_as_it_is_and_always_the_same(
    detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path
) -> None:
    inputs = inputs_of(detector, drawn, tmp_path / "in")

    first, second = (ranked(inputs, tmp_path / name) for name in ("a", "b"))

    record = json.loads((first.ranking / "ranking.json").read_text())
    assert first.ranking.digest == second.ranking.digest
    assert replace(first, ranking=second.ranking) == second
    assert [one["name"] for one in record["blocks"]] == ["c0", "c1"]
    assert record["sqnr_db"] == first.sqnr_db


def test_progress_counts_blocks(detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path) -> None:
    heard: list[tuple[float, float, str]] = []
    (tmp_path / "out").mkdir()

    Rank().run(
        inputs_of(detector, drawn, tmp_path / "in"),
        tmp_path / "out",
        lambda done, total, note="": heard.append((done, total, note)),
    )

    assert heard == [(0, 3, "block 1 of 2"), (1, 3, "block 2 of 2"), (2, 3, "all"), (3, 3, "")]


@pytest.mark.parametrize(
    "dialect", [Dialect(symmetric=False, reduced_range=True), Dialect(tensor_cores=True)]
)
def test_every_dialect_can_be_ranked(
    detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path, dialect: Dialect
) -> None:
    inputs = replace(inputs_of(detector, drawn, tmp_path / "in"), dialect=dialect)

    result = ranked(inputs, tmp_path / "out")

    assert result.blocks
    assert all(math.isfinite(one.sqnr_db) for one in result.blocks)


def test_fewer_pictures_may_do(detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path) -> None:
    inputs = inputs_of(detector, drawn, tmp_path / "in")

    assert ranked(inputs, tmp_path / "out", Rank(pictures=1)).pictures == 1


def test_what_is_excluded_is_in_no_block(detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path) -> None:
    inputs = inputs_of(detector, drawn, tmp_path / "in")

    result = ranked(inputs, tmp_path / "out", Rank(quantize=Quantize(exclude=("head", "c0"))))

    assert [one.name for one in result.blocks] == ["c1"]


class TestBlocks:
    def test_nodes_that_read_the_same_activation_are_one(self, build: Build) -> None:
        model = build(
            "a = Conv (images, w) b = Conv (a, v) c = Conv (a, u) d = Add (b, c) output0 = Conv (d, t)",
            {"w": (4, 3, 1, 1), "v": (4, 4, 1, 1), "u": (4, 4, 1, 1), "t": (4, 4, 1, 1)},
        )

        blocks = find_blocks(Graph(model), place(model, exclude=("head",)))

        assert blocks == [("a",), ("b", "c")]

    def test_decoding_is_no_block_even_where_it_is_quantized(self, detector: onnx.ModelProto) -> None:
        blocks = find_blocks(Graph(detector), place(detector, exclude=()))

        assert blocks == [("c0",), ("c1",), ("box", "cls"), ("dfl",)]


class TestNoise:
    IMAGE = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)

    def test_it_is_looked_at_where_decoding_begins(self, detector: onnx.ModelProto) -> None:
        assert NoiseMeter(detector, [self.IMAGE]).names == ("box", "cls")

    def test_a_model_without_weights_at_its_end_is_looked_at_there(self, build: Build) -> None:
        model = build("output0 = Sigmoid (images)", {})

        assert NoiseMeter(model, [self.IMAGE]).names == ("output0",)

    def test_it_is_the_ratio_of_energies_in_decibels(self, build: Build) -> None:
        model, other = (
            build("a = Mul (images, f) output0 = Relu (a)", {}, {"f": np.float32(f)}) for f in (1, 1.1)
        )

        assert NoiseMeter(model, [self.IMAGE]).sqnr_db(other) == pytest.approx(20, abs=1e-4)

    def test_the_same_model_has_none_and_one_that_overflows_has_nothing_else(self, build: Build) -> None:
        model, broken = (
            build("a = Div (images, f) output0 = Relu (a)", {}, {"f": np.float32(f)}) for f in (1, 0)
        )
        meter = NoiseMeter(model, [self.IMAGE])

        assert (meter.sqnr_db(model), meter.sqnr_db(broken)) == (200, -200)


def test_noise_is_the_share_of_energy() -> None:
    block = Block(name="a", nodes=("a",), sqnr_db=30, load=Load(macs=0, values=0))

    assert block.noise == pytest.approx(0.001)


# ------------------------------------------------------------------------------------ bad input


def test_without_calibration_pictures_there_is_no_ranking(
    detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path
) -> None:
    inputs = inputs_of(detector, drawn, tmp_path / "in")
    (tmp_path / "index").mkdir()
    save_dataset(replace(load_dataset(drawn[0]), calibration=()), tmp_path / "index")

    with pytest.raises(DataError, match="no calibration pictures"):
        ranked(replace(inputs, index=Artifact.of(tmp_path / "index")), tmp_path / "out")


def test_a_model_with_shapes_that_are_not_fixed_is_refused(
    detector: onnx.ModelProto, drawn: Drawn, tmp_path: Path
) -> None:
    detector.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    detector.graph.ClearField("value_info")

    with pytest.raises(ModelError, match=r"shape of .* is not known"):
        ranked(inputs_of(detector, drawn, tmp_path / "in"), tmp_path / "out")
