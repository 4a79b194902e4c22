from datetime import timedelta

import pytest
from toys import Heard, Shout, Shouted, ShoutInputs, Sow, SowInputs

from pipeline.runner import Runner, StoppedError
from pipeline.upkeep import fsck


def shout(runner: Runner, *, word: str = "seed", files: int = 2, times: int = 1) -> Shouted:
    sown = runner(Sow(word=word, files=files), SowInputs())
    return runner(Shout(times=times), ShoutInputs(text=sown.text))


def test_a_result_comes_back_whole(runner: Runner) -> None:
    shouted = shout(runner)

    assert (shouted.text / "0.txt").read_text().startswith("1 SEED 0\n")
    assert shouted.heard == (Heard(word="a", at=1),)
    assert shouted.loudness == 0.5
    assert shouted.notes == ("loud",)


def test_the_same_step_runs_once(runner: Runner) -> None:
    first = shout(runner)
    second = shout(runner)

    assert first == second
    assert Sow.calls == ["seed"]
    assert [done.cached for done in runner.done] == [False, False, True, True]


def test_a_change_of_a_setting_runs_what_depends_on_it_and_nothing_else(runner: Runner) -> None:
    shout(runner)
    shout(runner, times=2)

    assert [done.cached for done in runner.done] == [False, False, True, False]


def test_a_change_that_gives_the_same_bytes_stops_there(runner: Runner) -> None:
    sown = runner(Sow(files=2), SowInputs())
    again = runner(Sow(files=2), SowInputs(), label="other label")

    assert sown.text.digest == again.text.digest
    assert runner.done[-1].cached


def test_artifacts_are_read_only(runner: Runner) -> None:
    file = shout(runner).text / "0.txt"

    assert file.stat().st_mode & 0o222 == 0


def test_a_damaged_file_is_made_again(runner: Runner) -> None:
    file = shout(runner).text / "0.txt"
    file.chmod(0o644)
    file.write_text("something else")

    assert (shout(runner).text / "0.txt").read_text().startswith("1 SEED 0\n")
    assert Shout.calls == [0, 0]


def test_a_lost_view_is_made_again_without_work(runner: Runner) -> None:
    import shutil

    shutil.rmtree(runner.store.views)
    shouted = shout(runner)
    shutil.rmtree(runner.store.views)

    assert (shout(runner).text / "0.txt").read_text() == (shouted.text / "0.txt").read_text()
    assert Shout.calls == [0]


def test_a_stage_that_resumes_finds_what_it_had(runner: Runner) -> None:
    class PowerCut(BaseException):
        pass

    sown = runner(Sow(files=3), SowInputs())
    original = Shout.run

    def cut(self: Shout, inputs: ShoutInputs, out, progress) -> Shouted:  # type: ignore[no-untyped-def]
        (out / "text").mkdir()
        (out / "text" / "0.txt").write_text("1 SEED 0\n")
        raise PowerCut

    Shout.run = cut  # type: ignore[method-assign]
    try:
        with pytest.raises(PowerCut):
            runner(Shout(), ShoutInputs(text=sown.text))
    finally:
        Shout.run = original  # type: ignore[method-assign]
    runner(Shout(), ShoutInputs(text=sown.text))

    assert Shout.calls == [1]


def test_a_measurement_goes_stale(runner: Runner) -> None:
    runner(Sow(), SowInputs(), max_age=timedelta(hours=1))
    runner(Sow(), SowInputs(), max_age=timedelta(hours=1))
    runner(Sow(), SowInputs(), max_age=timedelta(seconds=-1))

    assert [done.cached for done in runner.done] == [False, True, False]


def test_until_stops_before_the_next_stage(runner: Runner) -> None:
    runner.until = "data"

    with pytest.raises(StoppedError, match="Stopped after 'data'"):
        shout(runner)
    assert Sow.calls == ["seed"]
    assert Shout.calls == []


def test_nothing_is_left_in_the_work_folder(runner: Runner) -> None:
    shout(runner)

    assert list((runner.store.root / "work").iterdir()) == []
    assert fsck(runner.store) == []
