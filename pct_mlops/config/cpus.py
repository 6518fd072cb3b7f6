"""How many processors a process may use."""

from __future__ import annotations


def num_cpus() -> int:
    """Processors that this process may use: its affinity and its container's quota count, not what the machine has.

    `LOKY_MAX_CPU_COUNT` lowers it, as for every program that asks joblib.
    """
    import joblib  # a quarter of a second: only those pay who compute

    return max(1, int(joblib.cpu_count()))


def threads_for(num_processes: int) -> int:
    """Threads for each of `num_processes` on this machine, so that together they take every processor once."""
    return max(1, num_cpus() // num_processes)
