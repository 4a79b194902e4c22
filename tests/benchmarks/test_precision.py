"""The benchmark of precision: which cases it runs, what it measures, and which figures it makes of that."""

import math
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers import PROFILE, AbsentError, OneByOne, Task, make_modelopt, make_onnxruntime
from benchmarks.precision import parse
from benchmarks.precision_calibration import Cost, measure_apart, measure_here
from benchmarks.precision_measure import FP32, OURS, Figures, Noise, judge_by, lose
from benchmarks.precision_ratios import compare_costs, drift_vs_best_peer, sum_up
from benchmarks.precision_sets import CASES, QUICK_CASES, TEST_DATA
from pipeline.config import load_config
from stages.dataset import Dataset, Picture
from stages.evaluation.coco import score
from stages.evaluation.detect import Detections
from targets.runtimes.ov import OvRuntime

SIDE_PX = 16
NAMES = ("hole", "scratch")
KEYS = {
    "drift_vs_best_peer",
    "drift_vs_best_peer_demo8",
    "drift_vs_best_peer_demo11",
    "drift_vs_best_peer_bccd",
    "drift_vs_best_peer_bsdata",
    "our_drift_pt",
    "agreement_vs_best_peer",
    "sqnr_vs_best_peer_db",
    "latency_vs_fastest_peer",
    "int8_speedup",
    "calibration_speedup",
    "calibration_memory_ratio",
    "calibration_speedup_vs_minmax",
    "calibration_memory_ratio_vs_minmax",
}


def rows_of(name, *, ours=0.2, peers=(0.5, 0.8), agreements=(0.9, 0.8, 0.6), sqnrs=(30.0, 28.0, 25.0)):
    methods = (OURS, "ultralytics", "onnxruntime")
    measured = zip(methods, (ours, *peers), agreements, sqnrs, (5.0, 4.0, 8.0), strict=True)
    return [
        Figures(set=name, method=FP32, map50_95=0.5, p50_ms=10.0),
        *(
            Figures(
                set=name,
                method=method,
                map50_95=0.5 - drift / 100,
                drift_pt=drift,
                agreement=agreement,
                sqnr_db=sqnr,
                p50_ms=p50_ms,
            )
            for method, drift, agreement, sqnr, p50_ms in measured
        ),
    ]


class TestCases:
    def test_all_four_run_unless_some_are_named(self):
        assert parse([]).cases == list(CASES)
        assert [case.name for case in parse(["--only", "bccd,demo8"]).cases] == ["bccd", "demo8"]

    def test_quick_has_a_small_demo_set_and_the_one_that_is_timed(self):
        assert [case.name for case in parse(["--quick"]).cases] == ["demo8", "bccd"]

    @pytest.mark.parametrize(
        "arguments",
        [["--only", "coco"], ["--quick", "--only", "bsdata"]],
        ids=["unknown", "not among the quick"],
    )
    def test_a_set_that_is_not_there_is_refused(self, arguments, capsys):
        with pytest.raises(SystemExit):
            parse(arguments)

        assert f"--only: {arguments[-1]} is not among demo8, " in capsys.readouterr().err

    @pytest.mark.parametrize("case", [*CASES, *QUICK_CASES], ids=lambda case: case.name)
    def test_the_command_line_takes_its_settings(self, case, tmp_path):
        settings = [part for part in case.arguments if "=" in part]
        file = None
        if case.real:
            file = tmp_path / "pipeline.yaml"
            file.write_text(case.config())

        config = load_config(file, settings, demo=not case.real, folder=tmp_path)

        if case.real:
            assert (config.train.epochs, config.train.imgsz) == (5 if settings else 12, case.imgsz)
            assert config.data.path == f"{TEST_DATA}/{case.data}/data.yaml"
        else:
            assert config.model.weights == ("yolo11n.yaml" if case.name == "demo11" else "yolov8n.yaml")


