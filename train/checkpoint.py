"""Checkpoints: asynchronous, sealed, restored onto whatever mesh is there.

    checkpoints/<step>/                 one checkpoint, written by Orbax
    checkpoints/<step>/checksums.json   its seal: saved, and safe to read
"""

import contextlib
import functools
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import humanize
import jax
from absl import logging

from train import checksums, distributed
from train.replica import State
from train.stop import CheckpointError, SaveError, Stopped

NONE = -1  # there is no checkpoint
ALL_DAMAGED = -2


class Checkpoints:
  """The checkpoints of one training run.

  Saving copies the state to the host and returns; writing and sealing go on
  behind the next chunks. A step is saved once `on_saved` was called with it:
  from then on a crash at any moment leaves it, or a later one, to resume from.
  With several processes the folder is one that all of them share.

  Orbax takes seconds to import, so it waits for the first save or restore.
  """

  def __init__(self, folder: Path, keep: int = 2, keep_every: int = 0,
               on_saved: Callable[[int], None] = lambda _: None):
    """Opens a folder of checkpoints, which need not exist.

    Args:
      folder: one subfolder for each step.
      keep: how many of the newest to keep.
      keep_every: steps that are a multiple of this are kept too; 0: none.
      on_saved: told of a step once it is on disk and sealed; called in
        another thread, in process 0 alone.
    """
    self.folder = folder.absolute()
    self._keep = keep
    self._keep_every = keep_every
    self._on_saved = on_saved
    self._pool = ThreadPoolExecutor(1, 'seal')
    self._sealing: Future[None] | None = None
    self.newest: int | None = None  # the last step saved or restored

  @functools.cached_property
  def _writer(self) -> Any:
    import orbax.checkpoint as ocp
    return ocp.StandardCheckpointer()

  def save(self, state: State) -> None:
    """Starts saving `state` under its step, once the save before is done.

    Raises:
      CheckpointError: it or the save before failed (disk full); older
        checkpoints survive.
    """
    self.wait()
    step = int(state['step'])
    try:
      self._writer.save(self.folder / str(step), state)
    except Exception as error:  # Orbax raises many kinds
      raise self._failed(step, error) from error
    self._sealing = self._pool.submit(self._finish, step)

  def _finish(self, step: int) -> None:
    try:
      self._writer.wait_until_finished()
      if jax.process_index() == 0:
        checksums.seal(self.folder / str(step))
        self._prune()
    except Exception as error:
      raise self._failed(step, error) from error
    self.newest = step
    if jax.process_index() == 0:
      self._on_saved(step)

  def _failed(self, step: int, error: Exception) -> SaveError:
    kept = sorted(s for s in _steps(self.folder)
                  if checksums.sealed(self.folder / str(s)))
    rest = (f'the checkpoints of steps {kept} are intact' if kept
            else 'there is no older checkpoint')
    free = humanize.naturalsize(shutil.disk_usage(self.folder).free)
    return SaveError(
      f'{self.folder / str(step)} could not be saved ({_reason(error)}; {free} '
      f'are free there); {rest}. Free space or mend the disk, then run the '
      'same command again')

  def _prune(self) -> None:
    """Removes what the policy does not keep; only after a newer one is safe."""
    done = sorted(s for s in _steps(self.folder)
                  if checksums.sealed(self.folder / str(s)))
    for step in done[:-self._keep]:
      if not self._keep_every or step % self._keep_every:
        _remove(self.folder / str(step))

  def find(self) -> int | None:
    """The newest step that is whole; None when there are no checkpoints.

    Raises:
      CheckpointError: there are checkpoints and all are damaged.
    """
    # One process looks, so that all of them restore the same step.
    found = self._newest_whole() if jax.process_index() == 0 else NONE
    step = distributed.broadcast(found)
    if step == ALL_DAMAGED:
      raise CheckpointError(
        f'{self.folder}: every checkpoint is damaged; remove the folder to '
        'start this run again')
    return None if step == NONE else step

  def restore(self, step: int, like: Any) -> State:
    """The state at a step that was found.

    Args:
      step: which.
      like: a tree of `jax.ShapeDtypeStruct`s with shardings, for any mesh.

    Raises:
      CheckpointError: it is of another shape.
    """
    self._check_shapes(step, like)
    try:
      restored = self._writer.restore(self.folder / str(step), like)
    except Exception as error:
      raise CheckpointError(
        f'{self.folder / str(step)} is whole but does not fit this run '
        f'({_reason(error)}); use the code and config that wrote it, or '
        'another folder') from error
    self.newest = step
    # Whoever loads decides the placement; donated buffers must be JAX's own.
    return jax.tree.map(lambda x, as_in: jax.device_put(x, as_in.sharding),
                        restored, like)

  def _check_shapes(self, step: int, like: Any) -> None:
    """Says which array differs, where Orbax's error would be long."""
    path = self.folder / str(step)
    stored = {leaf.name: tuple(leaf.shape) for leaf in jax.tree.leaves(
      self._writer.metadata(path).item_metadata.tree)
      if hasattr(leaf, 'shape')}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(like):
      name = jax.tree_util.keystr(keys, simple=True, separator='.')
      if stored.get(name, leaf.shape) != leaf.shape:
        raise CheckpointError(
          f'{path} is whole but does not fit this run: {name} is '
          f'{stored[name]} there and {leaf.shape} here; use the code and '
          'config that wrote it, or another folder')

  def _newest_whole(self) -> int:
    """The step to restore, or why there is none; clears away what is broken."""
    done: list[Path] = []
    unfinished: list[Path] = []
    for path in self.folder.glob('*'):
      finished = path.name.isdigit() and checksums.sealed(path)
      (done if finished else unfinished).append(path)
    for path in unfinished:  # cut short by a crash, never reported as saved
      _remove(path)
    damaged: list[Path] = []
    for path in sorted(done, key=lambda p: int(p.name), reverse=True):
      problem = checksums.damage(path)
      if not problem:
        # A damaged step could not be saved again while it lies there.
        for bad in damaged:
          _remove(bad)
        return int(path.name)
      logging.warning('Checkpoint %s is damaged: %s. Removing it and trying '
                      'the one before it.', path, problem)
      damaged.append(path)
    return ALL_DAMAGED if damaged else NONE

  def check(self) -> None:
    """Raises the CheckpointError of a save that failed in the background."""
    if self._sealing and self._sealing.done():
      self.wait()

  def wait(self) -> None:
    """Returns once everything that was saved is on disk and sealed."""
    sealing, self._sealing = self._sealing, None
    if sealing:
      sealing.result()

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, kind: Any, *_: object) -> None:
    if kind and not issubclass(kind, Stopped) and jax.process_count() > 1:
      return  # the others may be gone, and a save waits for all of them
    with contextlib.ExitStack() as stack:
      stack.callback(self._close)
      if kind:
        # The first error is the one to tell.
        stack.enter_context(contextlib.suppress(CheckpointError))
      self.wait()

  def _close(self) -> None:
    self._pool.shutdown()
    if '_writer' not in self.__dict__:
      return
    # Everything was waited for; what is left is the echo of a failed save.
    with contextlib.suppress(Exception):
      self._writer.close()


def _steps(folder: Path) -> list[int]:
  return [int(p.name) for p in folder.glob('*') if p.name.isdigit()]


def _remove(path: Path) -> None:
  # Without its seal a half-removed checkpoint is one that was never finished.
  (path / checksums.SEAL).unlink(missing_ok=True)
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink()


def _reason(error: BaseException) -> str:
  return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
