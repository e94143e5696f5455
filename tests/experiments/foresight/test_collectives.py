import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.foresight import collectives, hlo, traffic

FLOAT = 4


@pytest.fixture(scope='module')
def mesh():
  return Mesh(jax.devices(), 'd')


def compiled(function, mesh, *shapes, specs):
  structs = [jax.ShapeDtypeStruct(s, jnp.float32,
                                  sharding=NamedSharding(mesh, p))
             for s, p in zip(shapes, specs)]
  return jax.jit(function).lower(*structs).compile()


def sharded(mesh, body, axes='d'):
  return jax.shard_map(body, mesh=mesh, in_specs=P(axes), out_specs=P(axes),
                       check_vma=False)


# Each device holds 1000 floats.
@pytest.mark.parametrize(('kind', 'body', 'payload', 'wire'), [
  ('all-reduce', lambda x: jax.lax.psum(x, 'd'), 1000, 2 * 1000 * 7 / 8),
  ('all-gather', lambda x: jax.lax.all_gather(x, 'd'), 8000, 7000),
  ('reduce-scatter',
   lambda x: jax.lax.psum_scatter(x, 'd', tiled=True), 1000, 1000 * 7 / 8),
  ('all-to-all',
   lambda x: jax.lax.all_to_all(x, 'd', 0, 0, tiled=True), 1000, 1000 * 7 / 8),
  ('collective-permute',
   lambda x: jax.lax.ppermute(x, 'd', [(i, (i + 1) % 8) for i in range(8)]),
   1000, 1000),
])
def test_bytes_of_each_kind_are_those_of_the_arrays(mesh, kind, body, payload,
                                                    wire):
  program = compiled(sharded(mesh, body), mesh, (8000,), specs=[P('d')])
  total = collectives.totals(collectives.read(program.as_text()))
  assert list(total) == [kind]
  assert total[kind].bytes == payload * FLOAT
  assert total[kind].wire_bytes == pytest.approx(wire * FLOAT)


def test_a_collective_in_nested_loops_counts_once_for_each_turn(mesh):
  def inner(x, _):
    return jax.lax.psum(x, 'd') / 8, None

  def outer(x, _):
    x, _ = jax.lax.scan(inner, x, length=5)
    return x * 2, None

  def body(x):
    x, _ = jax.lax.scan(outer, x, length=3)
    return jax.lax.psum(x, 'd')

  program = compiled(sharded(mesh, body), mesh, (8000,), specs=[P('d')])
  reductions = collectives.read(program.as_text())
  assert sorted(c.times for c in reductions) == [1, 15]
  assert {c.group for c in reductions} == {8}
  total = collectives.totals(reductions)['all-reduce']
  assert (total.times, total.bytes) == (16, 16 * 1000 * FLOAT)


def test_a_loop_whose_length_is_an_input_runs_as_often_as_it_is_told(mesh):
  @functools.partial(jax.jit)
  def run(x, count):
    return jax.lax.fori_loop(
      0, count, lambda _, x: sharded(mesh, lambda x: jax.lax.psum(x, 'd'))(x),
      x)

  x = jax.ShapeDtypeStruct((8000,), jnp.float32,
                           sharding=NamedSharding(mesh, P('d')))
  text = run.lower(x, jax.ShapeDtypeStruct((), jnp.int32)).compile().as_text()
  assert [c.times for c in collectives.read(text)] == [1]
  assert [c.times for c in collectives.read(text, 50)] == [50]
  per_step = collectives.totals(collectives.read(text, 50), 50)['all-reduce']
  assert (per_step.times, per_step.bytes) == (1, 1000 * FLOAT)


def test_groups_smaller_than_all_devices_are_seen():
  mesh = Mesh([[jax.devices()[2 * i + j] for j in range(2)] for i in range(4)],
              ('a', 'b'))
  for axes, size in (('a', 4), ('b', 2), (('a', 'b'), 8)):
    program = compiled(
      sharded(mesh, lambda x, axes=axes: jax.lax.psum(x, axes), ('a', 'b')),
      mesh, (8000,), specs=[P(('a', 'b'))])
    assert [c.group for c in collectives.read(program.as_text())] == [size]


