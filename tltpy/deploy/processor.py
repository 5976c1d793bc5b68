"""The processor that engines run on: its name, the instructions that decide how fast they are, and who else uses it."""

import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

CPU_INFO, STAT = Path("/proc/cpuinfo"), Path("/proc/stat")

# what the kernels of the libraries ask for, from the least to the most; "vnni" multiplies int8 without saturating
INSTRUCTIONS = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
)  # fmt: skip
LOAD = 0.5  # of the processors that were busy in the minute before
OTHERS, STOLEN = 0.05, 0.01  # of all processors, during the measurement
SWITCHES_PER_S = 100.0  # the system's own housekeeping makes a few


def name() -> str:
    """As Linux tells it, else its family."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def instructions() -> tuple[str, ...]:
    """Those of INSTRUCTIONS that the processor has, the strongest last; empty where the system does not tell."""
    flags = set((_cpu_info("flags") or _cpu_info("Features")).split())
    return tuple(flag for flag in INSTRUCTIONS if flag in flags)


def load() -> float | None:
    """Mean number of running and waiting processes of the last minute; None where the system keeps no count."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


@dataclass(frozen=True)
class Disturbance:
    """What else went on. Shares are of all processors; None where the system does not tell."""

    seconds: float
    load: float | None  # before anything of ours ran
    others: float | None  # share that other processes took
    stolen: float | None  # share that the host of a virtual machine gave to others
    switches: int | None  # how often this process had to give way

    def reasons(self) -> tuple[str, ...]:
        """Why the measurement may be worse than it need be; empty where nothing speaks against it."""
        found = []
        if self.load is not None and self.load > LOAD * (os.cpu_count() or 1):
            found.append(f"the load was {self.load:.1f} on {os.cpu_count()} processors before it began")
        if self.others is not None and self.others > OTHERS:
            found.append(f"other processes took {self.others:.0%} of the processors")
        if self.stolen is not None and self.stolen > STOLEN:
            found.append(f"the host of this virtual machine took {self.stolen:.0%} of the processors")
        if self.switches is not None and self.switches > SWITCHES_PER_S * max(self.seconds, 0.1):
            found.append(f"the process had to give way {self.switches / max(self.seconds, 0.1):.0f} times a second")
        return tuple(found)


class Watch:
    """Watches from its making to `stop`. `load`: what `load()` said before anything of ours ran."""

    def __init__(self, load: float | None) -> None:
        self._load, self._start, self._ticks = load, _now(), _ticks()

    def stop(self) -> Disturbance:
        ended, ticks = _now(), _ticks()
        seconds, own, switches = (after - before for after, before in zip(ended, self._start, strict=True))
        others = stolen = None
        if ticks is not None and self._ticks is not None:
            whole, busy, taken = (after - before for after, before in zip(ticks, self._ticks, strict=True))
            if whole > 0:
                stolen = max(taken, 0.0) / whole
                others = max(busy - own, 0.0) / whole
        return Disturbance(seconds, self._load, others, stolen, int(switches))


def _now() -> tuple[float, float, float]:
    """Seconds on the clock, seconds of computing of this process, involuntary switches."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime, float(used.ru_nivcsw)


def _ticks() -> tuple[float, float, float] | None:
    """Seconds of all processors together: in all, at work, stolen."""
    try:
        words = STAT.read_text().split("\n", 1)[0].split()
        user, nice, system, idle, waiting, irq, soft, steal = (int(word) for word in words[1:9])
    except (OSError, ValueError):
        return None
    second = float(os.sysconf("SC_CLK_TCK"))
    busy = user + nice + system + irq + soft
    return (busy + idle + waiting + steal) / second, busy / second, steal / second


def _cpu_info(field: str) -> str:
    try:
        for line in CPU_INFO.read_text().splitlines():
            if line.split(":")[0].strip() == field:
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""
