import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stages.artifact import Artifact
from stages.weights import PUBLISHED, find_weights
from targets.errors import EdgeboundError, UsageError


def find(name: str, folder: Path) -> Artifact:
    return find_weights(name, folder, folder / "downloads")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("yolov5s.yaml", "yolov5.yaml"),
        ("yolov8n.yaml", "yolov8.yaml"),
        ("yolov8x-p2.yaml", "yolov8-p2.yaml"),
        ("yolov9t.yaml", "yolov9t.yaml"),
        ("yolov10b.yaml", "yolov10b.yaml"),
        ("yolo11m.yaml", "yolo11.yaml"),
        ("yolo12l.yaml", "yolo12.yaml"),
        ("yolo26n.yaml", "yolo26.yaml"),
        ("yolo26.yaml", "yolo26.yaml"),
    ],
)
def test_models_of_ultralytics_are_found_by_name(name: str, file: str, tmp_path: Path) -> None:
    assert find(name, tmp_path).path.name == file


def test_a_path_is_taken_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "best.pt").write_bytes(b"weights")

    found = find("models/best.pt", tmp_path)

    assert found == Artifact.of(tmp_path / "models" / "best.pt")


def test_a_model_of_the_user_may_have_a_size_in_its_name_too(tmp_path: Path) -> None:
    (tmp_path / "yolo11-gate.yaml").write_text("nc: 3\n")

    assert find("yolo11s-gate.yaml", tmp_path).path == tmp_path / "yolo11-gate.yaml"


def test_downloaded_weights_are_not_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "yolo11n.pt").write_bytes(b"weights")

    assert find("yolo11n.pt", tmp_path).path == tmp_path / "downloads" / "yolo11n.pt"


@pytest.mark.parametrize(
    ("name", "near"),
    [("yolo11q.yaml", "yolo11.yaml"), ("yolov8nn.pt", "yolov8n.pt"), ("yolov5n.pt", "yolov5nu.pt")],
)
def test_an_unknown_name_is_refused_with_those_near(name: str, near: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        find(name, tmp_path)

    assert near in caught.value.hint


def test_every_size_of_every_family_is_published() -> None:
    assert {"yolov5xu.pt", "yolov8m.pt", "yolov9e.pt", "yolov10b.pt", "yolo11l.pt", "yolo12x.pt"} < set(
        PUBLISHED
    )
    assert len(PUBLISHED) == 41


def test_without_a_network_a_download_ends_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)

    with pytest.raises(EdgeboundError, match=r"yolo11n\.pt is not here") as caught:
        find("yolo11n.pt", tmp_path)

    assert str(tmp_path / "downloads" / "yolo11n.pt") in caught.value.hint
    assert list((tmp_path / "downloads").iterdir()) == []


def test_finding_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from stages.weights import find_weights\n"
        f"find_weights('yolo11n.yaml', Path({str(tmp_path)!r}), Path())\n"
        "print(sorted(set(sys.modules) & {'torch', 'ultralytics', 'cv2', 'numpy'}))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