# The ways in which compilers write who takes part.
@pytest.mark.parametrize(('text', 'size'), [
  ('replica_groups={{0,1,2},{3,4,5}}, use', 3),
  ('replica_groups=[2,4]<=[8], dimensions={0}', 4),
  ('replica_groups=[4,2]<=[2,4]T(1,0), dimensions={0}', 2),
  ("replica_groups=mesh['x'=1,'y'=2,'z'=4] {'y','z'}, use", 8),
  ("replica_groups=mesh['x'=2,'y'=4], device_ids=([4,2]T(1,0)) {'y'}, use", 4),
  ("replica_groups=mesh['x'=8] {'x':(2)4}, use", 4),
  ('replica_groups={}, to_apply=%add', 16),
  ('source_target_pairs={{0,1},{1,0}}', 2),
  ('source_target_pairs={{0,0},{1,1}}', 1),
])
def test_group_size(text, size):
  instruction = hlo.Instruction('x', 'f32[4]', 'all-reduce', (), '', text)
  assert collectives.group_size(instruction, hlo.Module({}, '', 16)) == size


# Shortened from what the compiler of libtpu 0.0.42 prints: no trip count but
# in the condition, a gather cut into a chain of fusions, a reduce-scatter
# written as an all-reduce whose fusion keeps a slice.
TPU = '''\
HloModule jit_step, is_scheduled=true, num_partitions=4

%start (p.0: bf16[1,128]) -> bf16[4,128] {
  %p.0 = bf16[1,128]{1,0:T(8,128)(2,1)} parameter(0)
  %all-gather.1 = bf16[4,128]{1,0:T(8,128)(2,1)} all-gather(%p.0), \
channel_id=7, replica_groups=[1,4]<=[4], frontend_attributes={chain_id="0"}
  ROOT %c.1 = bf16[4,128]{1,0} custom-call(%all-gather.1), \
custom_call_target="AsyncCollectiveStart"
}

%middle (p.1: bf16[1,128]) -> bf16[4,128] {
  %p.1 = bf16[1,128]{1,0:T(8,128)(2,1)} parameter(0)
  ROOT %all-gather.2 = bf16[4,128]{1,0:T(8,128)(2,1)} all-gather(%p.1), \
channel_id=7, replica_groups=[1,4]<=[4], frontend_attributes={chain_id="0"}
}

%all-reduce-scatter.3 (p.2: f32[8,256]) -> f32[2,256] {
  %p.2 = f32[8,256]{1,0:T(8,128)} parameter(0)
  %all-reduce.1 = f32[8,256]{1,0:T(8,128)S(1)} all-reduce(%p.2), \
replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %s = f32[2,256]{1,0:T(8,128)S(1)} slice(%all-reduce.1), slice={[0:2]}
}

%condition (c: (s32[], bf16[1,128], f32[8,256])) -> pred[] {
  %c = (s32[]{:T(128)}, bf16[1,128]{1,0}, /*index=2*/f32[8,256]{1,0}) \
parameter(0)
  %limit = s32[]{:T(128)} constant(6)
  %i = s32[]{:T(128)} get-tuple-element(%c), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i, %limit), direction=LT
}

%body (b: (s32[], bf16[1,128], f32[8,256])) -> \
(s32[], bf16[1,128], f32[8,256]) {
  %b = (s32[]{:T(128)}, bf16[1,128]{1,0}, /*index=2*/f32[8,256]{1,0}) \
parameter(0)
  %x = bf16[1,128]{1,0} get-tuple-element(%b), index=1
  %y = f32[8,256]{1,0} get-tuple-element(%b), index=2
  %f.0 = bf16[4,128]{1,0} fusion(%x), kind=kCustom, calls=%start
  %f.1 = bf16[4,128]{1,0} fusion(%x), kind=kCustom, calls=%middle
  %f.2 = f32[2,256]{1,0:S(1)} fusion(%y), kind=kCustom, \
calls=%all-reduce-scatter.3
  ROOT %t = (s32[], bf16[1,128], f32[8,256]) tuple(%x, %y)
}

ENTRY %main (p: (s32[], bf16[1,128], f32[8,256])) -> s32[] {
  %p = (s32[], bf16[1,128], f32[8,256]) parameter(0)
  %w = (s32[]{:T(128)}, bf16[1,128]{1,0}, /*index=2*/f32[8,256]{1,0}) \
while(%p), condition=%condition, body=%body
  ROOT %r = s32[] get-tuple-element(%w), index=0
}
'''


def test_the_tpus_way_of_writing_is_read():
  total = collectives.totals(collectives.read(TPU))
  assert set(total) == {'all-gather', 'reduce-scatter'}
  assert total['all-gather'] == (6, 6 * 4 * 128 * 2, 6 * 3 * 128 * 2)
  assert total['reduce-scatter'] == (6, 6 * 8 * 256 * 4, 6 * 6 * 256 * 4)


