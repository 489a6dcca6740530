"""Makes the golden cases that the test suite trains beside PyTorch: tests/golden/cases/.

Run it from the repository root, without arguments:

    python tests/golden/make_cases.py

It needs torch, numpy and safetensors; the committed files were made with Python 3.11, torch 2.15.0
(on the CPU), numpy 2.4.6 and safetensors 0.8.0. The test suite reads the committed files and needs no
Python. README.md beside this file says what they hold.

Running the script again on one machine gives the same bytes. Another CPU or another torch may change
the last bits of the floats. A case that is badly conditioned, learns nothing, or would not notice one
of its settings being ignored is an error.
"""

import sys
from pathlib import Path

# The modules lie among the cases, where no folder of compiled ones should appear.
sys.dont_write_bytecode = True

import torch

from cases import recurrent, rows
from cases.checks import check, complaints

FOLDER = Path(__file__).resolve().parent / "cases"
MAX_BYTES = 1_500_000


def main():
    # One thread keeps the order of every sum the same from run to run.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for old in FOLDER.iterdir():
        if old.suffix in (".toml", ".safetensors", ".json"):
            old.unlink()
    print(
        f"{'case':36} {'first':>8} {'last':>8} {'learnt':>7} {'f64 loss':>9} {'f64 weight':>10} {'bytes':>6} "
        f"{'shows':>8} least of its settings"
    )
    total, names, faults = 0, set(), []
    for case in [*recurrent.all_cases(), *rows.all_cases()]:
        assert case.name not in names
        names.add(case.name)
        found = check(case)
        size = case.write(FOLDER, found.trained)
        total += size
        losses = found.trained.losses
        print(
            f"{case.name:36} {losses[0]:8.4f} {losses[-1]:8.4f} {found.learnt:7.1%} {found.loss_error:9.1e} "
            f"{found.weight_error:10.1e} {size:6} {found.least:8.0f} {found.which}"
        )
        faults += [f"{case.name}: {complaint}" for complaint in complaints(found)]
    print(f"{len(names)} cases, {total} bytes")
    assert total < MAX_BYTES
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
