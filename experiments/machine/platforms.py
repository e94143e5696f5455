"""The platform that a run asks for, and no other in silence."""

import os

from experiments.machine.usage import DeviceError


def claim(platform: str) -> None:
  """Tells JAX the platform before it looks for devices."""
  if platform != 'auto':
    import jax
    jax.config.update('jax_platforms', {'gpu': 'cuda'}.get(platform, platform))


def check(platform: str) -> None:
  """Raises DeviceError where the platform that was asked for is not there."""
  import jax
  request = f'--config.mesh.platform={platform}'
  try:
    backend = jax.default_backend()
  except (RuntimeError, AssertionError):  # JAX has both, for plug-ins alone
    backend = 'none of that kind'
    if platform == 'auto':
      request = f'JAX_PLATFORMS={os.environ.get("JAX_PLATFORMS", "")}'
  else:
    if platform in ('auto', backend):
      return
  extra = 'tpu' if 'tpu' in request else 'cuda13'
  raise DeviceError(f'{request}: JAX found {backend}; install the extra for it '
                    f"(pip install -e '.[{extra}]') or use another platform")