class TestRatios:
    def test_all_keys_are_there_whatever_was_run(self):
        for figures in ([], rows_of("demo8"), rows_of("bccd")):
            ratios, missing = sum_up(figures, [])

            assert ratios.keys() == KEYS
            assert missing.keys() == {key for key, value in ratios.items() if value is None}

    def test_the_worst_set_counts(self):
        figures = [
            *rows_of("demo8", ours=0.1),
            *rows_of("demo11", ours=0.3, peers=(2.0, 0.4)),
            *rows_of("bccd", agreements=(0.9, 0.8, 0.6), sqnrs=(30.0, 28.0, 25.0)),
            *rows_of("bsdata", agreements=(0.6, 0.7, 0.8), sqnrs=(30.0, 31.0, 25.0)),
        ]

        ratios, _ = sum_up(figures, [])

        assert {key: ratios[key] for key in KEYS if "calibration" not in key} == pytest.approx(
            {
                "drift_vs_best_peer": 0.3 / 0.4,
                "drift_vs_best_peer_demo8": 0.1 / 0.5,
                "drift_vs_best_peer_demo11": 0.3 / 0.4,
                "drift_vs_best_peer_bccd": 0.2 / 0.5,
                "drift_vs_best_peer_bsdata": 0.2 / 0.5,
                "our_drift_pt": 0.3,
                "agreement_vs_best_peer": 0.6 / 0.8,
                "sqnr_vs_best_peer_db": -1.0,
                "latency_vs_fastest_peer": 5 / 4,
                "int8_speedup": 10 / 5,
            }
        )

    def test_a_peer_that_loses_nothing_leaves_no_ratio_but_our_drift(self):
        figures = [*rows_of("demo8", peers=(-0.1, 0.8)), *rows_of("demo11")]

        ratios, missing = sum_up(figures, [])

        reason = "on demo8 ultralytics loses nothing (-0.100 pt), so there is no ratio"
        assert missing["drift_vs_best_peer"] == missing["drift_vs_best_peer_demo8"] == reason
        assert ratios["our_drift_pt"] == 0.2

    def test_a_gain_of_ours_is_a_negative_ratio(self):
        assert drift_vs_best_peer(rows_of("demo8", ours=-0.1)) == pytest.approx(-0.1 / 0.5)

    def test_a_set_that_was_not_run_is_the_reason(self):
        _, missing = sum_up(rows_of("demo8"), [])

        assert missing["drift_vs_best_peer_demo11"] == "demo11 was not run"
        assert missing["agreement_vs_best_peer"] == "bccd and bsdata were not run"

    def test_calibration_is_compared_with_those_that_keep_distributions_and_with_minmax_apart(self):
        costs = [
            Cost(side=side, pictures=8, seconds=seconds, peak_mib=peak_mib)
            for side, seconds, peak_mib in (
                (OURS, 2.0, 50.0),
                ("onnxruntime minmax", 3.0, 100.0),
                ("onnxruntime entropy", 4.0, 200.0),
                ("onnxruntime percentile", 9.0, 150.0),
            )
        ]

        assert compare_costs(costs) == {
            "calibration_speedup": 2.0,
            "calibration_memory_ratio": 50 / 150,
            "calibration_speedup_vs_minmax": 1.5,
            "calibration_memory_ratio_vs_minmax": 0.5,
        }


class TestMeasures:
    def test_noise_is_the_mean_over_boxes_and_logits(self):
        reference = np.zeros((1, 6, 8), np.float32)
        reference[:, :4], reference[:, 4:] = 100, 1 / (1 + math.e)  # logit -1
        output = reference.copy()
        output[:, :4] += 1  # 40 dB
        output[:, 4:] = 1 / (1 + math.exp(1.1))  # 20 dB

        noise = Noise()
        noise.add(reference, output)

        assert noise.ratio_db() == pytest.approx(30, abs=1e-3)

    def test_an_equal_output_has_no_noise(self):
        noise = Noise()
        noise.add(np.full((1, 6, 8), 0.5, np.float32), np.full((1, 6, 8), 0.5, np.float32))

        assert noise.ratio_db() == math.inf

    def test_what_was_surely_found_is_what_is_to_be_found(self):
        dataset, found = tiny_set()

        truth = judge_by(found, dataset.val, NAMES)

        assert [picture.boxes.tolist() for picture in truth.val] == [
            [[1, 0.5, 0.5, 0.5, 0.25]],
            [],
            [[0, 0.25, 0.25, 0.5, 0.5]],
        ]
        assert [picture.crowd.tolist() for picture in truth.val] == [[False], [], [False]]

    def test_detections_agree_with_themselves(self):
        dataset, found = tiny_set()

        assert score(found, judge_by(found, dataset.val, NAMES), max_det=300).map50_95 == pytest.approx(1)

    def test_equal_detections_lose_nothing(self):
        dataset, found = tiny_set()

        assert lose(found, found, judge_by(found, dataset.val, NAMES)).loss_pt == 0


