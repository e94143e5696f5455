"""The platform that a run asks for, and no other in silence."""

import os
import threading
import time

MISSING = 3  # exit code


class DeviceError(Exception):
  """The platform that was asked for, or its compiler, is not there."""


def claim(platform: str) -> None:
  """Tells JAX the platform before it looks for devices."""
  if platform != 'auto':
    import jax
    jax.config.update('jax_platforms', {'gpu': 'cuda'}.get(platform, platform))


def check(platform: str) -> None:
  """Raises DeviceError where the platform that was asked for is not there."""
  import jax
  asked = f'--config.mesh.platform={platform}'
  try:
    found = jax.default_backend()
  except (RuntimeError, AssertionError):  # JAX has both, for plug-ins alone
    found = 'none of that kind'
    if platform == 'auto':
      asked = f'JAX_PLATFORMS={os.environ.get("JAX_PLATFORMS", "")}'
  else:
    if platform in ('auto', found):
      return
  extra = 'tpu' if 'tpu' in asked else 'cuda13'
  raise DeviceError(f'{asked}: JAX found {found}; install the extra for it '
                    f'(make EXTRAS={extra}) or use another platform')


def end_with(parent: int) -> None:
  """Ends this process when the one that started it is gone, even by SIGKILL."""

  def watch() -> None:
    while os.getppid() == parent:
      time.sleep(0.5)
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()
