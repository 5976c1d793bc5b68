"""One command line in several processes by torchrun: they speak as one, and end with one exit code."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path


def launch(
    module: str, arguments: Sequence[str], *, processes: int, nodes: int = 1, endpoint: str | None = None
) -> tuple[int, str]:
    """Runs `python -m module arguments` in `processes` processes here.

    Returns the exit code and what is left to say: the last words of another process than the first, whose words are
    kept back, where it is the reason of the end.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.CRITICAL)  # torchrun's own words about a failure, a screen full
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--nproc-per-node={processes}", f"--log-dir={folder}"]
        options += [f"--redirects={','.join(f'{rank}:3' for rank in range(1, processes))}"] * (processes > 1)
        if nodes > 1:
            options += [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}"]
        else:
            options += ["--standalone"]
        try:
            run.run(run.parse_args([*options, "-m", module, *arguments]))
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            code = failure.exitcode if failure.exitcode >= 0 else 128 - failure.exitcode
            return code, _words(Path(folder), failure.local_rank) if rank != 0 else ""
        except SignalException as error:
            return 128 + error.sigval, ""
    return 0, ""


def _words(folder: Path, local_rank: int) -> str:
    return "".join(path.read_text(errors="replace") for path in sorted(folder.rglob(f"{local_rank}/stderr.log")))
