"""The kill test: workers, children and the broker die at random moments, and the scores are those of an undisturbed trial.

    python -m tests.faults.kills --seeds 100 --first 1 --out kills.jsonl

Seeds share one installation, one pairing a seed. Results are appended to the file, one JSON line a seed; seeds that stand
there are not run again. A seed counts only with a kill, a rebalance and a duplicate seen in the ledger; else it is tried again with
more kills. The last line sums up. Where something is found, the topics are written down beside the results, with the words that
replay the seed.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.faults.checker_topics import Json
from tests.faults.kills_plan import plan_of
from tests.faults.kills_run import Run, counts, whole
from tests.faults.kills_world import World

#: How often a seed is tried until it has seen all that it is for.
ATTEMPTS = 4

#: Seeds after which the installation is made anew: its topics have grown, and every one of them is read at a restart.
FRESH = 25


def run_seed(world: World, seed: int, *, dumps: Path, attempt: int = 0, keep: bool = False) -> Json:
    """Run one seed until it counts; the topics are written down where something is found, or where they are to be kept."""
    told: Json = {}
    for number in range(attempt, attempt + ATTEMPTS):
        run = Run(world=world, plan=plan_of(seed, attempt=number), pairing=f"kill-{seed}-{number}")
        told, records = run.run()
        told["attempt"] = number
        if not whole(told):
            words = f"--seeds 1 --first {seed} --attempt {number} --out FILE"
            told["replay"] = f"python -m tests.faults.kills {words}"
        if keep or not whole(told):
            told["dump"] = str(dumps / f"kill-{seed}-{number}.jsonl")
            records.save(Path(told["dump"]))
        if not whole(told) or counts(told):
            break
    return told


def summary(results: list[Json]) -> Json:
    """All seeds in one line."""
    valid = [one for one in results if counts(one)]
    kills: Counter[str] = sum((Counter(one["kills"]) for one in valid), Counter())
    seconds = sorted(one["seconds"]["all"] for one in valid)
    return {
        "seeds": len(valid),
        "byte_equal": sum(bool(one["byte_equal"]) for one in valid),
        **{name: sum(one[name] for one in valid) for name in ("lost", "twice")},
        "kills": sum(kills.values()),
        **{name: sum(one[name] for one in valid) for name in ("rebalances", "duplicates_seen", "gaps")},
        "findings": sum(len(one["findings"]) for one in valid),
        "kinds": dict(sorted(kills.items())),
        "seconds_p50": seconds[len(seconds) // 2] if seconds else None,
    }


def done(out: Path) -> dict[int, Json]:
    """The results that stand in the file, by seed; a line that was cut off is not there."""
    found = {}
    for line in out.read_text().splitlines() if out.exists() else []:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        found[int(told["seed"])] = told
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Kill everything at random moments, and check what comes of it."
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--attempt", type=int, default=0, help="begin with this attempt: to replay one")
    parser.add_argument(
        "--out", type=Path, default=Path(".fieldproof/kills.jsonl"), help="where results are kept"
    )
    given = parser.parse_args()
    # A broker that is away is what this is about: what its clients say of it is no news.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    wanted = range(given.first, given.first + given.seeds)
    known = done(given.out)
    _run([seed for seed in wanted if seed not in known], given.out, attempt=given.attempt)
    results = [told for seed, told in done(given.out).items() if seed in wanted]
    total = summary(results)
    print(json.dumps(total))
    raise SystemExit(0 if total["seeds"] == given.seeds and all(map(whole, results)) else 1)


def _run(seeds: list[int], out: Path, *, attempt: int) -> None:
    """Run seeds and write down what came of each; one that ends in an error is left to be run again."""
    left = list(seeds)
    while left:
        with tempfile.TemporaryDirectory(prefix="fieldproof-kills-") as folder:
            world = World.started(Path(folder))
            try:
                for seed in left[:FRESH]:
                    left.remove(seed)
                    told = run_seed(world, seed, dumps=out.parent, attempt=attempt)
                    with out.open("a") as sink:
                        sink.write(json.dumps(told) + "\n")
                    print(json.dumps(told), file=sys.stderr, flush=True)
                    if not whole(told):
                        _keep_logs(world, seed, out)
                        break  # what goes on there may weigh on the next ones
            except Exception:
                traceback.print_exc()
                _keep_logs(world, seed, out)
            finally:
                world.stop()


def _keep_logs(world: World, seed: int, out: Path) -> None:
    """Put what the processes of a seed have logged beside the results."""
    kept = out.parent / f"kill-{seed}-{time.time():.0f}"
    for logs in ("logs", "kafka/logs"):
        shutil.copytree(world.home / logs, kept / logs)
    kept.joinpath("up.err").write_text("\n".join(world.up.err))
    print(f"seed {seed} is not whole; the logs are in {kept}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
