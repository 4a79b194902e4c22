"""A kit is what its kit.json says, byte for byte, or it is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.errors import ModelError
from targets.kit import BoardWork, Kit, KitModel, open_kit, open_seal, read_kit, write_kit, write_seal
from targets.profile import TargetProfile

Write = Callable[..., str]
PROFILE = TargetProfile(
    name="orin", device="Jetson", runtime="tensorrt", module="agx-orin", jetpacks=("6.2",)
)


@pytest.fixture
def write(tmp_path: Path, model_folder: Path) -> Write:
    def give(folder: Path, names: tuple[str, ...] = ("a.jpg", "sub/b.PNG"), **more: object) -> str:
        pictures = []
        for place, name in enumerate(names):
            path = tmp_path / f"source{place}"
            path.write_bytes(b"picture %d" % place)
            pictures.append((name, path))
        arguments = {
            "target": "orin@6.2",
            "profile": PROFILE,
            "models": [
                (KitModel("fp32", "fp32", "sha256:1"), model_folder),
                (KitModel("int8", "int8"), model_folder),
            ],
            "pictures": pictures,
            "work": BoardWork(tries=2, seconds=3.5),
            "agent": b"agent",
        }
        return write_kit(folder, **{**arguments, **more})

    return give


@pytest.fixture
def kit(tmp_path: Path, write: Write) -> Path:
    write(tmp_path / "kit")
    return tmp_path / "kit"


def edit(kit: Path, **fields: object) -> None:
    path = kit / "kit.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_kit_says_what_was_put_into_it(tmp_path: Path, write: Write) -> None:
    kit_id = write(tmp_path / "kit")

    kit, opened_id = open_kit(tmp_path / "kit")

    assert opened_id == kit_id
    assert (kit.target, kit.profile, kit.pictures) == ("orin@6.2", PROFILE, ("a.jpg", "sub/b.PNG"))
    assert kit.models == (KitModel("fp32", "fp32", "sha256:1"), KitModel("int8", "int8"))
    assert kit.work == BoardWork(tries=2, seconds=3.5)
    assert (tmp_path / "kit/pictures/sub/b.PNG").read_bytes() == b"picture 1"


def test_equal_inputs_give_equal_kits(tmp_path: Path, write: Write) -> None:
    first, second = write(tmp_path / "one"), write(tmp_path / "two")

    assert first == second
    assert (tmp_path / "one/kit.json").read_bytes() == (tmp_path / "two/kit.json").read_bytes()


def test_another_agent_or_other_work_is_another_kit(tmp_path: Path, write: Write) -> None:
    ids = {
        write(tmp_path / "one"),
        write(tmp_path / "two", agent=b"other"),
        write(tmp_path / "three", work=BoardWork()),
    }

    assert len(ids) == 3


@pytest.mark.parametrize(
    "names", [("a.jpg", "../b.jpg"), ("a.jpg", "A.JPG"), ("ü.jpg", "b.jpg"), ("-a.jpg", "b.jpg")]
)
def test_pictures_whose_names_will_not_do_everywhere_get_numbers(
    tmp_path: Path, write: Write, names: tuple[str, ...]
) -> None:
    write(tmp_path / "kit", names=names)

    kit, _ = open_kit(tmp_path / "kit")

    assert kit.pictures == ("000000.jpg", "000001.jpg")
    assert (tmp_path / "kit/pictures/000001.jpg").read_bytes() == b"picture 1"


@pytest.mark.parametrize(
    "name", ["agent.pyz", "models/fp32/model.onnx", "models/int8/model.json", "pictures/a.jpg"]
)
def test_a_changed_file_is_refused(kit: Path, name: str) -> None:
    content = (kit / name).read_bytes()
    (kit / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(ModelError, match=name):
        open_kit(kit)


def test_a_missing_file_is_refused(kit: Path) -> None:
    (kit / "pictures/a.jpg").unlink()

    with pytest.raises(ModelError, match="is no file"):
        open_kit(kit)


def test_a_file_that_is_not_listed_is_refused(kit: Path) -> None:
    (kit / "models/fp32/more").write_text("")

    with pytest.raises(ModelError, match="models/fp32/more"):
        open_kit(kit)


def test_a_link_in_place_of_a_file_is_refused(kit: Path) -> None:
    shutil.move(kit / "pictures/a.jpg", kit.parent / "elsewhere")
    (kit / "pictures/a.jpg").symlink_to(kit.parent / "elsewhere")

    with pytest.raises(ModelError, match="is no file"):
        open_kit(kit)


def test_a_linked_folder_is_refused(kit: Path) -> None:
    shutil.move(kit / "pictures", kit.parent / "elsewhere")
    (kit / "pictures").symlink_to(kit.parent / "elsewhere")

    with pytest.raises(ModelError, match="pictures"):
        open_kit(kit)


def test_seal_and_job_may_be_there(kit: Path) -> None:
    write_seal(kit, "id", "ab")
    (kit / "job").mkdir()
    (kit / "job" / "log").write_text("")

    assert isinstance(open_kit(kit)[0], Kit)


def test_a_name_that_leads_elsewhere_is_refused(kit: Path) -> None:
    files = json.loads((kit / "kit.json").read_text())["files"]
    edit(kit, files={**files, "../seal": next(iter(files.values()))})

    with pytest.raises(ModelError, match="not allowed"):
        open_kit(kit)


@pytest.mark.parametrize(
    "fields", [{"models": []}, {"pictures": []}, {"pictures": ["c.jpg"]}, {"agent": "00"}], ids=str
)
def test_a_kit_that_contradicts_itself_is_refused(kit: Path, fields: dict[str, object]) -> None:
    edit(kit, **fields)

    with pytest.raises(ModelError):
        open_kit(kit)


def test_a_kit_of_a_newer_agent_is_told_from_a_broken_one(kit: Path) -> None:
    edit(kit, schema=2, strange=1)

    with pytest.raises(ModelError, match="format version 2") as refused:
        read_kit(kit)
    assert "agent.pyz" in refused.value.hint


def test_a_kit_that_is_older_than_the_agent_is_refused(kit: Path) -> None:
    edit(kit, schema=0)

    with pytest.raises(ModelError, match="format version 0") as refused:
        read_kit(kit)
    assert "pipeline kit" in refused.value.hint


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 1}', "\ufeff{}"])
def test_what_is_no_kit_is_refused(kit: Path, text: str) -> None:
    (kit / "kit.json").write_text(text)

    with pytest.raises(ModelError, match="cannot be read as a kit"):
        open_kit(kit)


def test_the_seal_gives_the_key_back(kit: Path) -> None:
    write_seal(kit, "id", "ab" * 32)

    assert open_seal(kit, "id") == "ab" * 32


def test_a_seal_of_another_kit_is_refused(kit: Path) -> None:
    write_seal(kit, "other", "ab" * 32)

    with pytest.raises(ModelError, match="another kit"):
        open_seal(kit, "id")


@pytest.mark.parametrize("text", ["", "{}", '{"kit": "id", "key": "xyz"}', '{"kit": "id", "key": 1}', "[]"])
def test_a_broken_seal_is_refused(kit: Path, text: str) -> None:
    (kit / "seal.json").write_text(text)

    with pytest.raises(ModelError, match="cannot be read"):
        open_seal(kit, "id")


def test_a_kit_without_a_seal_is_refused(kit: Path) -> None:
    with pytest.raises(ModelError, match="seal"):
        open_seal(kit, "id")
