import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from model.config import ConfigError
from train import placement
from train.config import MeshConfig


def test_an_axis_once_used_is_spent():
  assert placement.spec('BTD') == P(('data', 'fsdp'), 'tensor', None)
  assert placement.spec('BTF') == P(('data', 'fsdp'), None, 'tensor')
  assert placement.spec('BTHK') == P(('data', 'fsdp'), None, 'tensor', None)
  assert placement.spec('DF') == P('fsdp', 'tensor')
  assert placement.spec('WDD') == P(None, 'fsdp', None)
  assert placement.spec('HKD') == P('tensor', None, 'fsdp')


def test_a_wild_axis_takes_what_is_left():
  built = placement.make_mesh(MeshConfig(replica=1, data=-1, tensor=2))
  assert dict(built.shape) == {'replica': 1, 'data': 4, 'fsdp': 1, 'tensor': 2}


@pytest.mark.parametrize(('replicas', 'devices'), [(1, 1), (6, 2), (16, 8)])
def test_replica_axis_never_outgrows_the_replicas(replicas, devices):
  built = placement.make_mesh(MeshConfig(), replicas=replicas)
  assert built.shape['replica'] == devices


def test_too_few_devices_is_one_clear_message():
  with pytest.raises(ConfigError, match='needs 16 devices and there are 8'):
    placement.make_mesh(MeshConfig(replica=1, data=16))


def test_two_wild_axes_are_refused():
  with pytest.raises(ConfigError, match=r'mesh\.data: only one axis'):
    placement.make_mesh(MeshConfig(replica=-1, data=-1))


def test_parameters_and_moments_share_a_layout():
  built = placement.make_mesh(MeshConfig(replica=2, fsdp=2, tensor=2),
                              replicas=2)
  shape = jax.ShapeDtypeStruct((2, 3, 8, 16), jnp.float32)
  tree = {'stack': {'w_up_DF': shape}, 'moments': ({'w_up_DF': shape},),
          'count': jax.ShapeDtypeStruct((2,), jnp.int32)}
  found = placement.shardings(tree, built)
  assert found['stack']['w_up_DF'].spec == P('replica', None, 'fsdp', 'tensor')
  assert (found['moments'][0]['w_up_DF'].spec
          == found['stack']['w_up_DF'].spec)
  assert found['count'].spec == P('replica')


def test_parameters_of_one_model_lie_as_those_of_replicas_do():
  built = placement.make_mesh(MeshConfig(replica=1, fsdp=2, tensor=4))
  one = {'stack': {'w_up_DF': jax.ShapeDtypeStruct((3, 8, 16), jnp.float32)},
         'norm': {'scale_D': jax.ShapeDtypeStruct((8,), jnp.float32)},
         'w_k_DGK': jax.ShapeDtypeStruct((8, 3, 2), jnp.float32)}
  replicas = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), one)
  found = placement.parameter_shardings(one, built)
  assert found['stack']['w_up_DF'].spec == P(None, 'fsdp', 'tensor')
  assert found['w_k_DGK'].spec == P('fsdp', None, None)
  for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(
      placement.shardings(replicas, built))):
    assert ours.spec == P(*theirs.spec[1:])


def test_a_dimension_its_axes_do_not_divide_stays_whole():
  built = placement.make_mesh(MeshConfig(replica=1, tensor=8))
  tree = {'w_k_DGK': jax.ShapeDtypeStruct((1, 4, 8, 3, 2), jnp.float32)}
  spec = placement.shardings(tree, built)['w_k_DGK'].spec
  assert spec[3] is None
