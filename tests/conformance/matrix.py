"""Makes the matrix of docs/conformance.md: the corpus, topic by topic, on other event loops.

    python3 matrix.py                                prints it
    python3 matrix.py --into docs/conformance.md     puts it between <!-- matrix --> and <!-- /matrix -->
    python3 matrix.py --explain [--only uvloop]      says how each loop differs most often, with the smallest program

Asked are asyncio itself (every CPython of 3.8 to 3.15 that `tests/pythons.sh` has fetched, that pyenv has, or that is on the
PATH), and uvloop and rloop, the newest from PyPI, in throwaway environments of the newest of these Pythons that can make one.
Standard library only; Python 3.11 or later.

What is expected are the lines of the corpus, which are CPython 3.15's. CPython is asked as they were recorded: with the
masks of `loops.py`, and for the programs of `differs-…` without. A message of a cancellation that it loses counts as equal,
as in the test `live`. Of the other loops only the log is compared, because
what is reported when objects are collected tells of futures and the garbage collector, not of loops. They are driven
from outside, so asyncio's own loop is driven in the same way first: where it prints otherwise than recorded, its lines
are right too. Nobody can see from outside in which turn a signal comes: programs that raise one are not asked.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import re
import select
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).parent
MINORS = range(8, 16)
FETCHED = pathlib.Path(os.environ.get("LOOPLAB_PYTHONS", HERE.parent.parent / "target" / "pythons"))
PACKAGES = ("uvloop", "rloop")
WATCHDOG = 30  # seconds for one program, and for a Python to start
PATIENCE = 200  # programs for one process: a loop may leak what it holds
BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"

# One line on each loop's differences, found with --explain, and each tried in a program of its own.
NOTES = {
    "3.15": "what the corpus was recorded from.",
    "3.14": "the same.",
    "3.13": "`Runner.run` takes coroutines only; an await of `as_completed` counts also if it is cancelled.",
    "3.13.0": "as 3.13.",
    "3.12": "as 3.13, and: `uncancel()` does not withdraw a cancellation that is still to be delivered; a `Condition` loses a"
            " wake-up if the notified waiter is cancelled, and a cancellation's message if it comes while the "
            "lock is taken again; a `TaskGroup` leaves its parent's `cancelling()` too high or drops a request; a "
            "`Semaphore` hands on one permit at a time. `Queue.shutdown` is not there.",
    "3.11": "as 3.12, and: `gather` of what is done already is done through callbacks, not at the call; "
            "`wait_for` runs a coroutine in a task of its own, a turn later, and goes on a turn later when the time"
            " is over; it returns the value where 3.12 raises `CancelledError` if both come in one turn; `wait` "
            "refuses tasks of another loop.",
    "3.10": "as 3.11, and: `wait([])` has other words. `Runner`, `TaskGroup`, `timeout`, `Barrier` and `uncancel` are not "
            "there.",
    "3.9": "as 3.10, and: a `Semaphore` that has been released is not `locked()` although a waiter is about to"
           " get it; a lock has other words for a wait on another loop.",
    "3.8": "as 3.9, and: a task that releases a `Semaphore` and takes it again comes before its waiters; what is "
           "returned or raised in spite of `wait_for`'s cancellation is lost to `TimeoutError`. A cancellation"
           " has no message.",
    "uvloop": "what is queued after `stop()` runs in the same run, where asyncio leaves it for the next one; so "
              "does what other callbacks queue in the turn in which `run_until_complete` finds its target done; "
              "`KeyboardInterrupt` and `SystemExit` leave the loop only when the rest of the turn, and what it has queued, "
              "has run; `stop()` on a closed loop raises; `close()` marks ready handles as "
              "cancelled; `remove_signal_handler` says `False` before the first run. Most programs with descriptors "
              "differ; why was not looked into.",
    "rloop": "a run that is stopped beforehand runs nothing, instead of one turn; `KeyboardInterrupt` and "
             "`SystemExit` of a callback go to the exception handler, and the loop runs on; that handler is "
             "called without the loop; handles of `call_soon` have no `cancelled()`; `run_forever` on a closed "
             "or running loop raises `UnboundLocalError`; a closed loop accepts calls and timers; "
             "`remove_signal_handler` raises `AttributeError`; closed loops keep their file descriptors. Most programs "
             "with descriptors differ; why was not looked into.",
}


@dataclass
class Program:
    name: str
    topic: str
    value: dict

    def expected(self, key, side="cpython"):
        lines = (line if isinstance(line, str) else line[side] for line in self.value[key])
        return [line for line in lines if line is not None]

    @property
    def marked(self):
        """looplab differs here on purpose."""
        return "row" in self.value

    @property
    def signals(self):
        return '["kill", ' in json.dumps(self.value["program"])


def corpus():
    written = []
    for path in sorted((HERE / "corpus").glob("*.json")):
        written.append(Program(path.stem, path.stem.split("-")[0], json.loads(path.read_text())))
    lines = (HERE / "corpus" / "generated.jsonl").read_text().splitlines()
    values = [json.loads(line) for line in lines]
    return written + [Program(f"generated {n}", f"generated: {one['topic']}", one) for n, one in enumerate(values)]


class Process:
    """A Python that answers a program a line; it is started again if it hangs or crashes, and from time to time."""

    def __init__(self, python, *options):
        self.command = [str(python), str(HERE / "conformance.py"), *options]
        self.child, self.asked = None, 0

    def start(self):
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0)
        self.asked, self.heard = 0, b""
        if self.line() is None:
            raise OSError(f"{' '.join(self.command)}: it does not start")

    def end(self):
        if self.child is not None:
            self.child.kill()
            self.child.communicate()
            self.child = None

    def ask(self, program):
        if self.asked == PATIENCE:
            self.end()
        if self.child is None:
            self.start()
        self.asked += 1
        try:
            self.child.stdin.write(json.dumps(program).encode() + b"\n")
            answer = self.line()
        except BrokenPipeError:
            answer = None
        if answer is None:
            trouble = "crashes" if self.child.poll() is not None else "hangs"
            self.end()
            return {"trouble": trouble}
        return json.loads(answer)

    def line(self):
        """The next line, or None if none comes."""
        while b"\n" not in self.heard:
            ready, _, _ = select.select([self.child.stdout], [], [], WATCHDOG)
            more = os.read(self.child.stdout.fileno(), 1 << 16) if ready else b""
            if not more:
                if ready:
                    self.child.wait()
                return None
            self.heard += more
        line, _, self.heard = self.heard.partition(b"\n")
        return line


@dataclass
class Peer:
    """A column of the table."""

    name: str
    title: str
    python: pathlib.Path
    loop: str = "asyncio"
    counts: dict = field(default_factory=lambda: collections.defaultdict(collections.Counter))
    differing: list = field(default_factory=list)  # (program, what it printed)

    @property
    def foreign(self):
        return self.loop != "asyncio"

    def answers(self, programs):
        """What it prints for each of them, in their order; None if it is not asked."""
        masked = Process(self.python, "--loop", self.loop)
        plain = masked if self.foreign else Process(self.python, "--plain")
        try:
            for program in programs:
                if self.foreign and program.signals:
                    yield None
                else:
                    yield (plain if program.marked else masked).ask(program.value["program"])
        finally:
            masked.end()
            plain.end()

    def run(self, programs, control):
        told(f"{self.title} …")
        for n, (program, answer) in enumerate(zip(programs, self.answers(programs))):
            kind = self.judge(program, answer, control[n] if control else None)
            self.counts[program.topic][kind] += 1
            self.counts["all"][kind] += 1
            if answer and "trouble" in answer:
                self.counts["all"][answer["trouble"]] += 1
            if kind == "differing":
                self.differing.append((program, answer))
        told(f"{self.title}: {dict(self.counts['all'])}")

    def judge(self, program, answer, control):
        if answer is None or "skip" in answer or not self.foreign and self.lacks(program, answer):
            return "not asked"
        if "trouble" in answer:
            return "differing"
        log, late = program.expected("log"), program.expected("late")
        if not self.foreign:
            late = [strip_message(line) for line in late], [strip_message(line) for line in answer["late"]]
            return "passed" if same(answer["log"], log) and sorted(late[0]) == sorted(late[1]) else "differing"
        right = [log, (control or {}).get("log")]
        if answer["log"] in right:
            return "passed"
        if words_aside(answer["log"]) in map(words_aside, right):
            return "other words"
        return "differing"


    def lacks(self, program, answer):
        """Whether the program uses what came with a later Python."""
        if any("has no attribute" in line for line in answer.get("log", [])):
            return True
        counts = any(re.search(": (uncancel|cancelling) ", line) for line in program.expected("log"))
        return counts and self.name in ("3.8", "3.9", "3.10")


def words_aside(lines):
    """Without what an author may word otherwise: capital letters, and the full stop of a sentence."""
    return lines and [line.lower().replace(".)", ")") for line in lines]


def strip_message(line):
    return re.sub(r"Cancelled\(.*\)", "Cancelled()", line)


def same(theirs, ours):
    """Whether lines are equal, but for messages of cancellations that tasks in C lose (a row of docs/differences.md)."""
    lost = (one == other or "Cancelled()" in one and one == strip_message(other) for one, other in zip(theirs, ours))
    return len(theirs) == len(ours) and all(lost)


def told(text):
    print(text, file=sys.stderr, flush=True)


def version_of(python, what="'.'.join(map(str, sys.version_info[:3]))"):
    try:
        done = subprocess.run([python, "-c", f"import sys, importlib.metadata as m; print({what})"],
                              capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def pythons():
    """The newest CPython of each minor version, and the oldest release of it beside it: where they are, and which."""
    root = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")) / "versions"
    for minor in MINORS:
        found = [path for path in root.glob(f"3.{minor}.*") if re.fullmatch(r"[\d.]+", path.name)]
        found.sort(key=lambda path: [int(part) for part in path.name.split(".")])
        places = [FETCHED / f"3.{minor}" / "usr" / "bin" / f"python3.{minor}"]
        places += [path / "bin" / "python3" for path in reversed(found)] + [shutil.which(f"python3.{minor}")]
        here = {}
        for python in filter(None, places):
            version = version_of(python)
            if version and version.startswith(f"3.{minor}."):
                here.setdefault(version, python)
        if not here:
            told(f"Python 3.{minor} is not here: its column is left out")
        for n, version in reversed(list(enumerate(here))):
            yield Peer(version if n else f"3.{minor}", f"asyncio {version}", here[version])


def can_make_environments(peer):
    return subprocess.run([peer.python, "-c", "import venv, ensurepip"], stderr=subprocess.DEVNULL).returncode == 0


def installed(package, python, folder):
    """A package in an environment of its own; None if it cannot be had."""
    told(f"{package} from PyPI …")
    place = pathlib.Path(folder) / package
    inside = place / "bin" / "python3"
    steps = ([python, "-m", "venv", place],
             [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package])
    for step in steps:
        if subprocess.run(step, stdout=sys.stderr).returncode != 0:
            told(f"{package} could not be installed: its column is left out")
            return None
    version = version_of(inside, f"m.version('{package}')")
    return Peer(package, f"{package} {version}", inside, f"{package}:new_event_loop")


def cell(counts):
    numbers = [counts["passed"] + counts["other words"], counts["differing"], counts["not asked"]]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return " / ".join(map(str, numbers))


def table(programs, peers):
    ours = collections.defaultdict(collections.Counter)
    for program in programs:
        for topic in (program.topic, "all"):
            ours[topic]["differing" if program.marked else "passed"] += 1
    columns = [("looplab", ours)] + [(peer.title, peer.counts) for peer in reversed(peers) if not peer.foreign]
    columns += [(peer.title, peer.counts) for peer in peers if peer.foreign]
    rows = [["topic", *(title for title, _ in columns)]]
    for topic in [*dict.fromkeys(program.topic for program in programs), "all"]:
        rows.append([topic, *(cell(counts[topic]) for _, counts in columns)])
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    rows.insert(1, ["-" * width if n == 0 else "-" * (width - 1) + ":" for n, width in enumerate(widths)])
    padded = ([text.ljust(width) if n == 0 else text.rjust(width)
               for n, (text, width) in enumerate(zip(row, widths))] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def text(programs, peers):
    parts = [f"Made by `tests/conformance/matrix.py` on {datetime.date.today()}, of {len(programs)} programs. A cell "
             "says how many passed / differ / were not asked, because this Python lacks what they use, or because they "
             "raise signals, which a driver from outside cannot follow. A message of a cancellation that a Python loses "
             "counts as equal. looplab's column is what `cargo test --test "
             "conformance` checks; where it differs, it does so on purpose.",
             table(programs, peers)]
    notes = []
    for peer in [*[peer for peer in reversed(peers) if not peer.foreign], *[peer for peer in peers if peer.foreign]]:
        counts = peer.counts["all"]
        kinds = (("hangs", "hang"), ("crashes", "crash"), ("other words", "passed but for the words of an error"))
        also = [f"({counts[kind]} {how}.)" for kind, how in kinds if counts[kind]]
        notes.append(f"- **{peer.title}**: " + " ".join([NOTES.get(peer.name, ""), *also]).strip())
    return "\n\n".join(parts + ["\n".join(notes)])


def first_difference(expected, got):
    for n in range(max(len(expected), len(got)) + 1):
        pair = [lines[n] if n < len(lines) else "(nothing)" for lines in (expected, got)]
        if pair[0] != pair[1]:
            return pair


def explain(peer):
    """The kinds of first differences, the most frequent first, each with its smallest program."""
    kinds = collections.defaultdict(list)
    for program, answer in peer.differing:
        pair = ["answers", answer["trouble"]] if "trouble" in answer else (
            first_difference(program.expected("log"), answer["log"])
            or first_difference(program.expected("late"), answer["late"]))
        kind = tuple(re.sub(r"\b(\w\d+|main/)[\w/]*", "…", re.sub(r"^\d+@\d+ ", "", line)) for line in pair)
        kinds[kind].append((len(json.dumps(program.value["program"])), program.name, pair, program))
    print(f"\n{peer.title}: {len(peer.differing)} differ")
    for found in sorted(kinds.values(), key=len, reverse=True)[:12]:
        _, name, pair, program = min(found)
        print(f"\n  {len(found)} like {name}: {json.dumps(program.value['program'])}")
        print(f"      expected {pair[0]}\n      got      {pair[1]}")


def put_into(path, matrix):
    page = path.read_text()
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        sys.exit(f"{path}: there is no {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n{matrix}\n{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--into", type=pathlib.Path, metavar="FILE", help="a page with the marks for the matrix")
    parser.add_argument("--explain", action="store_true", help="how each loop differs most often")
    parser.add_argument("--only", action="append", metavar="NAME", help="3.8 … 3.15, uvloop, rloop")
    options = parser.parse_args()
    programs, found = corpus(), list(pythons())
    wanted = options.only or [peer.name for peer in found] + list(PACKAGES)
    peers = [peer for peer in found if peer.name in wanted]
    newest = next((peer.python for peer in reversed(found) if can_make_environments(peer)), None)
    for peer in peers:
        peer.run(programs, None)
    with tempfile.TemporaryDirectory() as folder:
        foreign = [installed(package, newest, folder) for package in PACKAGES if newest and package in wanted]
        foreign = [peer for peer in foreign if peer]
        if foreign:
            told("asyncio, driven from outside …")
            control = list(Peer("control", "", newest, "asyncio:new_event_loop").answers(programs))
        for peer in foreign:
            peer.run(programs, control)
            peers.append(peer)
    matrix = text(programs, peers)
    if options.into:
        put_into(options.into, matrix)
    else:
        print(matrix)
    for peer in peers if options.explain else []:
        explain(peer)


main()
