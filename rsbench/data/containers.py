"""What the container of a sound promises, read from its own bytes: libsndfile passes over most that is not there.

A container is known by its first bytes, whatever the file is called. Placeholders for a length, as programs leave them
that write into a pipe, promise nothing: such a sound ends where its file ends.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

KINDS = "WAV (RIFF, RIFX, RF64, BW64, W64), AIFF, AU, FLAC, Ogg and MP3"

# Lengths of 32 or 64 bits that mean "unknown", less the few kB of header that some programs subtract from them.
_UNKNOWN_LENGTHS = (0x7F000000, 0x7FFFF000, 0x80000000, 2**32, 2**63, 2**64)
_HEADER_BYTES = 8192
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")  # of music players, behind the sound
_PASSED_OVER = 256  # bytes behind the sound that are nothing, and too few to be missed


@dataclass(frozen=True)
class Container:
    """Where in a file the sound lies, and what is wrong with that.

    size: bytes of it, without what lies behind. start: its first byte in the file, behind tags of music players.
    fault: in words, why this is not the whole of a sound; "" where nothing speaks against it.
    mends: (offset from its start, bytes) to put into the header, so that libsndfile reads all that is there.
    frames: samples per channel that a header promises which `mends` silences. open_ended: only decoding tells.
    at_least: samples per channel that must be decoded, where no header promises any.
    """

    size: int
    fault: str = ""
    mends: tuple[tuple[int, bytes], ...] = ()
    frames: int | None = None
    open_ended: bool = False
    at_least: int = 0
    start: int = 0


@dataclass(frozen=True)
class _Chunks:
    """How a container keeps its chunks: the name's length, the size's format, its first chunk, the padding."""

    size: str
    sound: bytes  # name of the chunk that holds the samples
    name_bytes: int = 4
    first: int = 12
    align: int = 2
    whole: bool = False  # sizes count the chunk's own header
    preface: int = 0  # bytes of the sound's chunk before the samples

    @property
    def header(self) -> int:
        return self.name_bytes + struct.calcsize(self.size)


_RIFF = _Chunks("<I", b"data")
_RIFX = _Chunks(">I", b"data")
_AIFF = _Chunks(">I", b"SSND", preface=8)
_W64 = _Chunks("<Q", b"data", name_bytes=16, first=40, align=8, whole=True)


@dataclass(frozen=True)
class _Content:
    """The bytes of an open file from `start` on, wherever a header sends its reader."""

    file: BinaryIO
    start: int
    size: int

    def at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes; none past the end, where a seek may fail."""
        if offset >= self.size:
            return b""
        self.file.seek(self.start + offset)
        return self.file.read(count)


def examine(file: BinaryIO, size: int) -> Container | None:
    """The container in an open file of `size` bytes; None where its first bytes are those of none that is known."""
    start = _behind_tags(_Content(file, 0, size))
    content = _Content(file, start, size - start)
    head = content.at(0, 16)
    for magic, form, reader in _READERS:
        if head.startswith(magic) and head[8:].startswith(form):
            return replace(reader(content), start=start)
    return replace(_mp3(content), start=start) if any(_mp3_frame(head)) else None


def _behind_tags(content: _Content) -> int:
    """Where the container begins: behind ID3 tags, whose length is four times seven bits."""
    start = 0
    while (head := content.at(start, 10))[:3] == b"ID3" and len(head) == 10:
        footer = 10 if head[5] & 0x10 else 0
        start += 10 + footer + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(head[6:])))
    return start


def _missing(count: int) -> str:
    return f"truncated: {count} bytes that its header promises are not there" if count > 0 else ""


def _left_over(content: _Content, at: int) -> str:
    """A fault where much lies behind the sound that is neither a tag nor padding: the length may be an old one."""
    rest = content.at(at, content.size - at)
    if len(rest) < _PASSED_OVER or rest.startswith(_TAGS) or not any(rest):
        return ""
    return f"{len(rest)} bytes lie behind the length that its header promises: the header, or what follows, is damaged"


