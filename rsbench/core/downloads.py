"""Files from the Hugging Face hub and from plain URLs. Every way to fail is one sentence that says which."""

from __future__ import annotations

import errno
import json
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from .errors import WeightsError

HUB = "hf-hub:"
CARD = "README.md"
_AT_ONCE = 2**13  # bytes: what is lost of a download that is stopped


class DownloadError(WeightsError):
    """A file could not be brought. The message says why; who asked for the file adds what else can be done."""


@dataclass(frozen=True)
class HubRepository:
    """A repository of models on the hub, at a revision.

    name: "OWNER/NAME". revision: a branch, a tag or a commit, "main" where none was given.
    """

    name: str
    revision: str = "main"

    @classmethod
    def parse(cls, text: str) -> HubRepository:
        """`OWNER/NAME` or `OWNER/NAME@REVISION`, with or without "hf-hub:" before it."""
        name, _, revision = text.removeprefix(HUB).partition("@")
        return cls(name, revision or "main")

    @property
    def page(self) -> str:
        return f"https://huggingface.co/{self.name}"

    def file(self, *names: str) -> Path:
        """The first of these files that the repository has: from the hub's cache when it is there, else downloaded.

        What is in the cache is used as it is, without asking the hub. Raises DownloadError when the repository has
        none of them or none can be brought.
        """
        from huggingface_hub import try_to_load_from_cache

        try:
            for name in names:
                cached = try_to_load_from_cache(self.name, name, revision=self.revision)
                if isinstance(cached, str):
                    return Path(cached)
        except ValueError:
            raise DownloadError(f"'{self.name}' is no repository: write {HUB}OWNER/NAME.") from None
        for name in names:
            try:
                return self._download(name)
            except _NoSuchFile:
                continue
        raise DownloadError(f"{self.name} has no {' and no '.join(names)} (revision {self.revision}).")

    def _download(self, name: str) -> Path:
        from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            OfflineModeIsEnabled,
            RemoteEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        # What its HTTP library raises, whichever that is: the base of the hub's own errors.
        http_error: type[Exception] = HfHubHTTPError.__bases__[0]
        try:
            # Asking first fails at once where there is no network; a download would try for half a minute.
            get_hf_file_metadata(hf_hub_url(self.name, name, revision=self.revision))
            return Path(hf_hub_download(self.name, name, revision=self.revision))
        except OfflineModeIsEnabled:
            raise DownloadError(
                f"{name} of {self.name} is not in the hub's cache ({constants.HF_HUB_CACHE}), "
                "and HF_HUB_OFFLINE is set."
            ) from None
        except RemoteEntryNotFoundError:
            raise _NoSuchFile(f"{self.name} has no {name}.") from None
        except RevisionNotFoundError:
            raise DownloadError(f"{self.name} has no revision '{self.revision}'.") from None
        except GatedRepoError:
            raise DownloadError(
                f"{self.name} is gated: ask for access at {self.page}, then log in with `hf auth login`."
            ) from None
        except RepositoryNotFoundError:
            raise DownloadError(
                f"The hub has no repository {self.name}, or it is private and needs `hf auth login`."
            ) from None
        except (http_error, OSError) as error:
            raise _failed(f"{name} of {self.name}", error) from None

    def card(self) -> tuple[str, tuple[str, ...]]:
        """Licence and training data sets as its model card declares them; "" and () where no card says so."""
        from huggingface_hub import ModelCard

        try:
            data = ModelCard.load(self.file(CARD), ignore_metadata_errors=True).data
        except (DownloadError, ValueError, yaml.YAMLError):  # none can be had, or none that can be read
            return "", ()
        licences = [data.license] if isinstance(data.license, str) else data.license or []
        datasets = [data.datasets] if isinstance(data.datasets, str) else data.datasets or []
        return " and ".join(licences), tuple(datasets)


class _NoSuchFile(DownloadError):
    """The repository has no such file."""


def bring_url(url: str, path: Path, sha256: str = "", *, quiet: bool = False) -> Path:
    """Download `url` to `path`, whole or not at all; a hash that is known is checked.

    A download that was stopped goes on where it was, if the server knows that the file is still the same. TLS is always
    checked. Raises DownloadError naming the URL.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would advise on the use of pooch
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}" if sha256 else None,
            fname=path.name,
            path=path.parent,
            downloader=_Resumed(path.with_name(f".{path.name}.part"), progressbar=not quiet),
        )
    except OSError as error:  # among them all that the HTTP library raises
        raise _failed(url, error) from None
    except ValueError:
        raise DownloadError(f"{url} gave another file than the one published (sha256 {sha256}).") from None
    return path


@dataclass(frozen=True)
class _Resumed:
    """A downloader for pooch that keeps what has come in `part`, and beside it of which file that is."""

    part: Path
    progressbar: bool

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        told = self._told(url)
        try:
            self._download(url, told)
        except _NothingLeft:  # all of it had come, or it has become another file
            self.part.unlink()
            self._download(url, "")
        self.part.replace(output_file)
        self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.part.with_name(f"{self.part.name}.json")

    def _told(self, url: str) -> str:
        """By what the server tells the file that `part` is the beginning of; "" where there is none."""
        try:
            note = json.loads(self._note.read_bytes())
            return note["told"] if note["url"] == url and self.part.is_file() else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _download(self, url: str, told: str) -> None:
        import pooch

        self.part.parent.mkdir(parents=True, exist_ok=True)
        with self.part.open("ab") as file:
            if not told:
                file.truncate(0)
            have = file.tell() if told else 0
            headers = {"Accept-Encoding": "identity"}  # lengths are those of the file
            if have:
                headers |= {"Range": f"bytes={have}-", "If-Range": told}
            hooks = {"response": self._on_response(url, file, have)}
            pooch.HTTPDownloader(self.progressbar, _AT_ONCE, headers=headers, hooks=hooks)(url, file, None)

    def _on_response(self, url: str, file: IO[bytes], have: int) -> Callable[..., None]:
        def look(response: Any, **_: object) -> None:
            if response.status_code == 416 and have:
                raise _NothingLeft
            begins = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if response.status_code == 206 and not begins:
                raise OSError("the server sent another part of the file than was asked for")
            if response.status_code == 200:
                file.truncate(0)
                self._note.write_text(json.dumps({"url": url, "told": _told_by(response.headers)}))

        return look


class _NothingLeft(Exception):
    """The server has nothing behind what has come."""


def _told_by(headers: Mapping[str, str]) -> str:
    """What a server is asked by whether a file is still the same; "" where it gives nothing to rely on."""
    tag = headers.get("ETag", "")
    return headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag


def _failed(what: str, error: BaseException) -> DownloadError:
    """What to say of an error of the disk or of the network: what began it, not all that was made of it."""
    while error.__context__ is not None:
        error = error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):  # its errno is none of the system's
        return DownloadError(
            f"{what} cannot be downloaded: the server's certificate is not valid ({error.verify_message}), and rsbench "
            "never turns this check off."
        )
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOSPC:
        return DownloadError(f"{what} cannot be kept: no room left on the disk.")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DownloadError(f"{what} cannot be kept: {os.strerror(number)}: {getattr(error, 'filename', '')}.")
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return DownloadError(f"{what} cannot be downloaded ({reason}).")
