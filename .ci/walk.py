"""Run by gdb for `.ci/walk`: records every function of looplab that is entered between `walk_begins` and `walk_ends`."""

import os
import re

import gdb

entered = []


class Entry(gdb.Breakpoint):
    def stop(self):
        frame = gdb.selected_frame()
        where = frame.find_sal()
        entered.append((re.sub(r"::\{closure.*", "", frame.name()), where.symtab.filename, where.line, "{closure" in frame.name()))
        return False


for command in ("set pagination off", "set confirm off", "break walk::walk_begins", "break walk::walk_ends", "run"):
    gdb.execute(command, to_string=True)
places, file = set(), ""
for line in gdb.execute("info functions -n looplab::", to_string=True).splitlines():
    if found := re.match(r"File (.*):$", line):
        file = found[1]
    elif (found := re.match(r"(\d+):", line)) and file.startswith("src/"):
        places.add(f"{file}:{found[1]}")
for place in sorted(places):
    Entry(place, internal=True)
gdb.execute("continue", to_string=True)

# A breakpoint at a generic function may stop in each of its copies; one call is one entry.
walk = [entry for entry in entered if entry[1].startswith("src/") and not entry[3]]
walk = [entry for n, entry in enumerate(walk) if n == 0 or entry[:3] != walk[n - 1][:3]]
if os.environ.get("LOOPLAB_WALK") == "--list":
    for name, file, line, _ in walk:
        print(f"walk: {file}:{line}  {name}")


def body(file, line):
    """How many code lines the body of the function has in which this line is; 1 for a derived one."""
    lines = open(file).read().splitlines()
    first = max((n for n in range(line) if re.search(r"\bfn \w+", lines[n])), default=None)
    if first is None:
        return 1
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    if lines[first].rstrip().endswith("}"):
        return 1
    last = next((n for n in range(first + 1, len(lines)) if lines[n] == indent + "}"), len(lines))
    inside = [text.strip() for text in lines[first + 1 : last]]
    return sum(bool(text) and not text.startswith("//") for text in inside)


def count(walk, which):
    functions = len({(file, name) for name, file, _, _ in walk})
    files = [file for _, file, _, _ in walk]
    changes = sum(a != b for a, b in zip(files, files[1:]))
    print(f"walk: {functions} functions in {len(set(files))} files, {changes} changes of file{which}")


count(walk, "")
# What a reader takes in at the call: `is_empty`, a getter, a forwarder.
count([entry for entry in walk if body(*entry[1:3]) > 2], ", without bodies of one or two lines")
