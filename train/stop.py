"""Why a run stops before its last step, in every process at the same step."""

from collections.abc import Callable

import numpy as np


class CheckpointError(RuntimeError):
  """A checkpoint cannot be written, or none can be read."""


class Stopped(Exception):
  """All processes of a run stop here."""


class Preempted(Stopped):
  """The run was told to stop; everything up to `step` is saved."""

  def __init__(self, step: int):
    super().__init__(f'stopped at step {step}')
    self.step = step


class Diverged(Stopped):
  """A loss or a gradient is not finite, and a single run cannot go on.

  Attributes:
    step: of the first such value.
    loss: the last finite loss in nats, or None.
    grad_norm: at the first such value.
    checkpoint: the newest step that was saved, or None.
  """

  def __init__(self, step: int, loss: float | None, grad_norm: float,
               checkpoint: int | None):
    self.step, self.loss, self.grad_norm = step, loss, grad_norm
    self.checkpoint = checkpoint
    last = 'there was none' if loss is None else f'{loss:.4f} nats'
    kept = ('there is no checkpoint before it' if checkpoint is None
            else f'the last good checkpoint is that of step {checkpoint}')
    super().__init__(
      f'diverged at step {step}: last finite loss {last}, gradient norm '
      f'{grad_norm:g}; {kept}. Lower --config.train.learning_rate or lengthen '
      '--config.train.warmup_fraction')


class Divergence:
  """Watches the metrics of a single run."""

  def __init__(self) -> None:
    self._loss: float | None = None  # the last finite one

  def check(self, start: int, loss_KR: np.ndarray, grad_norm_KR: np.ndarray,
            checkpoint: Callable[[], int | None]) -> None:
    """Looks at the metrics of the K steps from `start`.

    Args:
      start: the first of the steps.
      loss_KR: nats.
      grad_norm_KR: of the gradient.
      checkpoint: says which step was saved last.

    Raises:
      Diverged: one of them is not finite.
    """
    finite_K = (np.isfinite(loss_KR) & np.isfinite(grad_norm_KR)).all(-1)
    good = len(finite_K) if finite_K.all() else int(finite_K.argmin())
    if good:
      self._loss = float(loss_KR[good - 1].mean())
    if good < len(finite_K):
      raise Diverged(start + good, self._loss,
                     float(grad_norm_KR[good].mean()), checkpoint())
