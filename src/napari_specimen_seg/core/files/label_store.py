"""Labels that are too large for the memory, while they are being made: a folder that can be gone on with.

The folder is an OME-Zarr: level 0 is what a model said, each next level every second row and column of the
one before. In it stand `identity.json`, which says of what picture, model and settings it is, and
`finished.jsonl`, one line for each finished tile. A tile is noted after its pixels are on the disk, with
their checksum; so whatever ends the program, the next run knows what it can rely on.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import WriteError
from ..heap import give_back
from ..progress import Progress, Report, silent
from .atomic import write_error
from .chunks import CACHE_BYTES, ChunkCache, ChunkedArray, create_array
from .folder_lock import LOCK, StoreInUseError, locked
from .store_identity import IDENTITY, difference, group_of, write_identity
from .tile_notes import FINISHED, Maker, TileKey, TileNote, crc_of, line_of, noted_tiles

CHUNK = 1024
"""Side of a chunk: what a screen shows is a few of them, and a brush changes one or two."""

COARSEST = 1024
"""Levels end when they are not larger than this."""

FLUSH_EVERY_S = 5.0
"""No more than this is computed again after the program was killed."""

_CONFIDENCE = "confidence-"
"""Before the number of a level; no level of the OME-Zarr, which is about the labels."""

_CLEAN = "closed"
"""A file that is there while the smaller levels agree with the largest, which alone is kept up to date."""


@dataclass(frozen=True, slots=True)
class StoreShape:
    """What a store holds.

    Parameters
    ----------
    shape : tuple of int
        Of the labels: (Y, X) or with leading axes.
    dtype : str
        Of the labels.
    confidence : bool
        Whether how sure the model was is kept too, as float32.
    """

    shape: tuple[int, ...]
    dtype: str = "uint8"
    confidence: bool = False


class LabelStore:
    """Labels on the disk, written tile by tile, read and painted on anywhere.

    Use `open_store` to make or continue one.

    Parameters
    ----------
    folder : Path
    lock : filelock.FileLock
        Held; nobody else writes here.
    group : zarr.Group
    was_different : str or None
        Why it is not the continuation of an earlier one; None if it is, "" if there was none.
    """

    def __init__(self, folder: Path, lock: Any, group: Any, was_different: str | None) -> None:
        self.folder, self._lock = folder, lock
        self.continued, self.was_different = was_different is None, was_different or ""
        self.cache = ChunkCache(CACHE_BYTES)
        names = [entry["path"] for entry in group.attrs["ome"]["multiscales"][0]["datasets"]]
        self.levels = tuple(self._array(group, name) for name in names)
        sure = [_CONFIDENCE + name for name in names if _CONFIDENCE + name in group]
        self.confidence_levels = tuple(self._array(group, name) for name in sure)
        self._noted = dict(noted_tiles(folder))
        self._is_clean = not self.continued or (folder / _CLEAN).exists()
        (folder / _CLEAN).unlink(missing_ok=True)
        self._to_note: list[tuple[TileKey, TileNote]] = []
        self._flushed = time.monotonic()

    def _array(self, group: Any, name: str) -> ChunkedArray:
        found = group[name]
        return ChunkedArray(self.folder / name, found.shape, found.chunks, found.dtype, self.cache)

    @property
    def labels(self) -> ChunkedArray:
        """The labels at full size."""
        return self.levels[0]

    @property
    def confidence(self) -> ChunkedArray | None:
        """How sure the model was, at full size, where that is kept."""
        return self.confidence_levels[0] if self.confidence_levels else None

    # -- what is finished --------------------------------------------------------------------------

    def finished(self) -> frozenset[TileKey]:
        """Return the tiles that need not be computed again."""
        return frozenset(self._noted)

    @property
    def count(self) -> int:
        """How many tiles are finished, those included that are not on the disk yet."""
        with self.cache.lock:
            return len({*self._noted, *(key for key, _ in self._to_note)})

    def makers(self) -> list[Maker]:
        """Return all that computed tiles here, in the order in which they came."""
        with self.cache.lock:
            notes = [*self._noted.values(), *(note for _, note in self._to_note)]
        return list(dict.fromkeys(note.maker for note in notes if note.maker))

    def recover(self, *, verify: bool, report: Report = silent) -> frozenset[TileKey]:
        """Bring an earlier run's store in order; return the tiles that need not be computed again.

        Parameters
        ----------
        verify : bool
            Whether to read all finished tiles and forget those whose pixels are not what was noted: after
            a power cut, files may be shorter than the program had written them. Not for labels that may
            have been edited since.
        report : callable
            May raise `CancelledError`, which passes through.
        """
        if verify or not self._is_clean:
            for number, (key, note) in enumerate(list(self._noted.items())):
                report(Progress("checking what is done", number, len(self._noted)))
                self._recover(key, note.crc if verify else None)
        self._is_clean = True
        return self.finished()

    def _recover(self, key: TileKey, crc: int | None) -> None:
        if crc is not None and self._checksum(key) != crc:
            del self._noted[key]
        elif not self._is_clean:
            self.put(key.plane, key.rows, key.columns, self.labels.read(key.plane, key.rows, key.columns))
            if self.confidence is not None:
                sure = self.confidence.read(key.plane, key.rows, key.columns)
                _put(self.confidence_levels, key.plane, key.rows, key.columns, sure)
        if self.cache.waiting > CACHE_BYTES:
            self.cache.flush()

    def _checksum(self, key: TileKey) -> int:
        try:
            crc = crc_of(self.labels.read(key.plane, key.rows, key.columns))
            if self.confidence is not None:
                crc = crc_of(self.confidence.read(key.plane, key.rows, key.columns), crc)
        except Exception:  # whatever a damaged chunk makes its decoder say
            return -1
        return crc

    # -- writing -----------------------------------------------------------------------------------

    def write(
        self,
        key: TileKey,
        labels: NDArray[Any],
        confidence: NDArray[np.float32] | None = None,
        maker: Maker = (),
    ) -> None:
        """Take a finished tile. It is on the disk after the next `flush`, which comes by itself.

        Parameters
        ----------
        key : TileKey
        labels : array
            (rows, columns)
        confidence : array, optional
            (rows, columns)
        maker : tuple of str
            What computed it.

        Raises
        ------
        WriteError
            If the disk is full or gone.
        """
        labels = np.ascontiguousarray(labels, self.labels.dtype)
        crc = crc_of(labels)
        self.put(key.plane, key.rows, key.columns, labels)
        if self.confidence is not None and confidence is not None:
            sure = np.ascontiguousarray(confidence, np.float32)
            _put(self.confidence_levels, key.plane, key.rows, key.columns, sure)
            crc = crc_of(sure, crc)
        with self.cache.lock:
            self._to_note.append((key, TileNote(crc, maker)))
        is_full = self.cache.waiting > CACHE_BYTES
        if is_full or time.monotonic() - self._flushed > FLUSH_EVERY_S:
            self.flush(all_levels=is_full)

    def put(self, plane: tuple[int, ...], rows: slice, columns: slice, labels: NDArray[Any]) -> None:
        """Change labels on all levels, as a brush does.

        Parameters
        ----------
        plane : tuple of int
        rows, columns : slice
        labels : array
            (rows, columns)
        """
        _put(self.levels, plane, rows, columns, labels)

    def paint(self, index: Any, values: Any) -> None:
        """Change the labels that an index of numbers and slices asks for, on all levels.

        Parameters
        ----------
        index : tuple of int or slice
        values : int or array
        """
        with self.cache.lock:
            self.labels[index] = values
            for plane, rows, columns in self.labels.boxes(index):
                self.put(plane, rows, columns, self.labels.read(plane, rows, columns))

    def flush(self, *, all_levels: bool = True) -> None:
        """Bring everything to the disk, then note which tiles are there.

        Parameters
        ----------
        all_levels : bool
            False leaves the smaller levels in memory; they can be made again from the largest.

        Raises
        ------
        WriteError
            If the disk is full or gone.
        """
        with self.cache.lock:
            notes, self._to_note = self._to_note, []
        try:
            self.cache.flush(None if all_levels else (self.labels.name, _CONFIDENCE + self.labels.name))
            if notes:
                with (self.folder / FINISHED).open("a", encoding="ascii") as file:
                    file.write("".join(line_of(*noted) for noted in notes))
        except OSError as error:
            with self.cache.lock:
                self._to_note = notes + self._to_note
            raise write_error(error, self.folder) from error
        self._noted.update(notes)
        self._flushed = time.monotonic()
        give_back()

    # -- the end -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Flush, and let others use the folder."""
        try:
            self.flush()
            if self._is_clean:  # not if bringing it in order was broken off
                (self.folder / _CLEAN).touch()
        finally:
            self._lock.release()

    def delete(self) -> None:
        """Remove the folder; for results that are written elsewhere, or that nobody wants."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _put(
    levels: Sequence[ChunkedArray],
    plane: tuple[int, ...],
    rows: slice,
    columns: slice,
    values: NDArray[Any],
) -> None:
    """Write values (rows, columns) to a pyramid: on each next level every second row and column."""
    for number, level in enumerate(levels):
        step = 1 << number
        y, x = (slice(-(-part.start // step), -(-part.stop // step)) for part in (rows, columns))
        if y.start < y.stop and x.start < x.stop:
            part = values[y.start * step - rows.start :: step, x.start * step - columns.start :: step]
            level.write(plane, y, x, part)


def open_store(
    folder: Path, holds: StoreShape, identity: Mapping[str, Any], *, replace: bool = True
) -> LabelStore:
    """Continue the store in a folder if it is of the same work, else begin a new one there.

    Parameters
    ----------
    folder : Path
        Its name ends in ``.zarr``. Replaced if it holds something else of this program's making.
    holds : StoreShape
    identity : mapping
        Plain values that say of what picture, model and settings the labels are. A store with another
        identity is not continued.
    replace : bool
        Whether a store with another identity in which tiles are finished may be dropped.

    Returns
    -------
    LabelStore
        `continued` says whether there was something to continue, `was_different` what stood against it.

    Raises
    ------
    WriteError
        If the folder is in use, holds something else, or cannot be written; or if it would be dropped and
        may not.
    """
    sure = _CONFIDENCE if holds.confidence else False
    wanted = json.loads(json.dumps({"holds": [list(holds.shape), holds.dtype, sure], **identity}))
    try:
        _refuse_foreign(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lock = locked(folder)
        different = difference(folder, wanted)
        if different and not replace and dict(noted_tiles(folder)):
            lock.release()
            raise WriteError(
                f"an unfinished result is there that was begun otherwise ({different})",
                path=folder,
                advice="Go on as it was begun, give it up with --overwrite, or choose another folder.",
            )
        if different is not None:
            _clear(folder)
            _create(folder, holds)
            write_identity(folder, wanted)
        return LabelStore(folder, lock, group_of(folder), different)
    except OSError as error:
        raise write_error(error, folder) from error


def _refuse_foreign(folder: Path) -> None:
    ours = any((folder / name).exists() for name in (LOCK, IDENTITY))
    if os.path.lexists(folder) and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise WriteError("something else is there", path=folder, advice="Move it away.")


def remove_unused(folder: Path) -> bool:
    """Remove a store unless somebody works on it; tell whether it is gone."""
    try:
        lock = locked(folder)
    except (OSError, StoreInUseError):
        return False
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _create(folder: Path, holds: StoreShape) -> None:
    import zarr

    group = zarr.open_group(str(folder), mode="a", zarr_format=3)
    lead, (height, width) = holds.shape[:-2], holds.shape[-2:]
    chunks = (*[1] * len(lead), CHUNK, CHUNK)
    datasets = []
    for number in range(level_count(height, width)):
        shape = (*lead, *(-(-n // (1 << number)) for n in (height, width)))
        create_array(group, str(number), shape, chunks, np.dtype(holds.dtype))
        if holds.confidence:
            create_array(group, f"{_CONFIDENCE}{number}", shape, chunks, np.dtype(np.float32))
        scale = [*[1.0] * len(lead), float(1 << number), float(1 << number)]
        datasets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    axes = [
        {"name": name, "type": "space" if name in "zyx" else "other"} for name in "qtzyx"[-len(holds.shape) :]
    ]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": datasets}],
        "image-label": {},
    }


def level_count(height: int, width: int) -> int:
    """Return how many levels a pyramid of labels has, the full size included."""
    count = 1
    while max(height, width) > COARSEST << (count - 1):
        count += 1
    return count
