"""Files from the Hugging Face hub and from plain URLs. Every way to fail is one sentence that says which."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from .errors import WeightsError

HUB = "hf-hub:"
CARD = "README.md"


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


def bring_url(url: str, path: Path, sha256: str = "") -> Path:
    """Download `url` to `path`, whole or not at all; a hash that is known is checked.

    Raises DownloadError naming the URL.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would advise on the use of pooch
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}" if sha256 else None,
            fname=path.name,
            path=path.parent,
            downloader=pooch.HTTPDownloader(progressbar=True),
        )
    except OSError as error:  # among them all that the HTTP library raises
        raise _failed(url, error) from None
    except ValueError:
        raise DownloadError(f"{url} gave another file than the one published (sha256 {sha256}).") from None
    return path


def _failed(what: str, error: BaseException) -> DownloadError:
    """What to say of an error of the disk or of the network: what began it, not all that was made of it."""
    while error.__context__ is not None:
        error = error.__context__
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOSPC:
        return DownloadError(f"{what} cannot be kept: no room left on the disk.")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DownloadError(f"{what} cannot be kept: {os.strerror(number)}: {getattr(error, 'filename', '')}.")
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return DownloadError(f"{what} cannot be downloaded ({reason}).")
