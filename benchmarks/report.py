"""How long does a report on many runs take to write and to open, and how large is it?

    python benchmarks/report.py [--runs 500] [--like RUN_FOLDER]

The runs are those of benchmarks/boards.py. It is opened in headless Chromium, where there is one.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from boards import seconds, short_run, write_copies
from rich.console import Console
from rich.table import Table

from rsbench.core.display import Display
from rsbench.report.page.groups import read_results
from rsbench.report.page.page import write_report
from rsbench.results.run import Run, load_runs


def seconds_to_open(page: Path) -> float:
    """From asking for the page to the end of its load event."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        driver.get(page.as_uri())
        milliseconds = driver.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
    finally:
        driver.quit()
    return float(milliseconds) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--like", type=Path, help="the folder of a finished run, for data of its size")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as directory:
        results, page = Path(directory) / "results", Path(directory) / "report.html"
        run = Run(options.like) if options.like else short_run(Path(directory) / "short")
        write_copies(run, results, options.runs)

        def write() -> None:
            write_report(load_runs(results), page, baseline=None, cache=results / ".index", display=Display())

        took = {"write, first": seconds(write), "write, again": seconds(write)}
        shutil.rmtree(load_runs(results)[-1].path)
        took["write, one run fewer"] = seconds(write)
        if shutil.which("chromium") and shutil.which("chromedriver"):
            took["open in Chromium"] = seconds_to_open(page)
        boards = [
            board
            for group in read_results(load_runs(results), None, results / ".index", Display()).groups
            for board in group.boards
        ]
        said = [int(board.table["rank_best"].notna().sum()) for board in boards]
        size = page.stat().st_size / 1e6

    table = Table(
        title=f"a report on {options.runs} runs",
        caption=f"{size:.1f} MB; rank sets on its boards: {', '.join(map(str, said))}",
    )
    table.add_column("what")
    table.add_column("s", justify="right")
    for what, duration in took.items():
        table.add_row(what, f"{duration:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
