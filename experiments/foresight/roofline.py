"""The least time a step can take on a device (Williams et al., 2009)."""

import dataclasses

from experiments.machine.accelerators import Accelerator


@dataclasses.dataclass(frozen=True)
class Roofline:
  """Seconds that a step needs at least for each kind of work, per device.

  Attributes:
    compute: FLOPs over the peak of the matrix unit.
    memory: bytes over the bandwidth of main memory.
    network: bytes sent over the bandwidth of all links together.
    flops: the model's, not those of recomputed layers.
    peak: FLOP/s.
  """

  compute: float
  memory: float
  network: float
  flops: float
  peak: float

  @property
  def bound(self) -> str:
    """What takes longest."""
    return max(('compute', 'memory', 'network'), key=lambda k: getattr(self, k))

  @property
  def fastest(self) -> float:
    """Seconds of a step in which everything overlaps."""
    return max(self.compute, self.memory, self.network)

  @property
  def slowest(self) -> float:
    """Seconds of a step in which nothing overlaps."""
    return self.compute + self.memory + self.network

  def mfu(self, seconds: float) -> float:
    """Model FLOPs utilisation (Chowdhery et al., 2022) of such a step."""
    return self.flops / seconds / self.peak


def estimate(accelerator: Accelerator, dtype: str, flops: float,
             memory_bytes: float, wire_bytes: float) -> Roofline:
  """The roofline of one step on one device.

  Args:
    accelerator: its peaks.
    dtype: of the products.
    flops: of the model, on this device.
    memory_bytes: read from and written to main memory.
    wire_bytes: sent to other devices.
  """
  peak = getattr(accelerator, dtype)
  # A device without links of its own talks over PCIe 4.0: 32 GB/s one way.
  links = accelerator.link_bandwidth or 32e9
  return Roofline(flops / peak, memory_bytes / accelerator.memory_bandwidth,
                  wire_bytes / links, flops, peak)
