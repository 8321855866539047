"""Writing results so that nothing half-written is ever taken for whole.

A file or folder is written under a temporary name beside its place and moved there when
complete. What exists already is only replaced when the caller was told to.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from checkout.errors import InputError


def check_free(path: Path, *, force: bool = False) -> None:
    """Raise `InputError` when `path` exists and may not be replaced."""
    if path.exists() and not force:
        raise InputError(path, "", "exists already", "choose another name or pass --force to replace it")


@contextmanager
def new_folder(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` when the block ends without an error."""
    path = Path(path)
    check_free(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    draft.chmod(0o755)
    try:
        yield draft
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def new_file(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a file name (same suffix, same folder) that becomes `path` when the block ends without an error."""
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "", "is a folder, expected a file name")
    check_free(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    draft = Path(name)
    draft.chmod(0o644)
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
