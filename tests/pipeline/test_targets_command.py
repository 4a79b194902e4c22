"""`pipeline targets`."""

from commands import invoke

from pipeline.profiles import profile_names


def test_the_list_shows_what_one_chooses_by() -> None:
    outcome = invoke("targets", "--json")

    row = next(line.split() for line in outcome.said.splitlines() if line.startswith(" orin "))
    assert [one["name"] for one in outcome.document] == profile_names()
    assert " ".join(row) == (
        "orin NVIDIA Jetson AGX Orin 64GB tensorrt 10.3.0.30 8.7 fp32 fp16 int8 "
        "64 85.2 42.6 5.1 6.0 6.1 6.2 7.2"
    )


def test_a_rate_nobody_knows_is_an_empty_cell() -> None:
    row = next(line.split() for line in invoke("targets").said.splitlines() if line.startswith(" thor "))

    assert row[-5:] == ["128", "258", "7.0", "7.1", "7.2"]


def test_one_shows_each_fact_with_its_source_and_each_release_with_what_it_brings() -> None:
    outcome = invoke("targets", "orin@7.2", "--json")
    lines = [" ".join(line.split()) for line in outcome.said.splitlines()]

    assert any(line.startswith("dla 0 None on JetPack 7.2: OE4T/meta-tegra") for line in lines)
    assert any(
        line.startswith("6.0 36.3.0 8.6.2.3 12.2.140 8.9.4.25 3.10 yes OE4T/meta-tegra") for line in lines
    )
    releases = {one["release"]: one for one in outcome.document[0]["jetpack_releases"]}
    assert releases["5.1"]["python"] == "3.8"
    assert "7.1" not in releases


def test_a_release_that_the_device_cannot_take_is_refused() -> None:
    outcome = invoke("targets", "thor@6.2")

    assert outcome.code == 2
    assert "JetPack 6.2 does not run on NVIDIA Jetson AGX Thor" in outcome.said
