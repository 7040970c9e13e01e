"""Fifty kills at random moments, and ranks that die one by one. Takes minutes: `make soak`."""

import random
import signal
from itertools import count
from multiprocessing.connection import wait

import pytest
from safetensors.torch import load_file
from test_parallel import _rank, free_port, on_two_ranks, thawing
from test_resume import CONTEXT, Kill, _child, everything_on, never_killed, outcome, rows, run_in_process  # noqa: F401

from speechxfer import checkpoint

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

KILLS = 50


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_fifty_kills(toy, tmp_path, never_killed, precision):  # noqa: F811
    """Half of them at a random file operation, half at a random time; runs that come to their end must be equal."""
    chance, task = random.Random(precision), everything_on(toy, precision)
    kills, ends, resumed_at = 0, 0, set()
    for number in count():
        out = tmp_path / str(number)
        while True:
            if kills >= KILLS:
                kill, patience = None, 120.0
            elif chance.random() < 0.5:
                kill, patience = Kill("", "", chance.randint(1, 150)), 120.0
            else:
                kill, patience = None, chance.uniform(0.1, 3.0)
            process = CONTEXT.Process(target=_child, args=(task, out, kill, 0))
            process.start()
            wait([process.sentinel], patience)
            process.kill()
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL, out.with_suffix(".stderr").read_text()
            kills += 1
            resumed_at.add(checkpoint.states(out)[-1].name if checkpoint.states(out) else "nothing")
        assert outcome(out) == never_killed[precision]
        ends += 1
        if kills >= KILLS:
            break
    assert len(resumed_at) >= 4, f"the kills should fall in many places: {resumed_at}, {ends} ends"


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_dies_takes_the_other_with_it_and_the_job_goes_on(toy, tmp_path, victim):
    task = thawing(toy, 3)
    on_two_ranks(task, tmp_path / "whole")
    out, port = tmp_path / "cut", free_port()
    processes = [CONTEXT.Process(target=_rank, args=(task, out, rank, port, None)) for rank in range(2)]
    for process in processes:
        process.start()
    while not (out / "log.jsonl").is_file() or max((row["step"] for row in rows(out)), default=0) < 8:
        assert all(process.is_alive() for process in processes)
    processes[victim].kill()
    for process in processes:
        process.join(60)
    assert processes[victim].exitcode == -signal.SIGKILL
    assert processes[1 - victim].exitcode not in (0, None), "the other rank must not wait for ever"
    assert "going on from step 6 of 12" in on_two_ranks(task, out)
    one, other = (load_file(checkpoint.states(run)[-1] / "model.safetensors") for run in (out, tmp_path / "whole"))
    assert all((one[name] == other[name]).all() for name in other)