def tiny_set():
    """Give three pictures of 64 x 32 pixels and detections on two of them; one is not sure."""
    pictures = tuple(
        Picture(
            file=f"{n}.png",
            sha256="",
            width=64,
            height=32,
            boxes=np.zeros((0, 5)),
            crowd=np.zeros(0, np.bool_),
        )
        for n in range(3)
    )
    rows = [[16, 12, 48, 20, 0.9, 1], [0, 0, 32, 16, 0.8, 0], [40, 20, 50, 30, 0.24, 0]]
    found = Detections(counts=np.array([1, 0, 2], np.int32), boxes=np.array(rows, np.float32))
    return Dataset(class_names=NAMES, train=(), val=pictures, calibration=()), found


class TestPeers:
    def test_calibrators_are_given_one_picture_at_a_time(self):
        images = np.arange(6, dtype=np.float32).reshape(3, 1, 1, 2)
        reader = OneByOne(images, "images")

        given = [reader.get_next() for _ in range(4)]

        assert [one["images"].tolist() for one in given[:3]] == images[:, None].tolist()
        assert given[3] is None

    def test_onnxruntime_quantizes_all_but_the_head(self, task):
        engine = make_onnxruntime(task)

        kinds = [node.op_type for node in onnx.load(task.folder / "int8.onnx").graph.node]
        assert (kinds.count("Conv"), kinds.count("QuantizeLinear")) == (2, 2)
        with OvRuntime().open(engine, PROFILE) as infer:
            assert np.isfinite(infer(np.load(task.images)[:1])).all()

    def test_without_a_python_for_modelopt_it_is_absent(self, task):
        with pytest.raises(AbsentError, match="--modelopt-python does not name a Python"):
            make_modelopt(task, None)

    def test_a_python_without_modelopt_says_why(self, task, tmp_path):
        bare = tmp_path / "python"
        bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without any package
        bare.chmod(0o755)

        with pytest.raises(AbsentError, match="ModelOpt failed: ModuleNotFoundError: No module named"):
            make_modelopt(task, bare)


class TestCalibration:
    def test_memory_is_counted_from_where_the_work_begins(self):
        held = np.ones(64 << 17)  # 64 MiB that are not the work's

        seconds, peak_mib = measure_here(lambda: np.ones(32 << 17).sum())

        assert held.size
        assert 0 < seconds < 60
        assert 30 < peak_mib < 60

    @pytest.mark.slow
    @pytest.mark.parametrize("side", [OURS, "onnxruntime entropy"])
    def test_a_side_calibrates_in_a_process_of_its_own(self, side, task):
        cost = measure_apart(side, task.onnx, task.images)

        assert (cost.side, cost.pictures) == (side, 4)
        assert cost.seconds > 0


@pytest.fixture
def task(tmp_path):
    """Give a network of two convolutions, the second of which is its head, and four pictures of noise."""
    random = np.random.default_rng(0)
    weights = [random.normal(size=shape).astype(np.float32) for shape in ((8, 3, 3, 3), (6, 8, 1, 1))]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "w0"], ["inner"], name="body", pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["inner", "w1"], ["output0"], name="last"),
        ],
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE_PX, SIDE_PX])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 6, SIDE_PX, SIDE_PX])],
        [numpy_helper.from_array(weight, f"w{place}") for place, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "named.onnx")
    np.save(tmp_path / "images.npy", random.random((4, 3, SIDE_PX, SIDE_PX), np.float32))
    (tmp_path / "peer").mkdir()
    return Task(
        onnx=tmp_path / "named.onnx",
        images=tmp_path / "images.npy",
        left_out=("last",),
        folder=tmp_path / "peer",
    )