def _unknown(length: int) -> bool:
    return any(most - _HEADER_BYTES <= length <= most for most in _UNKNOWN_LENGTHS)


def _chunks(layout: _Chunks) -> Callable[[_Content], Container]:
    """A reader of containers that are made of chunks: a name, a size, and that many bytes."""

    def read(content: _Content) -> Container:
        at, long_at, long = layout.first, 0, 0
        while _is_chunk(head := content.at(at, layout.header), layout):
            name, length = head[:4], struct.unpack(layout.size, head[layout.name_bytes :])[0]
            body = at + layout.header
            length = max(0, length - layout.header) if layout.whole else length
            if name == b"ds64":  # RF64 keeps here what does not fit into 32 bits
                long_at, long = body + 8, int.from_bytes(content.at(body + 8, 8), "little")
            elif name == layout.sound:
                if long_at and length == 0xFFFFFFFF:
                    return _sound(content, layout, body, long, (long_at, "<Q"))
                return _sound(content, layout, body, length, (at + layout.name_bytes, layout.size))
            at = _next(content, layout, body + length)
        return Container(content.size, "it holds no sound, or its header is damaged")

    return read


def _is_chunk(head: bytes, layout: _Chunks) -> bool:
    """Whether these bytes are a chunk's header: a whole one, and a name in ASCII."""
    return len(head) == layout.header and head[:4].isascii() and head[:4].decode().isprintable()


def _next(content: _Content, layout: _Chunks, end: int) -> int:
    """Where the chunk after one that ends at `end` begins. Some programs forget the padding: it is no zero then."""
    padding = -end % layout.align
    return end if layout.align == 2 and any(content.at(end, padding)) else end + padding


def _sound(content: _Content, layout: _Chunks, body: int, length: int, field: tuple[int, str]) -> Container:
    """The container of a chunk of samples. field: where its length stands, and how it is written."""
    past = body + length
    behind = _behind(content, layout, past)
    nothing = length <= layout.preface and behind < content.size  # of zero length, and what follows is no chunk
    if nothing or (_unknown(length) and past > content.size):
        there = content.size - body + (layout.header if layout.whole else 0)
        at, form = field
        largest = 256 ** struct.calcsize(form) - 1
        return Container(content.size, mends=((at, struct.pack(form, min(there, largest))),))
    fault = _missing(past - content.size) or _left_over(content, behind)
    # W64 is read by libsndfile to the end of the file, chunks behind the sound and all.
    return Container(min(past, content.size) if layout.whole else content.size, fault)


def _behind(content: _Content, layout: _Chunks, at: int) -> int:
    """The end of the chunks that follow one another from `at` on: of the file, unless something else follows."""
    while (at := min(content.size, _next(content, layout, at))) < content.size:
        head = content.at(at, layout.header)
        if not _is_chunk(head, layout):
            return at
        length = struct.unpack(layout.size, head[layout.name_bytes :])[0]
        past = at + length + (0 if layout.whole else layout.header)
        if past > content.size or past <= at:
            return at
        at = past
    return content.size


def _au(content: _Content) -> Container:
    order = ">" if content.at(0, 4) == b".snd" else "<"
    body, length = struct.unpack(f"{order}II", content.at(4, 8).ljust(8, b"\0"))
    past = body + length
    if length == 0 or (_unknown(length) and past > content.size):
        there = max(0, min(content.size - body, 0xFFFFFFFE))
        return Container(content.size, mends=((8, struct.pack(f"{order}I", there)),))
    return Container(content.size, _missing(past - content.size) or _left_over(content, past))


def _flac(content: _Content) -> Container:
    """The 36 bits of STREAMINFO that say how many samples there are are taken away: all are decoded, and counted."""
    field = content.at(21, 5)
    if len(field) < 5:
        return Container(content.size, "truncated: it ends within its header")
    frames = int.from_bytes(field, "big") & 0xFFFFFFFFF
    size = content.size - (128 if content.at(content.size - 128, 3) == b"TAG" else 0)
    return Container(size, "", ((21, bytes([field[0] & 0xF0, 0, 0, 0, 0])),), frames or None, open_ended=not frames)


