"""Shows a fault of oneDNN in plain torch: the weight gradient of strided 1x1 convolutions, channels last, AVX2.

Prints a table of input channels x threads. A cell is the difference of the gradient from the one without oneDNN, or the
signal that ended the process. `engine/layout.py` keeps such layers out of channels last. That can go when this table
holds only zeros for every version of torch that pyproject.toml allows.

    python bench/onednn_strided_1x1.py            this processor
    ONEDNN_MAX_CPU_ISA=AVX2 python bench/onednn_strided_1x1.py    as one without AVX-512

Found with torch 2.15.0 (oneDNN 3.13.3) under ONEDNN_MAX_CPU_ISA=AVX2, largest relative error of 20 passes:

    | input channels |       1 |       2 |       3 |       4 |       5 |       6 |       7 |       8 |      16 |
    |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
    | 1 thread       |       0 | SIGABRT | SIGABRT | SIGSEGV | SIGABRT | SIGABRT |       0 |       0 |       0 |
    | 2 threads      |       0 |   37.5% |   33.5% |   27.1% |    6.1% |       0 |    5.8% |       0 |       0 |

Figures change from run to run, because the kernel reads past the end of a buffer. In another run, 6 channels were 20 %
off.

These were right: no limit on a processor with AVX-512, the contiguous layout, torch.backends.mkldnn.enabled = False, a
stride of 1, kernels of 2x2 and 3x3, groups, and padding. Strides of 3, (1, 2) and (2, 1) fail like 2.
"""

from __future__ import annotations

import signal
import subprocess
import sys

CHANNELS, THREADS, TIMEOUT = (1, 2, 3, 4, 5, 6, 7, 8, 16), (1, 2), 120

REPRODUCER = """
import sys
import torch

channels, threads = map(int, sys.argv[1:])
torch.set_num_threads(threads)


def weight_gradient(layout):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(channels, 8, kernel_size=1, stride=2, bias=False).to(memory_format=layout)
    images = torch.randn(8, channels, 8, 8).contiguous(memory_format=layout)
    layer(images).square().sum().backward()
    return layer.weight.grad


with torch.backends.mkldnn.flags(enabled=False):
    expected = weight_gradient(torch.contiguous_format)
errors = [(weight_gradient(torch.channels_last) - expected).norm() / expected.norm() for _ in range(20)]
print(float(max(errors)))
"""


def outcome(channels: int, threads: int) -> str:
    """Return the largest relative error of 20 passes in a process of its own, or the signal that ended it."""
    command = [sys.executable, "-c", REPRODUCER, str(channels), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    if done.returncode:
        sys.exit(done.stderr)
    error = float(done.stdout)
    return "0" if error < 1e-5 else f"{error:.1%}"


def main() -> None:
    print("| input channels |", " | ".join(f"{channels:>7}" for channels in CHANNELS), "|")
    print("|---|", "---:|" * len(CHANNELS), sep="")
    for threads in THREADS:
        cells = [f"{outcome(channels, threads):>7}" for channels in CHANNELS]
        print(f"| {threads} thread{'s' * (threads > 1):<1}      |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
