"""`runtime.config`: default < file < environment < flag, and every fault at once."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from flux_gateway.core.errors import ConfigError
from flux_gateway.runtime.config import default_of, describe, load


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Settings with every kind of field."""

    name: Annotated[str, Meta(min_length=1, description="a name")] = "default"
    port: Annotated[int, Meta(ge=1, le=65535, description="a port")] = 80
    factor: Annotated[float, Meta(gt=0)] = 1.0
    deep: bool = False
    networks: Annotated[tuple[str, ...], Meta(description="a list")] = ()
    maybe: Annotated[int | None, Meta(description="perhaps")] = None

    def __post_init__(self) -> None:
        if self.name == "wrong":
            raise ValueError("name: must not be wrong")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A table inside the settings."""

    size: Annotated[int, Meta(ge=0)]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size == 13:
            raise ValueError("size: brings bad luck")


class Nested(msgspec.Struct, frozen=True, kw_only=True):
    """Settings with tables in them."""

    one: Annotated[Row, Meta(description="a row")] = msgspec.field(default_factory=lambda: Row(size=1))
    many: Annotated[dict[str, Row], Meta(description="rows")] = msgspec.field(default_factory=dict)


class Needy(msgspec.Struct, frozen=True, kw_only=True):
    """Settings without which nothing goes."""

    key_file: str
    count: int = 1


def read(
    toml: str | None = None, environment: dict[str, str] | None = None, tmp: Path | None = None, **flags: Any
) -> Sample:
    file = None
    if toml is not None:
        assert tmp is not None
        file = tmp / "flux.toml"
        file.write_text(toml)
    return load(Sample, "sample", file=file, environment=environment or {}, flags=flags)


def faults(*args: Any, **kwargs: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        read(*args, **kwargs)
    return error.value.faults


def test_without_anything_the_defaults_hold() -> None:
    assert read() == Sample()


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    toml = "[sample]\nport = 1\nname = 'file'\nfactor = 2"
    environment = {"FLUX_SAMPLE_PORT": "2", "FLUX_SAMPLE_NAME": "environment"}
    settings = read(toml, environment, tmp_path, port=3)
    assert (settings.port, settings.name, settings.factor, settings.deep) == (3, "environment", 2.0, False)


def test_a_flag_that_was_not_given_does_not_count() -> None:
    assert read(environment={"FLUX_SAMPLE_PORT": "2"}, port=None).port == 2


def test_other_sections_and_other_programs_variables_are_left_alone(tmp_path: Path) -> None:
    environment = {"FLUX_OTHER_PORT": "9", "SAMPLE_PORT": "9", "flux_sample_port": "9", "PATH": "x"}
    assert read("[other]\nport = 9\nnonsense = 1", environment, tmp_path) == Sample()


def test_the_process_s_own_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_SAMPLE_PORT", "4")
    assert load(Sample, "sample").port == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("false", False), ("1", True), ("0", False)],
)
def test_switches_from_the_environment(text: str, expected: bool) -> None:
    assert read(environment={"FLUX_SAMPLE_DEEP": text}).deep is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("a", ("a",)), ("a, b,,c ", ("a", "b", "c")), ("", ()), (" , ", ())]
)
def test_lists_are_comma_separated_in_the_environment_and_in_flags(text: str, expected: tuple[str, ...]) -> None:
    assert read(environment={"FLUX_SAMPLE_NETWORKS": text}).networks == expected
    assert read(networks=text).networks == expected


def test_lists_are_lists_in_the_file(tmp_path: Path) -> None:
    assert read('[sample]\nnetworks = ["a", "b"]', None, tmp_path).networks == ("a", "b")


def test_every_fault_is_reported_at_once_with_its_origin(tmp_path: Path) -> None:
    toml = "[sample]\nfactor = -1\nname = ''\ncolour = 'red'"
    environment = {"FLUX_SAMPLE_DEEP": "perhaps", "FLUX_SAMPLE_PROT": "1"}
    found = faults(toml, environment, tmp_path, port=70_000)
    file = tmp_path / "flux.toml"
    origins = [fault.split(":", 1)[0] for fault in found]
    assert sorted(origins) == sorted([str(file)] * 3 + ["FLUX_SAMPLE_DEEP", "FLUX_SAMPLE_PROT", "--port"])
    text = "\n".join(found)
    for part in ("[sample] factor: ", "[sample] name: ", "[sample] colour: unknown setting", "65535"):
        assert part in text
    unknown = next(fault for fault in found if fault.startswith("FLUX_SAMPLE_PROT"))
    assert all(name in unknown for name in ("name", "port", "factor", "deep", "networks", "maybe"))


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "", "1.5"])
def test_bounds_and_types_are_checked(port: str) -> None:
    (fault,) = faults(environment={"FLUX_SAMPLE_PORT": port})
    assert fault.startswith("FLUX_SAMPLE_PORT: ")


@pytest.mark.parametrize("port", ["1", "65535"])
def test_bounds_are_included(port: str) -> None:
    assert read(environment={"FLUX_SAMPLE_PORT": port}).port == int(port)


@pytest.mark.parametrize("factor", ["nan", "-inf"])
def test_what_is_no_number_satisfies_no_bound(factor: str, tmp_path: Path) -> None:
    assert len(faults(environment={"FLUX_SAMPLE_FACTOR": factor})) == 1
    assert len(faults(f"[sample]\nfactor = {factor}", None, tmp_path)) == 1


def test_a_missing_file_is_a_fault_beside_the_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(Sample, "sample", file=tmp_path / "none.toml", environment={}, flags={"port": 0})
    assert len(error.value.faults) == 2
    assert f"{tmp_path / 'none.toml'}: cannot be read: No such file" in error.value.faults[0]


@pytest.mark.parametrize("content", [b"[sample", b"[sample]\nport = 1\nport = 2", b"\xff\xfe"])
def test_what_is_not_toml_is_a_fault(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "flux.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(Sample, "sample", file=file, environment={})


def test_a_section_that_is_no_table_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults("sample = 3", None, tmp_path)
    assert "[sample] must be a table" in fault


def test_what_the_settings_themselves_object_to_is_a_fault() -> None:
    assert faults(name="wrong") == ("name: must not be wrong",)


def test_a_required_setting_says_how_to_give_it_and_only_when_it_is_missing() -> None:
    with pytest.raises(ConfigError) as error:
        load(Needy, "needy", environment={"FLUX_NEEDY_COUNT": "x"})
    assert error.value.faults[1] == "key_file: required, give --key-file or FLUX_NEEDY_KEY_FILE"
    assert len(error.value.faults) == 2
    assert load(Needy, "needy", environment={"FLUX_NEEDY_KEY_FILE": "k"}) == Needy(key_file="k")


def test_describe_gives_plain_type_and_description_of_every_setting() -> None:
    rows = {field.name: (kind, text) for field, kind, text in describe(Sample)}
    assert rows == {
        "name": (str, "a name"), "port": (int, "a port"), "factor": (float, ""), "deep": (bool, ""),
        "networks": (tuple, "a list"), "maybe": (int, "perhaps"),
    }  # fmt: skip


def nested(toml: str, tmp: Path, environment: dict[str, str] | None = None, **flags: str) -> Nested:
    file = tmp / "flux.toml"
    file.write_text(toml)
    return load(Nested, "n", file=file, environment=environment or {}, flags=flags, flag_prefix="n-")


def test_tables_in_tables(tmp_path: Path) -> None:
    toml = '[n.one]\nsize = 2\nnames = ["a", "b"]\n[n.many.x]\nsize = 3'
    assert nested(toml, tmp_path) == Nested(one=Row(size=2, names=("a", "b")), many={"x": Row(size=3)})
    environment = {"FLUX_N_MANY": '{"y": {"size": "4", "names": "a,b"}}'}
    settings = nested(toml, tmp_path, environment, one='{"size": 5}')
    assert settings == Nested(one=Row(size=5), many={"y": Row(size=4, names=("a", "b"))})


def test_every_fault_in_tables_is_told_with_its_place(tmp_path: Path) -> None:
    toml = "[n.one]\nsize = -1\nnmae = 1\n[n.many.x]\nsize = 13\n[n.many.y]\n"
    with pytest.raises(ConfigError) as error:
        nested(toml, tmp_path)
    assert [fault.removeprefix(f"{tmp_path / 'flux.toml'}: ") for fault in error.value.faults] == [
        "[n.one] size: Expected `int` >= 0",
        "[n.one] nmae: unknown setting; known are names, size",
        "[n.many] x: size: brings bad luck",
        "[n.many.y] size: required",
    ]
    with pytest.raises(ConfigError) as error:
        nested("", tmp_path, {"FLUX_N_ONE": "3"}, many='{"x": {"size": "?"}}')
    assert error.value.faults == (
        "FLUX_N_ONE: must be a table", "--n-many: x.size: Expected `int`, got `str`",
    )  # fmt: skip


def test_the_default_of_a_table_is_made() -> None:
    assert [default_of(field) for field, _, _ in describe(Nested)] == [Row(size=1), {}]
    assert [kind for _, kind, _ in describe(Nested)] == [Row, dict]