def _ogg(content: _Content) -> Container:
    """Pages are numbered and carry a checksum, and the last of each stream is marked so."""
    at, numbers, ended = 0, dict[bytes, int](), dict[bytes, bool]()
    while len(head := content.at(at, 27)) == 27 and head[:4] == b"OggS":
        stream, number = head[14:18], int.from_bytes(head[18:22], "little")
        length = 27 + head[26] + sum(content.at(at + 27, head[26]))
        if at + length <= content.size and (
            number != numbers.get(stream, number - 1) + 1 or not _is_whole_page(content.at(at, length))
        ):
            return Container(content.size, f"damaged at byte {content.start + at}")
        numbers[stream], ended[stream] = number, bool(head[5] & 4)
        at += length
    if at > content.size or not all(ended.values()):
        return Container(content.size, "truncated: its last page is not there")
    return Container(at, _left_over(content, at))


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _is_whole_page(page: bytes) -> bool:
    """Whether a page fits its checksum: zlib's, of bits in the other order, from zero and not inverted."""
    bare = page[:22] + bytes(4) + page[26:]
    checksum = zlib.crc32(bare.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return checksum.to_bytes(4, "big").translate(_REVERSED) == page[22:26]


_MP3_KBIT = {  # by whether it is MPEG-1, and layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES = (44_100, 48_000, 32_000)
_MP3_SHARE = {3: 1, 2: 2, 0: 4}  # MPEG-1, 2 and 2.5: the rates are divided by it


def _mp3_frame(head: bytes) -> tuple[int, int]:
    """Bytes and samples per channel of an MPEG audio frame, by its header; both 0 where it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0, 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kbit, rate = head[2] >> 4, head[2] >> 2 & 3
    if version not in _MP3_SHARE or layer == 4 or kbit in (0, 15) or rate == 3:
        return 0, 0
    bits, hertz = 1000 * _MP3_KBIT[version == 3, layer][kbit - 1], _MP3_RATES[rate] // _MP3_SHARE[version]
    padding = head[2] >> 1 & 1
    if layer == 1:
        return 4 * (12 * bits // hertz + padding), 384
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * bits // hertz + padding, samples


def _mp3(content: _Content) -> Container:
    """Frames are counted; the first may hold no sound, and say how many there are."""
    at, found, samples = 0, 0, 0
    while (frame := _mp3_frame(content.at(at, 4)))[0] and at + frame[0] <= content.size:
        at, found, samples = at + frame[0], found + 1, samples + frame[1]
    first = content.at(0, 64)
    tag = max(first.find(b"Xing"), first.find(b"Info"))
    counted = tag >= 0 and len(first) >= tag + 12 and first[tag + 7] & 1
    promised = int.from_bytes(first[tag + 8 : tag + 12], "big") if counted else 0
    if found < promised or frame[0]:
        return Container(content.size, f"truncated or damaged: {found} of {max(found + 1, promised)} frames are there")
    # Without that, libsndfile guesses how many there are from the first, and decodes no more than it guessed.
    at_least = 0 if counted else samples - 4 * 1152  # less what decoders leave out at either end
    return Container(at, _left_over(content, at), open_ended=not counted, at_least=at_least)


_READERS: tuple[tuple[bytes, bytes, Callable[[_Content], Container]], ...] = (
    (b"RIFF", b"WAVE", _chunks(_RIFF)),
    (b"RIFX", b"WAVE", _chunks(_RIFX)),
    (b"RF64", b"WAVE", _chunks(_RIFF)),
    (b"BW64", b"WAVE", _chunks(_RIFF)),
    (b"riff.\x91\xcf\x11", b"\xa5\xd6\x28\xdb", _chunks(_W64)),
    (b"FORM", b"AIF", _chunks(_AIFF)),
    (b".snd", b"", _au),
    (b"dns.", b"", _au),
    (b"fLaC", b"", _flac),
    (b"OggS", b"", _ogg),
)
