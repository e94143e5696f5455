"""The one mesh, and the one table that lays arrays out on it.

Every array's name ends in its dimensions (`model/dims.py`), so where it lives
is a function of its name: each letter asks for mesh axes, the letters in the
order of the table, equal ones left to right, and an axis once used is spent.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from model import Layout, dims
from model.config import ConfigError
from model.layout import Letters
from train.config import MeshConfig

AXES = ('replica', 'data', 'fsdp', 'tensor')

MESH_AXES: dict[str, tuple[str, ...]] = {
  'R': ('replica',),
  'B': ('data', 'fsdp'),
  'D': ('fsdp',),
  'H': ('tensor',),
  'G': ('tensor',),
  'F': ('tensor',),
  'V': ('tensor',),
  # Last, so that positions are split only where nothing else takes `tensor`:
  # the residual stream between the blocks (Korthikanti et al., 2022).
  'T': ('tensor',),
}


def sizes(config: MeshConfig, devices: int,
          replicas: int = 1) -> dict[str, int]:
  """Devices along each axis of the mesh.

  The replica axis takes what is left over, but never more than divides the
  number of replicas: devices that no replica could use stay out.

  Raises:
    ConfigError: the axes ask for more devices than there are.
  """
  lengths = {axis: getattr(config, axis) for axis in AXES}
  for axis, size in lengths.items():
    if size < 1 and size != -1:
      raise ConfigError(f'mesh.{axis}: {size} must be at least 1, or -1 for '
                        'what the other axes leave')
  wild = [axis for axis, size in lengths.items() if size == -1]
  if len(wild) > 1:
    raise ConfigError(f'mesh.{wild[1]}: only one axis can be -1, and '
                      f'mesh.{wild[0]} is already; set mesh.{wild[0]}=1')
  fixed = math.prod(size for size in lengths.values() if size != -1)
  if fixed > devices:
    raise ConfigError(_too_large(lengths, fixed, devices))
  for axis in wild:
    left = devices // fixed
    lengths[axis] = math.gcd(left, replicas) if axis == 'replica' else left
  if replicas % lengths['replica']:
    raise ConfigError(f'mesh.replica: {lengths["replica"]} does not divide the '
                      f'{replicas} replicas trained together; use '
                      f'{math.gcd(lengths["replica"], replicas)}')
  return lengths


def _too_large(lengths: dict[str, int], fixed: int, devices: int) -> str:
  words = ' '.join(f'{a}={n}' for a, n in lengths.items())
  widest = max(lengths, key=lambda axis: lengths[axis])
  room = devices // (fixed // lengths[widest])
  fix = (f'use mesh.{widest}={room} or less' if room
         else 'lower more than one axis')
  return f'mesh: {words} needs {fixed} devices and there are {devices}; {fix}'


def make_mesh(config: MeshConfig,
              devices: Sequence[jax.Device] | None = None,
              replicas: int = 1) -> Mesh:
  """Builds the mesh over `devices` (all of them when not given).

  Raises:
    ConfigError: see `sizes`.
  """
  devices = list(jax.devices() if devices is None else devices)
  shape = tuple(sizes(config, len(devices), replicas).values())
  chosen = np.array(devices[:math.prod(shape)]).reshape(shape)
  return Mesh(chosen, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def spec(letters: Letters, gone: Sequence[str] = ()) -> PartitionSpec:
  """The partition of an array whose dimensions are `letters`.

  >>> spec('BTD')
  PartitionSpec(('data', 'fsdp'), 'tensor', None)

  Args:
    letters: one for each dimension.
    gone: axes of the mesh that are spent already.
  """
  spent = set(gone)
  parts: list[Any] = [None] * len(letters)
  for letter, own_axes in MESH_AXES.items():
    for place, own in enumerate(letters):
      axes = tuple(axis for axis in own_axes if axis not in spent)
      if own == letter and axes:
        spent.update(axes)
        parts[place] = axes if len(axes) > 1 else axes[0]
  return PartitionSpec(*parts)


@dataclasses.dataclass(frozen=True)
class Split(Layout):
  """The model's arrays, split over a mesh.

  Inside a `vmap` over replicas with `spmd_axis_name`, which adds R.
  """

  mesh: Mesh
  # Axes over which what is computed is split already, by a `vmap` of each.
  spent: tuple[str, ...] = ()

  def constrain(self, x: jax.Array, letters: Letters,
                gradient: Letters = ()) -> jax.Array:
    """Pins an activation, and its gradient, to what their letters ask for."""
    def pin(letters: Letters, x: jax.Array) -> jax.Array:
      return jax.lax.with_sharding_constraint(
        x, NamedSharding(self.mesh, self._spec(letters, x.shape)))

    if not gradient:
      return pin(letters, x)
    both = jax.custom_vjp(functools.partial(pin, letters))
    both.defvjp(lambda x: (pin(letters, x), None),
                lambda _, dx: (pin(gradient, dx),))
    return both(x)

  def parts(self, letter: str, size: int) -> int:
    """Into how many parts an axis of this letter and size is split."""
    axes = self._spec(letter, (size,))[0]
    return math.prod(self.mesh.shape[axis] for axis in _names(axes))

  def local(self, function: Callable[..., jax.Array],
            letters_in: Sequence[Letters],
            letters_out: Letters) -> Callable[..., jax.Array]:
    """A function that runs on each device's own part of its arguments."""
    def run(*arrays: jax.Array) -> jax.Array:
      return jax.shard_map(
        function, mesh=self.mesh, out_specs=spec(letters_out, self.spent),
        in_specs=tuple(spec(letters, self.spent) for letters in letters_in),
        check_vma=False)(*arrays)  # kernels do not say over what they vary

    return run

  def parameters(self, tree: Any) -> Any:
    """Pins a tree of parameters, or gradients, to where their keys belong."""
    def place(path: Any, leaf: jax.Array) -> jax.Array:
      letters = dims.letters(_key(path))
      stacked = leaf.ndim - len(letters)
      return self.constrain(leaf, (*('N',) * stacked, *letters))

    return jax.tree_util.tree_map_with_path(place, tree)

  def summed(self, function: Callable[[Layout, Any], Any], batch: Any) -> Any:
    """Sums a function of some examples over all, over `data` only once."""
    axis, shares = 'data', self.mesh.shape['data']
    if shares == 1:
      return function(self, batch)
    share = dataclasses.replace(self, spent=(*self.spent, axis))
    split = jax.tree.map(lambda x: x.reshape(shares, -1, *x.shape[1:]), batch)
    parts = jax.vmap(functools.partial(function, share),
                     spmd_axis_name=axis)(split)
    return jax.tree.map(lambda x: x.sum(0), parts)

  def _spec(self, letters: Letters, shape: Sequence[int]) -> PartitionSpec:
    return _divisible(spec(letters, self.spent), shape, self.mesh)


