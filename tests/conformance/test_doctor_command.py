"""`rsbench doctor`: what it checks, what it prints, and the exit codes that scripts can trust."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch
from tiny import PROJECT, TINY_PLUGIN, Cli
from torch import Tensor

from rsbench.conformance import examination
from rsbench.conformance import machine as conformance_machine
from rsbench.conformance.backbones import CHECKS as OF_BACKBONES
from rsbench.conformance.checks import Case, Check
from rsbench.conformance.examination import Examination, plan
from rsbench.conformance.losses import CHECKS as OF_LOSSES
from rsbench.conformance.machine import EXTRAS, bfloat16_faults, machine
from rsbench.core.errors import SpecError
from rsbench.core.loss import LOSSES
from rsbench.core.plugins import broken, load
from rsbench.core.registry import Family

BROKEN_BACKBONES = Path(__file__).with_name("broken_backbones.py")


def test_what_keeps_its_contracts_is_a_row_and_no_error(cli: Cli) -> None:
    done = cli("doctor", "--plugin", TINY_PLUGIN, "tiny", "unhurried")
    assert done.code == 0, done.out
    assert f"│ backbone │ tiny      │ {len(OF_BACKBONES)} of {len(OF_BACKBONES)} " in done.out
    assert f"│ loss     │ unhurried │ {len(OF_LOSSES)} of {len(OF_LOSSES)} " in done.out
    assert "2 checked in" in done.out
    assert "every contract is kept" in done.out


def test_a_broken_contract_is_told_with_its_remedy(cli: Cli) -> None:
    done = cli("doctor", "--plugin", TINY_PLUGIN, "--quiet", "stochastic", "ce")
    assert done.code == 1
    assert f"│ loss │ stochastic │ {len(OF_LOSSES) - 2} of {len(OF_LOSSES)} " in done.out
    assert f"│ loss │ ce         │ {len(OF_LOSSES)} of {len(OF_LOSSES)} " in done.out
    assert "loss stochastic fails order_of_the_batch_does_not_matter\n" in done.out  # each place has its own noise
    told = done.out.partition("loss stochastic fails stochastic_as_declared\n")[2]
    assert told.startswith("  contract: forward draws from torch's generators alone, and says so: stochastic = True")
    assert "  seen:     stochastic is False, and seeds change the loss\n  remedy:   Draw with torch" in told
    assert "2 checked in" in told
    assert "2 broken contracts." in told
    assert not done.err


def test_an_error_of_a_plugin_is_a_failed_check_with_its_place(cli: Cli) -> None:
    done = cli("doctor", "--plugin", BROKEN_BACKBONES, "--kind", "backbone", "is_made_with_its_defaults")
    assert done.code == 1
    assert f"0 of {len(OF_BACKBONES)}" in done.out
    assert done.out.count("ZeroDivisionError: on purpose") == 1  # and not once for every check
    assert f"({BROKEN_BACKBONES}, line " in done.out
    assert "Traceback" not in done.out + done.err


@pytest.mark.parametrize(("arguments", "said"), [
    (["qlnug"], "There is no loss or backbone or index or dataset 'qlnug'. Did you mean 'qlung'?"),
    (["--kind", "index", "qlung"], "There is no index 'qlung'."),
    (["ce:focal"], "loss 'ce' takes no name after a colon. Say ce."),
    (["timm:"], "backbone 'timm' takes no name after a colon"),
    (["--plugin", "absent.py"], "--plugin absent.py: there is no such file."),
])  # fmt: skip
def test_bad_usage_is_one_message(cli: Cli, arguments: list[str], said: str) -> None:
    done = cli("doctor", *arguments)
    assert done.code == 2
    assert done.err.startswith(f"error: {said}")
    assert not done.out


def test_a_size_that_is_no_text_is_refused_by_name(cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "odd.py"
    plugin.write_text(
        "import rsbench\n"
        "@rsbench.register_backbone('odd', summary='one')\n"
        "class Odd(rsbench.Backbone):\n"
        "    frontend, smaller = rsbench.Frontend('kaldi-fbank'), 5\n"
    )
    done = cli("doctor", "--plugin", plugin, "odd")
    assert done.code == 2
    assert done.err.startswith("error: Backbone 'odd': smaller and after_colon are text.")


def test_an_interrupt_has_its_own_exit_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(examination, "examine", interrupted)
    assert cli("doctor", "ce").code == 130


def test_everything_is_planned_and_one_of_a_family_is_checked_slowly() -> None:
    load(TINY_PLUGIN)
    planned = {(one.case.kind, one.case.name): one for one in plan()}
    assert {"qlung", "unhurried"} <= {name for kind, name in planned if kind == "loss"}
    assert "aqs" in {name for kind, name in planned if kind == "index"}
    quick = {
        name for (kind, name), one in planned.items() if kind == "backbone" and len(one.checks) < len(OF_BACKBONES)
    }
    assert quick == {"cnn10", "cnn14", "mn10", "mn40", "resnet", "layers", "hf"}  # hf needs a model first
    cnn14 = planned["backbone", "cnn14"]
    assert not any(check.slow for check in cnn14.checks)
    assert cnn14.note.endswith("on cnn6, of the same family")
    assert len(planned["backbone", "tiny"].checks) == len(OF_BACKBONES)


def test_one_thread_is_enough_and_the_others_are_given_back() -> None:
    seen: list[int] = []
    counting = Check("counts", "", "", lambda case: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        examination.examine(Examination(Case("loss", "ce"), (counting,)), lambda steps, note: None)
        assert (seen, torch.get_num_threads()) == ([1], before + 1)
    finally:
        torch.set_num_threads(before)


def test_what_a_plugin_does_to_torch_ends_with_its_check() -> None:
    def disturb(case: Case) -> None:
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)

    with torch.enable_grad():
        examination.examine(Examination(Case("loss", "ce"), (Check("disturbs", "", "", disturb),)), lambda *_: None)
        assert (torch.is_grad_enabled(), torch.get_default_dtype()) == (True, torch.float32)


def test_what_is_named_goes_through_every_check() -> None:
    first, second = plan(["cnn14", "timm:test_vit"])
    assert first.checks == second.checks == OF_BACKBONES
    assert second.case.options == (("model", "test_vit"),)
    assert [one.case.name for one in plan(kind="index")] == [
        one.case.name for one in plan() if one.case.kind == "index"
    ]


def test_an_example_stands_for_a_family_of_names() -> None:
    examples = {f"{name}:{family.example}" for name, family in LOSSES.families.items()}
    assert examples
    planned = {one.case.name: one for one in plan(kind="loss")}
    assert all(planned[example].checks == OF_LOSSES for example in examples)
    assert {one.case.name for one in plan(list(LOSSES.families))} == examples


def test_a_family_whose_package_is_missing_is_a_row_that_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise SpecError("theirs is not installed: pip install theirs.")

    monkeypatch.setitem(LOSSES.families, "theirs", Family(missing, "losses of theirs", "Some"))
    unchecked = next(one for one in plan(kind="loss") if one.case.name == "theirs:Some")
    assert unchecked.checks == ()
    assert unchecked.note == "not checked: theirs is not installed: pip install theirs."
    assert cli("doctor", "theirs").code == 2  # where it is asked for, it is an error


def test_a_broken_installed_plugin_is_a_failure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(broken, "cnn7 (theirs.cnn7)", "Traceback …\nImportError: no such thing\n")
    monkeypatch.setattr(examination, "CHECKS", dict.fromkeys(examination.CHECKS, ()))
    done = cli("doctor", "ce")
    assert done.code == 1
    assert "broken plugin cnn7 (theirs.cnn7): ImportError: no such thing" in done.out


# --- the machine ---


def test_extras_are_those_of_the_project() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {
        extra: tuple(need.partition(">")[0].partition("[")[0] for need in needs) for extra, needs in extras.items()
    }
    assert {extra: names[extra] for extra in names if extra not in ("docs", "test", "dev")} == EXTRAS


def test_the_machine_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(broken, "cnn7 (theirs.cnn7)", "Traceback …\nImportError: no such thing\n")
    monkeypatch.setitem(EXTRAS, "imagined", ("no-such-package",))
    monkeypatch.setenv("RSBENCH_DATA", str(tmp_path))
    (tmp_path / "icbhi").mkdir()
    found = machine()
    assert f"torch {torch.__version__.partition('+')[0]}" in found["libraries"]
    assert found["recordings"] == f"{tmp_path}: icbhi"
    assert "imagined: without no-such-package" in found["extras"]
    assert found["plugins"] == "broken plugin cnn7 (theirs.cnn7): ImportError: no such thing"
    assert found["threads"].startswith(f"{torch.get_num_threads()} of ")


def test_operators_of_this_processor_get_one_verdict() -> None:
    assert {tuple(bfloat16_faults()) for _ in range(5)} == {tuple(bfloat16_faults())}


@pytest.mark.parametrize("wrong", [float("nan"), 0.9])
def test_a_kernel_that_is_wrong_in_bfloat16_is_told_of_the_machine(
    wrong: float, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def product(left: Tensor, right: Tensor) -> Tensor:
        return left @ right.T * (wrong if left.dtype == torch.bfloat16 else 1)

    monkeypatch.setattr(conformance_machine, "OPERATORS", (("a product", product, (4, 4), (4, 4)),))
    monkeypatch.setattr(examination, "CHECKS", dict.fromkeys(examination.CHECKS, ()))
    done = cli("doctor", "ce")
    assert done.code == 0  # no contract is broken
    assert "computes a product wrongly on this CPU, whatever the backbone. Train" in " ".join(done.out.split())


def test_kernels_that_are_right_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance_machine, "OPERATORS", conformance_machine.OPERATORS[:1])
    assert machine()["bfloat16"] == "as float32 within rounding, on the CPU"


@pytest.mark.parametrize(("data", "said"), [
    ("", "RSBENCH_DATA is not set"),
    ("/no/such/folder", "RSBENCH_DATA=/no/such/folder"),
])  # fmt: skip
def test_missing_recordings_are_told_and_no_error(data: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSBENCH_DATA", data)
    assert machine()["recordings"].startswith(said)
