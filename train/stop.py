"""Why a run stops before its last step, in every process at the same step."""

from collections.abc import Callable, Sequence

import numpy as np

from train.replica import ALIVE


class CheckpointError(RuntimeError):
  """A checkpoint cannot be written, or none can be read."""


class SaveError(CheckpointError):
  """A checkpoint cannot be written: nothing more can be kept."""


class Stopped(Exception):
  """All processes of a run stop here."""


class Preempted(Stopped):
  """The run was told to stop; everything up to `step` is saved."""

  def __init__(self, step: int):
    super().__init__(f'stopped at step {step}')
    self.step = step


class Diverged(Stopped):
  """Every replica met a loss or a gradient that is not finite.

  Attributes:
    steps: of the first such value of each replica.
    step: the last of them, where there was nothing left to train.
    loss: the last finite loss in nats of the replica that went last, or None.
    grad_norm: at its first value that is not finite.
    checkpoint: the newest step that was saved, or None.
  """

  def __init__(self, steps: Sequence[int], loss: float | None,
               grad_norm: float, checkpoint: int | None):
    self.steps, self.step = tuple(steps), max(steps)
    self.loss, self.grad_norm = loss, grad_norm
    self.checkpoint = checkpoint
    who = ('' if len(self.steps) == 1
           else f'all {len(self.steps)} replicas diverged, the last of them ')
    last = 'there was none' if loss is None else f'{loss:.4f} nats'
    kept = ('there is no checkpoint before it' if checkpoint is None
            else f'the last good checkpoint is that of step {checkpoint}')
    super().__init__(
      f'{who}diverged at step {self.step}: last finite loss {last}, gradient '
      f'norm {grad_norm:g}; {kept}. Lower --config.train.learning_rate or '
      'lengthen --config.train.warmup_fraction')


class Divergence:
  """Watches the metrics of all replicas, and says when none is left."""

  def __init__(self, diverged_R: np.ndarray) -> None:
    """Starts from what a state says: the step of each, or ALIVE."""
    self._steps_R = np.array(diverged_R)
    self._loss_R = np.full(len(self._steps_R), np.nan)  # the last finite ones

  def check(self, start: int, loss_KR: np.ndarray, grad_norm_KR: np.ndarray,
            checkpoint: Callable[[], int | None]) -> None:
    """Looks at the metrics of the K steps from `start`.

    Args:
      start: the first of the steps.
      loss_KR: nats.
      grad_norm_KR: of the gradient.
      checkpoint: says which step was saved last.

    Raises:
      Diverged: no replica is left that met finite values alone.
    """
    finite_KR = np.isfinite(loss_KR) & np.isfinite(grad_norm_KR)
    for r in np.flatnonzero(self._steps_R == ALIVE):
      good = int(np.append(finite_KR[:, r], False).argmin())
      if good:
        self._loss_R[r] = loss_KR[good - 1, r]
      if good < len(finite_KR):
        self._steps_R[r] = start + good
    if (self._steps_R == ALIVE).any():
      return
    last = int(self._steps_R.argmax())
    loss = float(self._loss_R[last])
    raise Diverged(self._steps_R.tolist(), None if np.isnan(loss) else loss,
                   float(grad_norm_KR[self._steps_R[last] - start, last]),
                   checkpoint())
