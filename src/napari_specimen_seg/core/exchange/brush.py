"""Label Studio's brush masks: run lengths packed bit by bit.

The packing is that of the JavaScript package @thi.ng/rle-pack, over the bytes of an RGBA picture: how many
bytes there are (32 bits), bits of a word less 1 (5), four sizes of run lengths less 1 (4 each). Then runs:
one bit for whether a word is repeated, two for the size of the length, the length less 1, and the words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ReadError

_SIZES = (3, 4, 8, 16)
_HEAD_BITS = 32 + 5 + 4 * 4
_CHANNELS = 4


def pack(mask: NDArray[np.bool_]) -> list[int]:
    """Pack a mask.

    Parameters
    ----------
    mask : array of bool
        (Y, X).

    Returns
    -------
    list of int
        Bytes.
    """
    flat = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    bits = [f"{flat.size * _CHANNELS:032b}{7:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, length in zip(edges[:-1], np.diff(edges) * _CHANNELS, strict=True):
        bits += _run(int(length), "11111111" if flat[start] else "00000000")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def unpack(packed: object, height: int, width: int) -> NDArray[np.bool_]:
    """Unpack a mask.

    Parameters
    ----------
    packed : list of int or bytes
    height, width : int
        Of the picture.

    Returns
    -------
    array of bool
        (height, width): where it is at least half opaque.

    Raises
    ------
    ReadError
        If it is not packed like this, or for a picture of another size.
    """
    try:
        if not isinstance(packed, (list, bytes)):  # a number would be taken for so many zeros
            raise TypeError
        bits = np.unpackbits(np.frombuffer(bytes(packed), np.uint8))
    except (TypeError, ValueError):
        raise ReadError("a brush mask in it is no list of bytes") from None
    if (
        bits.size < _HEAD_BITS
        or _number(bits, 0, 32) != height * width * _CHANNELS
        or _number(bits, 32, 5) != 7
    ):
        raise ReadError(f"a brush mask in it does not fit {height} x {width} pixels")
    sizes = [_number(bits, 37 + 4 * place, 4) + 1 for place in range(4)]
    out = np.zeros(height * width * _CHANNELS, np.uint8)
    _fill(out, bits, sizes)
    return out.reshape(height, width, _CHANNELS)[..., 3] > 127


def _run(length: int, word: str) -> list[str]:
    """Return the bits of a word that is repeated, in pieces as long as the largest size holds."""
    bits = []
    while length:
        piece = min(length, 1 << _SIZES[-1])
        kind = next(place for place, size in enumerate(_SIZES) if piece <= 1 << size)
        bits.append(f"1{kind:02b}{piece - 1:0{_SIZES[kind]}b}{word}")
        length -= piece
    return bits


def _fill(out: NDArray[np.uint8], bits: NDArray[np.uint8], sizes: list[int]) -> None:
    position, done = _HEAD_BITS, 0
    while done < out.size:
        if position + 3 > bits.size:
            raise ReadError("a brush mask in it is cut short")
        repeated, size = bits[position], sizes[_number(bits, position + 1, 2)]
        count = _number(bits, position + 3, size) + 1
        position += 3 + size
        used = 8 if repeated else 8 * count
        if position + used > bits.size or done + count > out.size:
            raise ReadError("a brush mask in it is cut short")
        out[done : done + count] = np.packbits(bits[position : position + used])
        position, done = position + used, done + count


def _number(bits: NDArray[np.uint8], start: int, count: int) -> int:
    value = 0
    for bit in bits[start : start + count].tolist():
        value = value << 1 | bit
    return value
