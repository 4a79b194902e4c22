"""The rates of the gate, small: drawn detections in place of a trained model's."""

import pytest

from benchmarks import gate_changes, gate_rates
from benchmarks.statistics_sets import Size, draw_set
from stages.artifact import Artifact
from targets.model import InputSpec, ModelSpec

pytestmark = pytest.mark.slow
SIZE = Size(pictures=300, classes=2, found=12)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Give a detector's detections on drawn pictures, and what judges them."""
    folder = tmp_path_factory.mktemp("model")
    dataset, baseline, _ = draw_set(SIZE, seed=0)
    spec = ModelSpec(family="drawn", class_names=dataset.class_names, input=InputSpec(height=480, width=640))
    spec.save(folder)
    model = Artifact.of(folder)
    return gate_changes.Subject(onnx=model, spec=spec, dataset=dataset, pictures=model), baseline


def test_harmless_changes_are_not_refused(drawn):
    subject, baseline = drawn
    harmless = (gate_changes.jitter(baseline, 0.02, 0), gate_changes.disorder(baseline, 0.002, 0))

    said, losses = gate_rates.verdicts(subject, baseline, iter(harmless), what="harmless")

    assert max(map(abs, losses)) < 0.2
    assert said == {"pass": 2}


def test_true_drifts_of_twice_the_limit_do_not_pass(drawn):
    subject, baseline = drawn
    changes = (
        (lambda pixels: gate_changes.jitter(baseline, pixels, 0), 2.0),
        (lambda share: gate_changes.lose(baseline, share, 0), 0.5),
        (lambda sigma: gate_changes.disorder(baseline, sigma, 0), 8.0),
    )
    drifts = (gate_changes.drift_by(subject, baseline, change, most) for change, most in changes)

    said, losses = gate_rates.verdicts(subject, baseline, drifts, what="drift")

    assert losses == pytest.approx([2 * gate_changes.LIMIT_PT] * 3, rel=gate_changes.WITHIN)
    assert said["pass"] == 0
