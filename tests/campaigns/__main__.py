"""`python -m tests.campaigns`: try everything, say what happened, exit with 1 where it is bad."""

import argparse
import sys
import time
from pathlib import Path

from tests.campaigns import shim
from tests.campaigns.ledger import Ledger, code_digest


def main() -> int:
    """Run the campaigns that were asked for, within the time that was given."""
    wanted = _arguments()
    reason = shim.why_not()
    if reason:
        print(f"no campaign: {reason}", file=sys.stderr)
        return 2
    shim.preload(wanted.work)

    from tests.campaigns.parts import PARTS, warm
    from tests.campaigns.stage import Stage

    warm()
    code = code_digest()
    ledger = Ledger(wanted.work / "trials.jsonl", code)
    stage = Stage(wanted.work, wanted.scale, code)
    names = wanted.only or list(PARTS)
    began, whole = time.monotonic(), True
    for number, name in enumerate(names):
        left = wanted.budget - (time.monotonic() - began)
        until, tried = time.monotonic() + left / (len(names) - number), 0
        for trial in PARTS[name](stage):
            if (trial.row, trial.name) in ledger:
                continue
            if tried and time.monotonic() > until:
                whole = False
                break
            tried += 1
            start = time.monotonic()
            verdicts = list(trial.run())
            ledger.record(trial.row, trial.name, verdicts, time.monotonic() - start)
            if any(verdict.bad for verdict in verdicts):
                stage.keep(trial.row, trial.name)
                for verdict in verdicts:
                    if verdict.bad:
                        said = f"{trial.row} {trial.name}: {verdict.kind}: {verdict.detail}"
                        print(said[:500], file=sys.stderr)
    print(ledger.report())
    if not whole:
        print("the time is up: give the same command to go on")
    return 1 if ledger.bad else 0


def _arguments() -> argparse.Namespace:
    from tests.campaigns import names

    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("--only", action="append", choices=names.PARTS, help="one part; repeated")
    parser.add_argument("--budget", type=float, default=7200, help="seconds in all; 7200")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the trials; 1")
    parser.add_argument("--work", type=Path, default=Path("build/campaign"), help="work folder")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
