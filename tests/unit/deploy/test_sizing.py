"""The number of workers, and the limits of cgroups v1 and v2 that it depends on."""

import os

import pytest

from deploy.server.sizing import MEMORY_PER_WORKER, cpu_limit, memory_limit, worker_count

MB = 1024**2
CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("cpus", "memory", "workers"),
    [
        (1, 1024 * MB, 2),
        (4, 1024 * MB, 4),
        (2.5, 1024 * MB, 3),
        (0.1, 1024 * MB, 2),
        (8, 8 * MEMORY_PER_WORKER, 8),
        (8, MEMORY_PER_WORKER, 2),
    ],
)
def test_worker_count_follows_cpus_up_to_the_memory_limit(cpus, memory, workers):
    assert worker_count(cpus, memory) == workers


@pytest.fixture
def cgroup(tmp_path):
    """Return a function that writes control files and returns their folder."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("-", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, CPUS),
        ({"cpu.max": "max 100000\n"}, CPUS),
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "99900000 100000\n"}, CPUS),
        ({"cpu__cpu.cfs_quota_us": "-1\n", "cpu__cpu.cfs_period_us": "100000\n"}, CPUS),
        ({"cpu__cpu.cfs_quota_us": "25000\n", "cpu__cpu.cfs_period_us": "100000\n"}, 0.25),
    ],
)
def test_cpu_limit_is_read(files, cpus, cgroup):
    assert cpu_limit(cgroup(**files)) == cpus


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "1048576\n"}, MB),
        ({"memory__memory.limit_in_bytes": "2097152\n"}, 2 * MB),
        ({"memory.max": "max\n"}, None),
        ({"memory__memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({}, None),
    ],
)
def test_memory_limit_is_read(files, limit, cgroup):
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory_limit(cgroup(**files)) == (limit or machine)
