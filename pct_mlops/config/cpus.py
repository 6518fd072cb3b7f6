"""Counts the processors that a process may use."""

from __future__ import annotations


def num_cpus() -> int:
    """Return the number of processors that this process may use, at least 1.

    CPU affinity and a container's quota count, not what the machine has. `LOKY_MAX_CPU_COUNT` lowers the number, as for
    every program that asks joblib.
    """
    import joblib  # costs a quarter of a second, so only programs that compute import it

    return max(1, int(joblib.cpu_count()))


def threads_for(num_processes: int) -> int:
    """Return the number of threads for each of `num_processes`, so that together they use every processor once."""
    return max(1, num_cpus() // num_processes)
