"""A shelf of releases, and a device that pulls from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from targets.registry.access import Access
from targets.registry.layout_folder import LayoutFolder
from targets.registry.reference import parse_reference
from targets.release.pull import Order, Pulled, pull
from tests.targets.registry.conftest import authority, desk, plain, small_disk  # noqa: F401 - fixtures
from tests.targets.release.releases import KEY, NOW, Recipe, make_engine, publish, some_facts


@dataclass
class Shelf:
    """A folder of releases and a device.

    Attributes:
        layout: The OCI layout.
        device: Folder that is pulled to.
        scratch: For what is pushed.
        engine: For this machine.
        said: What the device was told.
    """

    layout: Path
    device: Path
    scratch: Path
    engine: Path
    said: list[str]

    def recipe(self, **changes: object) -> Recipe:
        """Give a release of the engine with other facts."""
        return Recipe(self.engine, some_facts(**changes))

    def release(self, *recipes: Recipe, tags: tuple[str, ...] = ("stable",)) -> None:
        publish(LayoutFolder(self.layout), self.scratch, *recipes, tags=tags)

    def order(self, reference: str = "", **changes: object) -> Order:
        order = Order(
            reference=parse_reference(reference or f"oci:{self.layout}:stable"),
            folder=self.device,
            policy=KEY.policy("stable", "beta"),
            access=Access(),
            now=NOW,
            said=self.said.append,
        )
        return replace(order, **changes)  # type: ignore[arg-type]

    def pull(self, reference: str = "", **changes: object) -> Pulled:
        return pull(self.order(reference, **changes))


@pytest.fixture(scope="session")
def lamp_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_engine(tmp_path_factory.mktemp("lamp") / "engine")


@pytest.fixture
def shelf(tmp_path: Path, lamp_engine: Path) -> Shelf:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Shelf(tmp_path / "layout", tmp_path / "device", scratch, lamp_engine, [])


@pytest.fixture
def change() -> Callable[[Path], None]:
    """Give what changes the last byte of a file."""

    def flip(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    return flip
