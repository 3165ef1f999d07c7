"""The site: its links lead somewhere, it says what boards say, in the same bytes each time; frozen boards stay."""

from __future__ import annotations

import hashlib
import json
import shutil
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from tiny import Cli

from rsbench.publishing.site import tags_in


class Page(HTMLParser):
    """Links, ids, rows of tables as texts of cells, and all text outside of style and script."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.rows: list[list[str]] = []
        self.text = ""
        self._in: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._in.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        self.ids |= {found["id"] or ""} if "id" in found else set()
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._in):
            self.text += data
            if {"td", "th"} & set(self._in):
                self.rows[-1][-1] += data


def content(folder: Path) -> dict[str, str]:
    """Path → sha256 of every file."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def site(made_bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of all bundles, frozen once."""
    from rsbench.cli import app

    folder = tmp_path_factory.mktemp("site")
    bundles = Path(shutil.copytree(made_bundles, folder / "bundles"))
    arguments = ["site", "--results", bundles, "--out", folder / "site", "--tag", "v1.0"]
    app(list(map(str, arguments)), standalone_mode=False)
    return folder / "site"


def test_every_link_leads_somewhere_and_nothing_is_fetched(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) == 4  # an index and a split, twice
    for path, page in pages.items():
        for link in page.links:
            if link.startswith("data:"):
                continue
            target, _, anchor = unquote(link).partition("#")
            assert not target.startswith(("http", "/"))
            leads = (path.parent / target).resolve() if target else path
            assert leads.is_file(), (path, link)
            assert not anchor or anchor in pages[leads].ids, (path, link)


def test_bundles_are_there_as_the_manifest_says(site: Path, made_bundles: Path) -> None:
    manifest = json.loads((site / "results.json").read_text())
    listed = {one["name"]: one for one in manifest["bundles"]}
    assert {name: one["made_by"] for name, one in listed.items()} == {
        "ce.zip": "alice",
        "qlung.zip": "bob <script>",
        "study/oracle.zip": "study/oracle",
    }
    index = Page(site / "index.html")
    for name, one in listed.items():
        written = (site / "bundles" / name).read_bytes()
        assert written == (made_bundles / name).read_bytes()
        assert (len(written), hashlib.sha256(written).hexdigest()) == (one["size"], one["sha256"])
        assert one["sha256"] in index.text
    assert sum(one["runs"] for one in listed.values()) == 3


def test_rows_that_boards_never_mix_stand_apart_and_are_marked(site: Path) -> None:
    page = Page(site / "boards" / "icbhi-4" / "synthetic.html")
    assert {"board-1", "board-2"} <= page.ids
    assert "board-3" not in page.ids
    rows = [row for row in Page(site / "index.html").rows if row and row[0].strip() == "synthetic"]
    assert {row[3]: row[-2:] for row in rows} == {"ORACLE, SYNTHETIC": ["1", "1"], "SYNTHETIC": ["2", "2"]}
    assert page.text.count("ORACLE") >= 2


def test_every_row_says_who_made_it_and_how_to_make_it_again(site: Path) -> None:
    page = Page(site / "boards" / "icbhi-4" / "synthetic.html")
    text = " ".join(page.text.split())
    assert "self-reported by alice" in text
    assert "self-reported by bob <script>" in text
    assert "<script>" not in (site / "index.html").read_text().split("<script>\n")[0]
    assert text.count("rsbench run --spec ce.json --seeds 0 ce.json:") == 1
    assert '"name": "qlung"' in text
    assert "torch " in text


def test_its_figures_are_those_of_the_leaderboard(site: Path, made_bundles: Path, cli: Cli, tmp_path: Path) -> None:
    bundles = [made_bundles / "ce.zip", made_bundles / "qlung.zip"]
    assert cli("merge", *bundles, "--results", tmp_path / "merged").code == 0
    board = cli(
        *(
            "leaderboard",
            "--results",
            tmp_path / "merged",
            "--split",
            "synthetic",
            "--baseline",
            "ce",
            "--format",
            "csv",
        )
    )
    theirs = pd.read_csv(StringIO(board.out)).set_index(["loss", "operating_point"])
    every = pd.read_csv(site / "boards" / "icbhi-4" / "synthetic.csv")
    ours = every[every["select"] == "val"].set_index(["loss", "operating_point"])
    for figure in ("score_mean", "score_sd", "low", "high", "auroc_abnormal_mean", "n_ok"):
        pd.testing.assert_series_equal(ours[figure], theirs[figure], check_exact=True)
    told = json.loads((site / "boards" / "icbhi-4" / "synthetic.json").read_text())
    assert [len(board["rows"]) for board in told] == [len(of) for _, of in every.groupby("protocol")]


def test_the_same_bundles_give_the_same_bytes(
    site: Path, made_bundles: Path, cli: Cli, tmp_path: Path, cache: Path
) -> None:
    """In another folder, with nothing kept from before."""
    done = cli("site", "--results", made_bundles, "--out", tmp_path / "again", "--tag", "v1.0")
    assert done.code == 0, done.err
    assert content(tmp_path / "again") == content(site)


def test_a_frozen_board_stays_and_the_living_one_moves_on(
    site: Path, bundles: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(site, tmp_path / "out"))
    frozen, living = content(out / "v1.0"), content(out)
    (bundles / "qlung.zip").unlink()
    refused = cli("site", "--results", bundles, "--out", out, "--tag", "v1.0")
    assert refused.code == 2
    assert "v1.0 is there already, and differs in" in refused.err
    assert "never changes" in refused.err
    assert content(out) == living
    monkeypatch.chdir(out)
    assert cli("site", "--results", bundles, "--out", ".").code == 0
    assert content(out / "v1.0") == frozen
    assert not (out / "bundles" / "qlung.zip").exists()
    assert "v1.0/index.html" in Page(out / "index.html").links
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".staged")]


def test_frozen_boards_are_listed_with_the_newest_first(tmp_path: Path) -> None:
    for tag in ("v1.9.0", "v1.10.0", "v0.1", "boards"):
        (tmp_path / tag).mkdir()
        if tag != "boards":
            (tmp_path / tag / "results.json").write_text("{}")
    assert tags_in(tmp_path) == ["v1.10.0", "v1.9.0", "v0.1"]


def test_a_folder_of_something_else_is_left_alone(made_bundles: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.html").write_text("mine")
    refused = cli("site", "--results", made_bundles, "--out", tmp_path / "docs")
    assert refused.code == 2
    assert "holds index.html, which rsbench site did not write" in refused.err
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["index.html"]


@pytest.mark.parametrize("tag", ["../up", "boards", "", "a/b"])
def test_a_tag_is_a_plain_name(tag: str, made_bundles: Path, cli: Cli, tmp_path: Path) -> None:
    refused = cli("site", "--results", made_bundles, "--out", tmp_path / "site", "--tag", tag)
    assert (refused.code, "is no name for a folder" in refused.err) == (2, True)


def test_where_there_is_no_bundle_it_says_how_to_make_one(own_runs: Path, cli: Cli, tmp_path: Path) -> None:
    refused = cli("site", "--results", own_runs, "--out", tmp_path / "site")
    assert refused.code == 2
    assert "holds no bundle" in refused.err
    assert "rsbench publish" in refused.err
    assert not (tmp_path / "site").exists()
