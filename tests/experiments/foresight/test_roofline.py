import pytest

from experiments.foresight import roofline
from experiments.machine import accelerators


def test_a_roofline_is_bound_by_the_slowest_part():
  v5e = accelerators.find('TPU v5 lite')
  # One second of products, half of memory, a quarter of links.
  roof = roofline.estimate(v5e, 'bfloat16', v5e.bfloat16,
                           v5e.memory_bandwidth / 2, v5e.link_bandwidth / 4)
  assert (roof.bound, roof.fastest, roof.slowest) == ('compute', 1.0, 1.75)
  assert roof.mfu(roof.fastest) == 1.0
  assert roof.mfu(roof.slowest) == pytest.approx(1 / 1.75)


def test_a_card_without_links_talks_over_pcie():
  card = accelerators.find('NVIDIA L4')
  roof = roofline.estimate(card, 'bfloat16', 1, 1, 32e9)
  assert roof.network == 1.0
  assert roof.bound == 'network'