def layout(mesh: Mesh) -> Layout:
  """Where a model's arrays live on this mesh."""
  return Split(mesh) if mesh.size > 1 else Layout()


def shardings(tree: Any, mesh: Mesh) -> Any:
  """Shardings for a tree whose arrays all lead with the replica axis R.

  Works for parameters and for anything shaped like them: the optimizer's
  moments carry the same keys, so they land beside their parameters (a bare
  `jit(tx.init)` would silently replicate them).
  """
  def of_leaf(path: Any, leaf: Any) -> NamedSharding:
    ndim = len(leaf.shape)
    letters = dims.letters(_key(path))
    if ndim <= len(letters):  # not a parameter: a counter or a flag per replica
      letters = ''
    extra = ndim - len(letters)
    leading = ('R', *('N',) * (extra - 1)) if extra else ()
    partition = spec((*leading, *letters))
    return NamedSharding(mesh, _divisible(partition, leaf.shape, mesh))

  return jax.tree_util.tree_map_with_path(of_leaf, tree)


def parameter_shardings(tree: Any, mesh: Mesh) -> Any:
  """Shardings for the parameters of one model, without a replica axis.

  Args:
    tree: arrays, or their `jax.ShapeDtypeStruct`s; those of the stack lead
      with N.
    mesh: where they are to live.
  """
  def of_leaf(path: Any, leaf: Any) -> NamedSharding:
    letters = dims.letters(_key(path))
    stacked = ('N',) * (len(leaf.shape) - len(letters))
    partition = spec((*stacked, *letters))
    return NamedSharding(mesh, _divisible(partition, leaf.shape, mesh))

  return jax.tree_util.tree_map_with_path(of_leaf, tree)


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding of a value that every device holds whole."""
  return NamedSharding(mesh, PartitionSpec())


def _key(path: Any) -> str:
  """The innermost dict key of a path, which names the array's dimensions."""
  return next((e.key for e in reversed(path)
               if isinstance(e, jax.tree_util.DictKey)), '')


def _names(axes: Any) -> tuple[str, ...]:
  """The mesh axes in one entry of a partition."""
  return axes if isinstance(axes, tuple) else (axes,) if axes else ()


def _divisible(partition: PartitionSpec, shape: Sequence[int],
               mesh: Mesh) -> PartitionSpec:
  """Leaves whole each dimension that its mesh axes do not divide.

  Sizes for which that would waste devices do not come here: see
  `train/fitting.py`.
  """
  def fits(axes: Any, size: int) -> bool:
    return size % math.prod(mesh.shape[n] for n in _names(axes)) == 0

  return PartitionSpec(*(axes if axes and fits(axes, size) else None
                         for axes, size in zip(partition, shape)))
