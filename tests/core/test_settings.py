"""YAML and JSON from outside: plain values, every key once, bounded in size and depth."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsbench.core.errors import SpecError
from rsbench.core.settings import LARGEST_FILE, parse_settings, read_settings
from rsbench.core.spec import parse_seeds
from rsbench.experiment.resolve import resolve

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED_LAUGHS = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", r"line 3: 'a' stands there twice, first in line 1"),
        ("a: &a\n  b: *a", "nested more than"),
        ("a: " + "[" * 100_000, "nested more than"),
        (LAUGHS, "more than 100,000 values"),
        (MERGED_LAUGHS, "more than 100,000 values"),
        ("a: " + "9" * 5000, "cannot be read as YAML"),
        ("a: 010", "write '010' as a decimal number"),
        ("a: 1:30", "write '1:30' as a decimal number"),
        ("a: !!bool 7", "cannot be read as YAML"),
        ("a: !!binary aGk=", "a plain value instead of !!binary"),
        ("a: !!python/object:os.system x", "a plain value instead of"),
        ("on: 1", "line 1: a key must be a word"),
        ("a:\n\tb: 1", r"line 2: found character '\\t'"),
        (b"a: \xff", "cannot be read as YAML"),
    ],
)
def test_what_is_no_plain_settings_is_named(text: str | bytes, said: str) -> None:
    with pytest.raises(SpecError, match=said) as raised:
        parse_settings(text, "study.yaml")
    assert str(raised.value).startswith("study.yaml: ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        (
            "base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  a: 3",
            {"base": {"a": 1, "b": 2}, "other": {"a": 3, "b": 2}},
        ),
        ("\ufeffa: é".encode(), {"a": "é"}),
        ("a: é".encode("utf-16"), {"a": "é"}),
        ("a: [0, -1, 1.0e-4, .5, true, ~]", {"a": [0, -1, 1e-4, 0.5, True, None]}),
    ],
)
def test_plain_settings_are_read(text: str | bytes, value: object) -> None:
    assert parse_settings(text, "study.yaml") == value


@pytest.mark.parametrize(("content", "said"), [(b"", "None"), (b"5", "5"), (b"[1]", "\\[1\\]"), (b"word", "'word'")])
def test_a_file_without_a_mapping_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=f"holds no mapping of keys to values, but {said}"):
        read_settings(path, str(path))


def test_a_file_that_cannot_be_settings_is_named(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(SpecError, match="larger than"):
        read_settings(tmp_path / "large.yaml", "large")
    with pytest.raises(SpecError, match="folder: cannot be read"):
        read_settings(tmp_path, "folder")


@pytest.mark.parametrize("seeds", ["0-2000000000", "0-9999,20000", "9" * 30, "0-" + "9" * 5000])
def test_absurd_seeds_are_refused_at_once(seeds: str) -> None:
    with pytest.raises(SpecError, match="--seeds"):
        parse_seeds(seeds)


@pytest.mark.parametrize("value", [["ce", "qlung"], 5, True, {"name": ["ce"]}])
@pytest.mark.parametrize("key", ["loss", "backbone", "frontend", "quality"])
def test_a_name_of_another_kind_is_one_message(key: str, value: object) -> None:
    with pytest.raises(SpecError, match=rf"{key}\.name=.*one name is wanted"):
        resolve({"loss": "ce", "backbone": "cnn6", key: value})


@pytest.mark.parametrize("key", ["optim.lr", "epochs", "seed", "data.clip_s"])
def test_true_is_no_number(key: str) -> None:
    with pytest.raises(SpecError, match="=True: Input should be a number"):
        resolve({"loss": "ce", "backbone": "cnn6", key: True})