def test_what_stays_in_a_tpus_vmem_is_no_traffic():
  # Six turns, each three fusions: reads of x, x, y; writes of two gathers.
  turn = 2 * 128 * 2 + 8 * 256 * 4 + 2 * (4 * 128 * 2)
  assert traffic.main_memory_bytes(TPU) == 6 * turn


# As libtpu 0.0.42 fetches two slices of an array, and a whole one, into VMEM.
FETCHED = '''\
HloModule jit_step, is_scheduled=true

ENTRY %main (p: s8[64], q: f32[8]) -> f32[8] {
  %p = s8[64]{0:T(1024)} parameter(0)
  %q = f32[8]{0:T(128)} parameter(1)
  %room = f32[8]{0:T(128)} custom-call(), custom_call_target="AllocateBuffer"
  %s.0 = ((s8[64]{0:T(1024)}), s8[16]{0:T(1024)S(1)}, s32[]{:S(2)}) \
slice-start(%p), slice={[0:16]}
  %d.0 = s8[16]{0:T(1024)S(1)} slice-done(%s.0)
  %s.1 = ((s8[64]{0:T(1024)}), s8[32]{0:T(1024)S(1)}, s32[]{:S(2)}) \
slice-start(%p), slice={[16:48]}
  %d.1 = s8[32]{0:T(1024)S(1)} slice-done(%s.1)
  %both = s8[48]{0:T(1024)S(1)} custom-call(%d.0, %d.1), \
custom_call_target="ConcatBitcast"
  %c = (f32[8]{0:T(128)S(1)}, f32[8]{0:T(128)}, u32[]{:S(2)}) copy-start(%q)
  %d = f32[8]{0:T(128)S(1)} copy-done(%c)
  ROOT %y = f32[8]{0:T(128)} fusion(%d, %both), kind=kLoop, calls=%sum
}

%sum (a: f32[8], b: s8[48]) -> f32[8] {
  %a = f32[8]{0:T(128)S(1)} parameter(0)
  %b = s8[48]{0:T(1024)S(1)} parameter(1)
  ROOT %add = f32[8]{0:T(128)} add(%a, %a)
}
'''


def test_what_is_fetched_into_vmem_is_read_once():
  slices, whole, result = 16 + 32, 8 * 4, 8 * 4
  assert traffic.main_memory_bytes(FETCHED) == slices + whole + result


def test_sums_that_start_together_are_read_and_written():
  text = '''\
HloModule jit_step, is_scheduled=true

ENTRY %main (p: f32[100], q: f32[50]) -> f32[50] {
  %p = f32[100]{0} parameter(0)
  %q = f32[50]{0} parameter(1)
  %s = (f32[100]{0}, f32[50]{0}) all-reduce-start(%p, %q), to_apply=%add
  %d = (f32[100]{0}, f32[50]{0}) all-reduce-done(%s)
  ROOT %r = f32[50]{0} get-tuple-element(%d), index=1
}
'''
  assert traffic.main_memory_bytes(text) == 2 * 150 * 4


@pytest.mark.parametrize(('shape', 'size'), [
  ('f32[2,3]{1,0}', 24), ('bf16[]', 2), ('pred[7]{0}', 7), ('s4[3]{0}', 2),
  ('(f32[2]{0}, (u8[5]{0}, token[]))', 13), ('f8e4m3fn[8,8]{1,0}', 64),
  ('c64[2]{0}', 16), ('f32[<=4]{0}', 16),
])
def test_size_of_a_shape(shape, size):
  assert hlo.size(shape) == size


def test_traffic_agrees_with_xlas_own_count_where_there_is_no_loop(mesh):
  def layers(x, w, v):
    for _ in range(3):
      x = jnp.tanh(x @ w) @ v
    return x, (x ** 2).sum()

  program = compiled(layers, mesh, (256, 128), (128, 512), (512, 128),
                     specs=[P(), P(), P()])
  ours = traffic.main_memory_bytes(program.as_text())
  assert ours == pytest.approx(program.cost_analysis()['bytes accessed'],
                               rel=0.1)


def test_traffic_of_a_scan_grows_with_its_length_and_slices_cost_slices(mesh):
  def run(x, w_NDD):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w_NDD)[0]

  def moved(n):
    program = compiled(run, mesh, (16, 128), (n, 128, 128), specs=[P(), P()])
    return traffic.main_memory_bytes(program.as_text())

  layer = (moved(40) - moved(20)) / 20
  # A layer's weights, out of the stack and into the product; not the stack.
  assert 128 * 128 * FLOAT <= layer <= 6 * 128 * 128 * FLOAT


def test_text_that_is_no_program_is_refused():
  with pytest.raises(ValueError, match='no ENTRY'):
    collectives.read('hello\n')
