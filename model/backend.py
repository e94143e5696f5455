"""Which kind of device the model is being traced for.

A few places choose the form that is fastest on one kind of device. They ask
here, since the device a program is compiled for need not be in this machine.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_absent: contextvars.ContextVar[str] = contextvars.ContextVar(
  'absent', default='')


def platform() -> str:
  """'cpu', 'gpu' or 'tpu'."""
  return _absent.get() or jax.default_backend()


@contextlib.contextmanager
def compiling_for(absent: str) -> Iterator[None]:
  """Traces for a platform that is not there: 'tpu' on a CPU machine.

  JAX remembers what it traced and does not know of this, so a function that
  was traced for one platform must not be traced again for another.
  """
  token = _absent.set(absent)
  try:
    yield
  finally:
    _absent.reset(token)
