"""Results that others published: brought from their site, pinned by a hash, and read as `--results public`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urldefrag, urljoin, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..core.cache import cache_dir
from ..core.display import Display
from ..core.downloads import DownloadError, bring_url
from ..core.errors import ResultsError, SpecError
from ..core.files import explain_os_error, locked, read_json, remove, sha256_of, write_json
from ..core.text import file_name, is_plain_word
from .collection import BundleFile, Collection, collect
from .places import PUBLIC

MANIFEST = "results.json"
FORMAT = 1
BUNDLES = "bundles"
_SOURCE = "source.json"
_INCOMING = "incoming.json"
_LARGEST_MANIFEST = 64 * 2**20  # bytes: it is read into memory


def _leads_nowhere_else(name: str) -> str:
    if not (name.endswith(".zip") and all(map(is_plain_word, name.split("/")))):
        raise ValueError(f"'{name}' is no name of a bundle")
    return name


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ListedBundle(BaseModel):
    """A bundle of a site. name: its path below `bundles/`. size: bytes. runs: how many it holds."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, AfterValidator(_leads_nowhere_else)]
    size: int = Field(ge=0)
    sha256: Sha256
    made_by: str
    runs: int = Field(ge=0)


class ResultsManifest(BaseModel):
    """`results.json` of a site: every bundle that its boards are made of. tag: of a frozen one."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    rsbench: str
    tag: str | None = None
    bundles: tuple[ListedBundle, ...]


@dataclass(frozen=True)
class Pulled:
    """Results that were pulled. url: of the manifest. sha256: of the manifest, by which they are pinned."""

    url: str
    sha256: str
    manifest: ResultsManifest
    folder: Path

    @property
    def size(self) -> int:
        """Bytes of all bundles."""
        return sum(bundle.size for bundle in self.manifest.bundles)

    @property
    def runs(self) -> int:
        return sum(bundle.runs for bundle in self.manifest.bundles)

    def path(self, bundle: ListedBundle) -> Path:
        return self.folder / BUNDLES / bundle.name

    @property
    def missing(self) -> list[ListedBundle]:
        """Bundles that are not there whole: a pull was broken off."""
        return [bundle for bundle in self.manifest.bundles if not _is_there(self.path(bundle), bundle)]


def pull(url: str, sha256: str | None, display: Display) -> Pulled:
    """Bring the bundles of a site; what is there already stays, and a pull that was broken off goes on.

    Args:
        url: of a site, or of its results.json, with or without `#sha256=HEX`.
        sha256: of its results.json; None: that of the URL, else of the first pull, if there was one.
        display: told of progress.

    Raises:
        SpecError: the URL or the hash is none.
        ResultsError: the manifest is another one than was pinned, or damaged; or something cannot be brought.
    """
    source, asked = _source(url, sha256)
    folder = _public_dir() / file_name(source)
    with locked(folder):
        here = _kept(folder)
        if here and asked == here.sha256 and not here.missing:
            return here
        try:
            pulled = _bring_manifest(source, asked, here, folder)
            _bring_bundles(pulled, display)
        except DownloadError as error:
            raise ResultsError(f"{error} Give the same command again: it goes on where it was stopped.") from None
        except OSError as error:
            raise ResultsError(explain_os_error(error, folder)) from error
    return pulled


def _source(url: str, sha256: str | None) -> tuple[str, str | None]:
    """The URL of the manifest, and the hash that is asked for."""
    plain, fragment = urldefrag(url)
    parts = urlsplit(plain)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise SpecError(f"{url}: is no address of a site. It begins with https://, for example {_EXAMPLE}")
    if fragment and not fragment.startswith("sha256="):
        raise SpecError(f"{url}: what stands behind # must be sha256=HEX, the hash of its {MANIFEST}.")
    asked = sha256 or fragment.removeprefix("sha256=") or None
    if asked and (len(asked) != 64 or set(asked) - set("0123456789abcdef")):
        raise SpecError(f"sha256 {asked}: is none. It has 64 digits, 0 to 9 and a to f.")
    return plain if plain.endswith(".json") else f"{plain.removesuffix('/')}/{MANIFEST}", asked


_EXAMPLE = "https://rsbench.github.io/rsbench/results/"


def _bring_manifest(source: str, asked: str | None, here: Pulled | None, folder: Path) -> Pulled:
    incoming = folder / _INCOMING
    incoming.unlink(missing_ok=True)
    bring_url(source, incoming, quiet=True)
    found, pinned = sha256_of(incoming), here.sha256 if here else None
    if asked and found != asked:
        raise ResultsError(f"{source}: has the sha256 {found}, and {asked} was asked for. Nothing was brought.")
    if not asked and pinned and found != pinned:
        raise ResultsError(
            f"{source}: is not what it was when it was pulled first: its sha256 was {pinned}, and is {found}. What was "
            f"pulled stays as it is. If the change is meant, as on a board that grows, take it knowingly: rsbench "
            f"results pull {source}#sha256={found}"
        )
    manifest = _parsed(incoming, source)
    incoming.replace(folder / MANIFEST)
    write_json(folder / _SOURCE, {"url": source, "sha256": found})
    return Pulled(source, found, manifest, folder)


def _parsed(path: Path, called: str) -> ResultsManifest:
    if path.stat().st_size > _LARGEST_MANIFEST:
        raise ResultsError(f"{called}: is too large for a list of bundles.")
    try:
        content = read_json(path)
    except ResultsError:
        raise ResultsError(f"{called}: is no JSON. Is it the {MANIFEST} of a site of rsbench?") from None
    if isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise ResultsError(f"{called}: was made by a newer rsbench, {content.get('rsbench')}. Upgrade rsbench.")
    try:
        return ResultsManifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "as a whole"
        raise ResultsError(f"{called}: is no {MANIFEST} of rsbench ({key}: {first['msg']}).") from None


def _bring_bundles(pulled: Pulled, display: Display) -> None:
    with display.track(f"pulling {len(pulled.manifest.bundles)} bundles, bytes", pulled.size) as advance:
        for bundle in pulled.manifest.bundles:
            path = pulled.path(bundle)
            if not _is_there(path, bundle):
                path.parent.mkdir(parents=True, exist_ok=True)
                url = urljoin(pulled.url, f"{BUNDLES}/{quote(bundle.name)}")
                bring_url(url, path, bundle.sha256, quiet=True)
            advance(bundle.size, bundle.name)
    wanted = {pulled.path(bundle) for bundle in pulled.manifest.bundles}
    for path in sorted((pulled.folder / BUNDLES).rglob("*.zip")):
        if path not in wanted:
            remove(path)


def _is_there(path: Path, bundle: ListedBundle) -> bool:
    return path.is_file() and path.stat().st_size == bundle.size and sha256_of(path) == bundle.sha256


def list_pulled() -> list[Pulled]:
    """All that was pulled, by address. Raises ResultsError where the cache is damaged."""
    folders = sorted(path.parent for path in _public_dir().glob(f"*/{_SOURCE}"))
    return [pulled for folder in folders if (pulled := _kept(folder))]


def _kept(folder: Path) -> Pulled | None:
    if not (folder / _SOURCE).is_file():
        return None
    source = read_json(folder / _SOURCE)
    return Pulled(str(source["url"]), str(source["sha256"]), _parsed(folder / MANIFEST, str(source["url"])), folder)


def public_bundles() -> list[BundleFile]:
    """The bundles of all that was pulled. Raises ResultsError where there is nothing, or a pull was broken off."""
    every = list_pulled()
    if not every:
        raise ResultsError(f"--results {PUBLIC}: nothing was pulled yet. Pull it: rsbench results pull {_EXAMPLE}")
    found: dict[str, BundleFile] = {}
    for pulled in every:
        if missing := pulled.missing:
            raise ResultsError(
                f"--results {PUBLIC}: {len(missing)} of {len(pulled.manifest.bundles)} bundles of {pulled.url} are not "
                f"there yet. Go on with it: rsbench results pull {pulled.url}"
            )
        for bundle in pulled.manifest.bundles:
            same_name = found.get(bundle.name)
            other = same_name is not None and same_name.sha256 != bundle.sha256
            name = f"{bundle.sha256[:8]}/{bundle.name}" if other else bundle.name
            found[name] = BundleFile(name, pulled.path(bundle), bundle.sha256, bundle.size)
    return list(found.values())


def public_results(display: Display) -> Collection:
    """All that was pulled as one results folder. Raises as `public_bundles` and `collect` do."""
    return collect(public_bundles(), display)


def _public_dir() -> Path:
    return cache_dir() / PUBLIC
