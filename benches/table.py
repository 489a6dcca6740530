"""Writes what `cargo bench` printed as a table into RESULTS.md, in place of the one that was there.

    cargo bench | tee target/bench.txt; python3 benches/table.py target/bench.txt
"""

import datetime
import pathlib
import re
import sys

BEGIN, END = "<!-- written by benches/table.py: begin -->", "<!-- end of benches -->"
TIME = re.compile(r"time:\s+\[\S+ \S+ (\S+ \S+) \S+ \S+\]")
CPU = re.compile(r"cpu:\s+(\S+ ms) a pass at least, which is (\S+ \S+) and core")


def rows(lines):
    """Name, median wall time, processor time and its rate, of each bench that was measured."""
    name, found = "", []
    for line in lines:
        # A long name has a line of its own.
        if line[:1].strip():
            name = line.split(" time:")[0].strip()
        if wall := TIME.search(line):
            found.append([name, wall[1], "", ""])
        elif (cpu := CPU.search(line)) and found:
            found[-1][2:] = cpu[1], f"{cpu[2]} a core"
    return found


def main():
    lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
    on = sorted({line.split(": on ")[1] for line in lines if re.match(r"\w+: on ", line)})
    table = [["bench", "wall, median", "CPU, least", "rate by CPU time"], ["---"] * 4, *rows(lines)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in table)
    section = f"{BEGIN}\n## Benches, {datetime.date.today()}\n\nBy `make bench`, on {'; '.join(on)}.\n\n{table}\n{END}"
    file = pathlib.Path(__file__).resolve().parent / "RESULTS.md"
    results = file.read_text()
    if BEGIN in results:
        before, rest = results.split(BEGIN, 1)
        file.write_text(before + section + rest.split(END, 1)[1])
    else:
        file.write_text(results.rstrip("\n") + "\n\n" + section + "\n")


main()
