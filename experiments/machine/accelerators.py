"""What accelerators can do at best, by the name that JAX reports.

Peaks are of dense matrix products, per device as JAX counts them. Where a
vendor gives a link's two directions together, half of it is noted, since a
device sends while it receives. What is not in the table is measured.
"""

import dataclasses
import functools
import re
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments.machine.usage import choose

REPEATS = 5


@dataclasses.dataclass(frozen=True)
class Accelerator:
  """One kind of device.

  Attributes:
    name: for people.
    kinds: a pattern for the whole of `jax.Device.device_kind`.
    bfloat16: peak FLOP/s with bfloat16 operands and float32 sums.
    float32: peak FLOP/s of a product of float32 arrays as JAX computes it by
      default: in bfloat16 on a TPU, in TF32 on a GPU.
    memory_bytes: of HBM, or of the card's memory.
    memory_bandwidth: bytes per second.
    link_bandwidth: bytes per second that a device can send to its peers, over
      all its links together; 0: none but PCIe.
  """

  name: str
  kinds: str
  bfloat16: float
  float32: float
  memory_bytes: int
  memory_bandwidth: float
  link_bandwidth: float


def _tpu(name: str, kinds: str, teraflops: float, gibibytes: float,
         memory: float, links: float) -> Accelerator:
  return Accelerator(name, kinds, teraflops * 1e12, teraflops * 1e12,
                     round(gibibytes * 2**30), memory * 1e9, links * 1e9)


def _gpu(name: str, kinds: str, teraflops: float, tf32: float, gigabytes: float,
         memory: float, links: float) -> Accelerator:
  return Accelerator(name, kinds, teraflops * 1e12, tf32 * 1e12,
                     round(gigabytes * 1e9), memory * 1e9, links * 1e9)


# TPUs: bf16 TFLOP/s, GiB, GB/s of memory, GB/s sent over the chip's links.
# GPUs: bf16 and TF32 TFLOP/s (without sparsity), GB, GB/s, GB/s over NVLink.
ACCELERATORS = (
  # Cloud TPU documentation, "TPU v3" and "TPU v4" (2024). A v3 chip is two
  # devices: 123 TFLOP/s, 32 GiB, 900 GB/s, 656 Gb/s on each of 4 links.
  _tpu('TPU v3', 'TPU v3', 61.5, 16, 450, 164),
  _tpu('TPU v4', 'TPU v4', 275, 32, 1228, 300),
  # Cloud TPU documentation, "TPU v5e", "v5p", "v6e" (2025): links of 400,
  # 1200 and 800 GB/s in both directions.
  _tpu('TPU v5e', 'TPU v5 lite|TPU v5e', 197, 16, 819, 200),
  _tpu('TPU v5p', 'TPU v5p?', 459, 95, 2765, 600),
  _tpu('TPU v6e', 'TPU v6 lite|TPU v6e', 918, 32, 1638, 400),
  # NVIDIA A100 data sheet (2021).
  _gpu('A100 40 GB', 'NVIDIA A100-(SXM4|PCIE)-40GB', 312, 156, 40, 1555, 300),
  _gpu('A100 80 GB', 'NVIDIA A100-SXM4-80GB', 312, 156, 80, 2039, 300),
  _gpu('A100 80 GB PCIe', 'NVIDIA A100 80GB PCIe', 312, 156, 80, 1935, 300),
  # NVIDIA H100 data sheet (2023); its FLOP/s are with sparsity, twice these.
  _gpu('H100', 'NVIDIA H100 80GB HBM3', 989.4, 494.7, 80, 3350, 450),
  _gpu('H100 PCIe', 'NVIDIA H100 PCIe', 756, 378, 80, 2000, 300),
  _gpu('H100 NVL', 'NVIDIA H100 NVL', 835, 417.5, 94, 3900, 300),
  # NVIDIA GH200 data sheet (2023): the one with 96 GB of HBM3.
  _gpu('GH200', 'NVIDIA GH200 480GB', 989.4, 494.7, 96, 4000, 450),
  # NVIDIA H200 data sheet (2024).
  _gpu('H200', 'NVIDIA H200', 989.4, 494.7, 141, 4800, 450),
  # NVIDIA HGX data sheet (2025): eight B200 have 36 PFLOP/s with sparsity,
  # 1.44 TB, 64 TB/s less what ECC takes.
  _gpu('B200', 'NVIDIA B200', 2250, 1125, 180, 7700, 900),
  # NVIDIA L4 (2023), L40S (2023) and A10 (2021) data sheets.
  _gpu('L4', 'NVIDIA L4', 121, 60, 24, 300, 0),
  _gpu('L40S', 'NVIDIA L40S', 362, 183, 48, 864, 0),
  _gpu('A10', 'NVIDIA A10', 125, 62.5, 24, 600, 0),
  # NVIDIA Ada (2022) and Ampere GA102 (2020) white papers: FP16 with FP32
  # accumulate.
  _gpu('RTX 4090', 'NVIDIA GeForce RTX 4090', 165.2, 82.6, 24, 1008, 0),
  _gpu('RTX 3090', 'NVIDIA GeForce RTX 3090', 71, 35.6, 24, 936, 0),
)


def named(text: str) -> Accelerator:
  """The accelerator that a person calls `h100`, `v5e` or `a100-40gb`.

  Of several that share the beginning of a name, the one of most memory and
  bandwidth: `a100` has 80 GB.

  Raises:
    UsageError: there is none; the message lists them.
  """
  known = {_short(a.name): a for a in ACCELERATORS}
  short = _short(text)
  kin = [a for name, a in known.items() if name.startswith(f'{short}-')]
  if short not in known and kin:
    return max(kin, key=lambda a: (a.memory_bytes, a.memory_bandwidth))
  choose('device', short, tuple(known))
  return known[short]


def _short(name: str) -> str:
  """'A100 40 GB' → 'a100-40gb', 'TPU v5e' → 'v5e'."""
  lower = re.sub(r'^(tpu|nvidia)[ -]', '', name.strip().lower())
  return re.sub(r'[ _]', '-', re.sub(r'[ -]gb\b', 'gb', lower))


def find(kind: str) -> Accelerator | None:
  """The accelerator that reports itself as `kind`, or None."""
  for accelerator in ACCELERATORS:
    if re.fullmatch(accelerator.kinds, kind, re.IGNORECASE):
      return accelerator
  return None


def peak_flops(device: jax.Device, dtype: str) -> float | None:
  """FLOP/s of a device at best, or None when it is not in the table.

  Args:
    device: one of `jax.devices()`.
    dtype: of the products: 'bfloat16' or 'float32'.
  """
  accelerator = find(device.device_kind)
  return getattr(accelerator, dtype) if accelerator else None


def measured_flops(size: int = 2048, dtype: str = 'float32') -> float:
  """FLOP/s of a large matrix product on the default device, here and now.

  A ceiling for devices that no data sheet covers, CPUs above all. Median of
  `REPEATS` products with float32 sums.
  """
  a = jax.random.normal(jax.random.key(0), (size, size), dtype)
  product = jax.jit(functools.partial(
    jnp.dot, preferred_element_type=jnp.float32))
  product(a, a).block_until_ready()
  times = []
  for _ in range(REPEATS):
    start = time.perf_counter()
    product(a, a).block_until_ready()
    times.append(time.perf_counter() - start)
  return 2 * size**3 / float(np.median(times))
