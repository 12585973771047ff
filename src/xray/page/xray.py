#!/usr/bin/env python3
"""Shows what an asyncio program's event loop does: runs the program and writes a page that replays its run.

    python3 xray.py [--virtual] [-o FILE.html|FILE.jsonl] PROGRAM.py [ARGUMENT...]

The page is one file for any browser. It steps through the run forward and back, and needs no network.
With FILE.jsonl the same events are written as JSON Lines. Without -o the page is PROGRAM.html in the
working directory. With --virtual the loop's clock jumps to the next timer, so no time is lost in sleeps.

Needs CPython 3.8 or later and nothing else. The program prints what it prints without this file. asyncio
keeps its own turn and its tasks in C. This file records events where asyncio uses its queue, its heap and
its selector. Loops that are not asyncio's own (uvloop) give no events. Part of looplab: docs/xray.md.
"""
import asyncio
import asyncio.base_events
import asyncio.selector_events
import asyncio.tasks
import asyncio.unix_events
import atexit
import collections
import functools
import heapq
import itertools
import json
import os
import selectors
import signal
import sys
import threading
import time
import traceback
import types
import weakref

# The page up to its trace. In looplab's own folder it is put together from the files beside this one.
PAGE = ""
PARTS = "icons trace replay names words panes why source strip search align compare ask lanes main"

USAGE = "usage: python3 xray.py [--virtual] [-o FILE.html|FILE.jsonl] PROGRAM.py [ARGUMENT...]"
ENCODE = json.JSONEncoder(separators=(",", ":")).encode
LONGEST_FILE = 1 << 20  # a longer file is no source text that a person reads
LONGEST_TIME = (1 << 63) - 1
BUFFER = 1 << 16
LIBRARY = os.path.dirname(os.path.dirname(asyncio.__file__))

# asyncio's own callbacks, by the names that looplab has for the same ones.
OWN = {
    "_run_until_complete_cb": "run_until_complete",
    "_read_from_self": "read_signals",
    "_set_result_unless_cancelled": "set_result_unless_cancelled",
    "_on_timeout": "timeout",
    "_release_waiter": "timeout",
    "_on_completion": "wait",
    "_done_callback": "gather",
    "_inner_done_callback": "shield",
    "_outer_done_callback": "shield",
    "_on_task_done": "task group",
    "_set_state": "job.set_result",
    "_call_check_cancel": "job.check_cancel",
    "_accept_connection": "accept_connection",
    "_sock_connect_cb": "connect",
    "_sock_write_done": "remove_writer",
    "_add_reader": "add_reader",
    "_call_connection_lost": "call_connection_lost",
    "connection_made": "connection_made",
    "connection_made.<locals>.callback": "client_connected",
    "_read_ready": "read_ready",
    "_write_ready": "write_ready",
    "_do_wait": "reap_and_notify",
}

# What a task waits on, by the innermost function of asyncio that awaits.
KINDS = {
    "sleep": "sleep",
    "_wait": "wait",
    "wait_for": "wait_for",
    "Event.wait": "event",
    "Lock.acquire": "lock",
    "Condition.wait": "condition",
    "Semaphore.acquire": "semaphore",
    "Queue.get": "queue.get",
    "Queue.put": "queue.put",
    "Queue.join": "queue.join",
    "StreamReader._wait_for_data": "stream.read",
    "StreamWriter.wait_closed": "stream.wait_closed",
    "Server.wait_closed": "server.wait_closed",
    "Server.serve_forever": "serve_forever",
    "TaskGroup.__aexit__": "task group",
    "TaskGroup._aexit": "task group",
    "BaseEventLoop.shutdown_default_executor": "executor shutdown",
    "BaseSelectorEventLoop.sock_accept": "accept",
    "BaseSelectorEventLoop.sock_connect": "connect",
    "BaseSelectorEventLoop.sock_recv": "socket read",
    "BaseSelectorEventLoop.sock_sendall": "socket write",
    "BaseEventLoop._create_connection_transport": "connection_made",
}

# Functions that only pass an entry on: the one before them queues it.
PASSING = {"_call_soon", "call_soon", "call_soon_threadsafe", "call_later", "call_at"}


class Trace:
    """Writes the events of all loops of the process to one file."""

    def __init__(self, descriptor, page, virtual):
        self.descriptor = descriptor
        self.page = page
        self.virtual = virtual
        self.now = 0.0  # the virtual clock
        self.start = time.monotonic()
        self.pid = os.getpid()
        self.off = False
        self.lock = threading.RLock()
        self.events = collections.deque()
        self.writing = False
        self.lines = []
        self.size = 0
        self.s = 0
        self.last = 0
        self.loops = 0
        self.running = {}  # thread → the loop whose callback it runs
        self.printed = ""
        self.printer = None
        self.places = {}
        self.at_place = {}
        self.files = {}

    def time(self):
        return int(self.now * 1e9 + 0.5) if self.virtual else int((time.monotonic() - self.start) * 1e9)

    def scale(self, when):
        """Returns a loop's time as the trace has it."""
        ns = (when if self.virtual else when - self.start) * 1e9
        return min(max(0, int(ns + 0.5)), LONGEST_TIME) if ns < LONGEST_TIME else LONGEST_TIME

    def emit(self, event, loop, **fields):
        if self.off:
            return
        self.tell_printed()
        self.put(event, loop.l if loop is not None else 1, fields)

    def put(self, kind, l, fields):
        # A signal handler or a finalizer may run between any two lines of this file and make an event of its
        # own. It joins the list, and the outer call writes it.
        self.events.append((self.time(), kind, l, fields))
        with self.lock:
            if self.writing:
                return
            self.writing = True
            try:
                while self.events:
                    self.write(*self.events.popleft())
            finally:
                self.writing = False

    def write(self, t, kind, l, fields):
        self.last = t = max(t, self.last)
        line = {"s": self.s, "t": t, "e": kind}
        self.s += 1
        if l > 1 and kind not in ("meta", "def"):
            line["l"] = l
        for key, value in fields.items():
            if value is not None or key == "to":
                line[key] = value
        text = ENCODE(line)
        if self.page:
            text = text.replace("<", "\\u003c")
        self.lines.append(text + "\n")
        self.size += len(text)
        if self.size > BUFFER:
            self.flush()

    def flush(self):
        with self.lock:
            data = "".join(self.lines).encode()
            self.lines.clear()
            self.size = 0
            # A forked child has a copy of what was not written yet.
            if os.getpid() != self.pid:
                self.off = True
            while data and not self.off:
                data = data[os.write(self.descriptor, data):]

    def hear(self, text):
        """Notes what is printed. Each line, and what stands before another event, is one `out`."""
        loop = self.running.get(threading.get_ident())
        printer = (loop, loop.current) if loop is not None else None
        with self.lock:
            if printer != self.printer:
                self.tell_printed()
            self.printer = printer
            self.printed += text
            if text.endswith("\n"):
                self.tell_printed()

    def tell_printed(self):
        if not self.printed:
            return
        with self.lock:
            text, self.printed = self.printed, ""
            loop, by = self.printer or (None, None)
            self.put("out", loop.l if loop is not None else 1, {"text": text, "by": by})

    # ---- places in the program

    def place(self, frame):
        """Returns the number of the innermost place in the program, from a frame outwards."""
        while frame is not None and not is_program(frame.f_code.co_filename):
            frame = frame.f_back
        return None if frame is None else self.place_of(frame.f_code, frame.f_lasti, frame.f_lineno)

    def place_of(self, code, at, line):
        number = self.at_place.get((code, at))
        if number is None:
            column = 1
            if hasattr(code, "co_positions"):
                position = next(itertools.islice(code.co_positions(), at // 2, None), (None,) * 4)
                if position[0] is not None and position[2] is not None:
                    line, column = position[0], position[2] + 1
            number = self.at_place[code, at] = self.define(code.co_filename, line, column)
        return number

    def define(self, path, line, column):
        shown = shown_path(path)
        if shown not in self.files:
            self.files[shown] = len(self.files) + 1
            try:
                if os.path.getsize(path) <= LONGEST_FILE:
                    with open(path, encoding="utf-8", errors="replace") as file:
                        self.emit("def", None, k="file", id=self.files[shown], v=shown, text=file.read())
            except OSError:
                pass  # a program may have no file
        text = "%s:%d:%d" % (shown, line, column)
        if text not in self.places:
            self.places[text] = len(self.places) + 1
            self.emit("def", None, k="src", id=self.places[text], v=text)
        return self.places[text]


def is_program(path):
    library = path.startswith(LIBRARY) or path.startswith("<")
    return not (library or path == __file__ or "site-packages" in path or "dist-packages" in path)


def shown_path(path):
    """Shortens a path to what means the same on every machine."""
    path = os.path.abspath(path)
    here = os.getcwd() + os.sep
    return path[len(here):] if path.startswith(here) else os.sep.join(path.split(os.sep)[-2:])


def function_of(callback):
    while isinstance(callback, functools.partial):
        callback = callback.func
    return callback


def label_of(callback):
    callback = function_of(callback)
    name = getattr(callback, "__qualname__", None)
    return name if isinstance(name, str) else type(callback).__qualname__


def own_label(label):
    """Returns looplab's name for one of asyncio's own callbacks, or asyncio's own."""
    parts = label.split(".")
    known = OWN.get(".".join(parts[-3:])) or OWN.get(parts[-1])
    return known or label


def is_asyncio(callback):
    module = getattr(function_of(callback), "__module__", None)
    return isinstance(module, str) and module.lstrip("_").startswith("asyncio")


def stepped_task(callback):
    """Returns the task that a callback steps, and whether it begins or goes on; or None."""
    task = getattr(callback, "__self__", None)
    if not asyncio.isfuture(task) or not hasattr(task, "get_coro"):
        return None
    name = type(callback).__name__ + str(getattr(callback, "__name__", ""))
    if "akeup" in name:
        return task, "wakeup"
    return (task, "step") if "tep" in name else None


def error_text(error):
    try:
        text = str(error)
    except Exception:
        text = ""
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def guarded(hook):
    """A hook that fails ends the trace, never the program."""

    @functools.wraps(hook)
    def call(self, *args, **named):
        trace = self.trace
        if trace.off:
            return None
        try:
            return hook(self, *args, **named)
        except Exception as error:
            trace.off = True
            sys.__stderr__.write("xray: the trace ends here: %s\n" % error_text(error))
            return None

    return call


class Loop:
    """What the trace knows of one event loop. It holds no handle, no future and no task but the running one."""

    def __init__(self, trace, loop):
        trace.loops += 1
        self.trace = trace
        self.l = trace.loops
        self.loop = weakref.ref(loop)
        self.known = {}  # id of an object → [number, weak reference, place, what is told of it]
        self.handles = self.ids = self.entries = self.turns = self.job_count = 0
        self.queue = collections.deque()  # the numbers of the entries in the loop's queue
        self.jobs = {}  # number of a future → its job
        self.phase = ""
        self.starts = self.runs = self.stopping = False
        self.thread = None
        self.taken = None  # an entry that was taken from the queue, and does not run yet
        self.current = None  # the entry that runs
        self.task = None  # the task that it steps
        self.parked = False
        self.error = None
        self.signal = None
        self.threads_write = 0
        self.popped = self.polled = None
        self.dropped = []

    # ---- numbers

    def entry_of(self, value, count):
        """Returns what is known of an object, which gets a number when it is first seen."""
        known = self.known.get(id(value))
        if known is None:
            key = id(value)
            number = getattr(self, count) + 1
            setattr(self, count, number)
            gone = weakref.ref(value, lambda _, known=self.known: known.pop(key, None))
            known = self.known[key] = [number, gone, None, False]
        return known

    def handle(self, handle):
        return self.entry_of(handle, "handles")[0]

    def is_here(self):
        return self.thread == threading.get_ident()

    def by(self):
        return self.current if self.is_here() else None

    def task_number(self, task):
        new = id(task) not in self.known
        known = self.entry_of(task, "ids")
        if new:
            known[2] = self.trace.place(sys._getframe(1))
            self.tell_task(task)
        return known[0]

    def tell_task(self, task):
        known = self.known[id(task)]
        coro = getattr(task.get_coro(), "__qualname__", None) or type(task.get_coro()).__name__
        self.trace.emit("task", self, task=known[0], name=task.get_name(), coro=coro, by=self.by(), src=known[2])

    def future(self, future, kind, src=None):
        """Returns a future's or task's number, as `on` and `cause` have it."""
        if hasattr(future, "get_coro"):
            return {"task": self.task_number(future)}
        new = id(future) not in self.known
        number = self.entry_of(future, "ids")[0]
        if new:
            self.trace.emit("fut", self, fut=number, kind=kind, src=src)
        return {"fut": number}

    # ---- the ready queue

    @guarded
    def appended(self, handle):
        with self.trace.lock:
            self.entries += 1
            q = self.entries
            if self.popped == id(handle):
                self.popped = None
                late = max(0, self.trace.time() - self.trace.scale(handle._when))
                self.trace.emit("due", self, q=q, h=self.handle(handle), late=late)
            else:
                self.pushed(q, handle)
            self.queue.append(q)

    def pushed(self, q, handle):
        frames = caller_frames()
        callback = handle._callback
        stepped = stepped_task(callback)
        fields = {"via": self.way(handle, frames)}
        if stepped:
            fields.update(self.step_fields(handle, *stepped))
        else:
            fields.update(self.callback_fields(handle, callback, frames, fields["via"]))
        if fields["via"] == "threadsafe":
            fields["thr"] = threading.current_thread().name
        if fields["via"] == "signal":
            fields["sig"] = self.signal
        if fields["via"] == "io" and self.polled:
            fields["fd"] = self.polled.get(id(handle))
        self.trace.emit("push", self, q=q, h=self.handle(handle), by=self.by(), **fields)

    def way(self, handle, frames):
        if self.signal is not None:
            return "signal"
        if "call_soon_threadsafe" in frames.names:
            return "threadsafe"
        return "io" if self.phase == "collect" and self.is_here() else "call_soon"

    def step_fields(self, handle, task, kind):
        number = self.task_number(task)
        fields = {"kind": kind, "cb": "%s.%s" % (task.get_name(), kind), "task": number, "src": self.known[id(task)][2]}
        if task is self.task and not self.parked:
            self.park(task, handle._args[0] if kind == "wakeup" else None)
        if kind == "wakeup" and handle._args:
            self.tell_done(handle._args[0], "future")
            fields["cause"] = self.future(handle._args[0], "future")
        return fields

    def callback_fields(self, handle, callback, frames, via):
        label = label_of(callback)
        fields = {"kind": "cb", "cb": label, "src": self.known.get(id(handle), (0, 0, None))[2]}
        args = handle._args or ()
        done = len(args) == 1 and asyncio.isfuture(args[0]) and args[0].done() and via == "call_soon"
        if via == "io":
            fields["kind"] = "io"
        elif done:
            self.tell_done(args[0], "future")
            fields.update(kind="donecb", cause=self.future(args[0], "future"))
            code = getattr(function_of(callback), "__code__", None)
            if code is not None and is_program(code.co_filename):
                fields["src"] = self.trace.define(code.co_filename, code.co_firstlineno, 1)
        elif via != "signal":
            fields["src"] = self.trace.place(frames.first)
        if via == "threadsafe" and label.endswith("_set_state") and id(args[0]) in self.known:
            self.job_over(args[0], args[1])
        # The program may pass `loop.stop` itself.
        given = label.startswith("BaseEventLoop.")
        if is_asyncio(callback) and not given and (done or via == "io" or frames.by_library):
            fields["own"] = True
            fields["cb"] = "wait_for" if done and label == "_release_waiter" else own_label(label)
        return fields

    @guarded
    def popleft(self, handle):
        with self.trace.lock:
            if self.taken is not None:
                self.trace.emit("skip", self, q=self.taken[0], h=self.taken[1])
            q = self.queue.popleft()
            self.taken = None
            if handle._cancelled:
                self.trace.emit("skip", self, q=q, h=self.handle(handle))
            else:
                self.taken = (q, self.handle(handle))

    @guarded
    def counted(self, length):
        if self.phase == "collect" and self.is_here():
            self.phase = "run"
            self.trace.emit("batch", self, n=length)

    # ---- callbacks and tasks

    @guarded
    def begins(self, handle):
        if self.taken is None:
            return
        self.current, h = self.taken
        self.taken = self.error = None
        known = self.entry_of(handle, "handles")
        if known[3] == "due":
            known[3] = "over"
        self.trace.running[self.thread] = self
        stepped = stepped_task(handle._callback)
        self.trace.emit("run", self, q=self.current, h=h)
        if stepped:
            self.task, self.parked = stepped[0], False
            waiter = stepped[0]._fut_waiter
            cancelled = stepped[0]._must_cancel or (waiter is not None and waiter.cancelled())
            exc = "CancelledError" if cancelled and not stepped[0].done() else None
            self.trace.emit("step", self, task=self.task_number(stepped[0]), exc=exc)

    @guarded
    def ends(self):
        if self.current is None:
            return
        task, self.task = self.task, None
        if task is not None:
            if task.done():
                self.tell_done(task, None)
            elif not self.parked:
                self.park(task, task._fut_waiter)
        self.trace.emit("ret", self, q=self.current, err=self.error)
        self.trace.tell_printed()
        self.current = None
        self.trace.running.pop(self.thread, None)

    def tell_done(self, future, kind):
        """Tells that a future or task is done, once."""
        number = self.future(future, kind)
        known = self.known[id(future)]
        if known[3] or not future.done():
            return
        known[3] = True
        error = None if future.cancelled() else future._exception
        st = "cancelled" if future.cancelled() else "ok" if error is None else "err"
        val = None if error is None else error_text(error)
        by = self.by()
        self.trace.emit("tdone" if "task" in number else "fdone", self, **number, st=st, val=val, by=by)

    def park(self, task, waiter):
        self.parked = True
        names, stack = [], []
        for awaiting, code, at, line in awaits(task.get_coro()):
            if is_program(code.co_filename):
                stack.insert(0, self.trace.place_of(code, at, line))
                names.clear()
            else:
                names.append(getattr(awaiting, "__qualname__", ""))
        number = self.task_number(task)
        if waiter is None:
            self.trace.emit("park", self, task=number, kind="yield", stack=stack or None)
            return
        kind = kind_of(waiter, names)
        on = self.future(waiter, kind, stack[0] if stack else None)
        self.trace.emit("park", self, task=number, on=on, kind=kind, stack=stack or None)

    @guarded
    def eager(self, task):
        """A task that ran up to its first await when it was made, inside of another entry."""
        if id(task) in self.known:
            return
        number = self.task_number(task)
        self.trace.emit("step", self, task=number)
        if task.done():
            self.tell_done(task, None)
        else:
            self.park(task, task._fut_waiter)

    @guarded
    def cancels(self, task):
        if not task.done():
            self.trace.emit("creq", self, task=self.task_number(task), by=self.by())

    @guarded
    def renamed(self, task):
        if id(task) in self.known:
            self.tell_task(task)

    @guarded
    def reported(self, context):
        error = context.get("exception")
        if error is not None and "handle" in context:
            self.error = error_text(error)
        self.trace.emit("mark", self, name=str(context.get("message", "")), kind="note", by=self.by())

    # ---- timers

    @guarded
    def timer(self, handle):
        frames = caller_frames()
        callback = handle._callback
        label, own, task = label_of(callback), None, None
        src = self.trace.place(frames.first)
        if is_asyncio(callback) and frames.by_library:
            own = True
            task = self.task_number(self.task) if self.task is not None else None
            if label == "_set_result_unless_cancelled":
                label = "sleep"
                self.future(handle._args[0], "sleep", src)
            else:
                label = "wait" if "_wait" in frames.names else own_label(label)
        known = self.entry_of(handle, "handles")
        known[3] = "heap"
        self.trace.emit(
            "timer", self, h=known[0], when=self.trace.scale(handle._when), cb=label, own=own, by=self.by(), task=task, src=src
        )

    @guarded
    def heap_pop(self, handle):
        known = self.entry_of(handle, "handles")
        if self.phase == "collect":
            known[3] = "due"
            self.popped = id(handle)
        else:
            known[3] = "over"
            self.dropped.append(known[0])

    @guarded
    def cancelled(self, handle):
        known = self.entry_of(handle, "handles")
        if known[3] == "heap":
            self.trace.emit("tcancel", self, h=known[0], by=self.by())
        elif known[3] != "over" and not label_of(handle._callback).endswith("_read_from_self"):
            # A timer that has run is cancelled by its sleep, as a matter of form.
            self.trace.emit("cancel", self, h=known[0], by=self.by())

    # ---- the turn

    @guarded
    def turn_begins(self):
        self.thread = threading.get_ident()
        if self.starts:
            self.starts, self.runs = False, True
            self.trace.emit("loop", self, ev="run")
        self.turns += 1
        self.phase = "sweep"
        self.trace.emit("turn", self, n=self.turns)

    @guarded
    def asks(self, timeout):
        if self.dropped:
            self.trace.emit("tdrop", self, hs=self.dropped)
            self.dropped = []
        loop = self.loop()
        h, to = None, None if timeout is None else int(timeout * 1e9 + 0.5)
        if collections.deque.__len__(loop._ready):
            why = "ready"
        elif loop._stopping:
            why = "stopping"
        elif loop._scheduled:
            why = "cap" if timeout >= 86400 else "timer"
            h = None if why == "cap" else self.handle(loop._scheduled[0])
        else:
            why = "idle"
        self.trace.emit("sel", self, to=to, why=why, h=h)
        if timeout is None or timeout > 0:
            self.trace.flush()

    @guarded
    def answers(self, events):
        wake, found, self.polled = None, [], {}
        pipe = self.pipe()
        for key, mask in events:
            if key.fd == pipe:
                wake = "thread" if self.threads_write else "signal"
                self.threads_write = 0
                continue
            found.append([key.fd, mask])
            for handle in key.data or ():
                if handle is not None:
                    self.polled[id(handle)] = key.fd
        self.phase = "collect"
        self.trace.emit("polled", self, ev=found, wake=wake)

    def pipe(self):
        loop = self.loop()
        pipe = getattr(loop, "_ssock", None)
        return -1 if pipe is None else pipe.fileno()

    @guarded
    def turn_ends(self):
        self.phase = ""
        self.ends()

    @guarded
    def run_ends(self):
        self.starts = False
        if not self.runs:
            return
        self.runs = False
        if self.stopping:
            self.stopping = False
            self.trace.emit("unstop", self)
        self.trace.emit("loop", self, ev="end")
        self.trace.flush()

    @guarded
    def stops(self):
        self.stopping = True
        self.trace.emit("stop", self, by=self.by())

    @guarded
    def lives(self, to):
        self.trace.emit("loop", self, ev=to)
        self.trace.flush()

    # ---- the outside

    @guarded
    def watches(self, fd, old, new):
        if fd == self.pipe():
            return
        for direction, before, after in zip("rw", old or (None, None), new or (None, None)):
            if after is before:
                continue
            if after is None:
                self.trace.emit("unreg", self, fd=fd, dir=direction, by=self.by())
            else:
                known = self.entry_of(after, "handles")
                known[2] = self.trace.place(sys._getframe(1))
                label = label_of(after._callback)
                if is_asyncio(after._callback):
                    label = own_label(label)
                self.trace.emit("reg", self, fd=fd, dir=direction, h=known[0], cb=label, by=self.by())

    @guarded
    def signal_handler(self, sig):
        handle = self.loop()._signal_handlers[sig]
        known = self.entry_of(handle, "handles")
        known[2] = self.trace.place(sys._getframe(1))
        self.trace.emit("sigreg", self, sig=sig, h=known[0], cb=label_of(handle._callback), by=self.by())

    @guarded
    def no_signal_handler(self, sig):
        self.trace.emit("sigunreg", self, sig=sig, by=self.by())

    @guarded
    def signal_read(self, sig):
        self.signal = sig
        self.trace.emit("sig", self, sig=sig)

    @guarded
    def job(self, future, function):
        src = self.trace.place(sys._getframe(1))
        number = self.future(future, "job", src)["fut"]
        self.job_count += 1
        self.jobs[number] = self.job_count
        own = True if is_asyncio(function) else None
        label = label_of(function)
        if isinstance(function, functools.partial) and label == "Context.run":
            label = label_of(function.args[0])  # asyncio.to_thread
        self.trace.emit("job", self, job=self.job_count, fn=label, own=own, by=self.by())

    def job_over(self, future, source):
        job = self.jobs.pop(self.known[id(future)][0], None)
        if job is None:
            return
        thread = threading.current_thread().name
        st = "cancelled" if source.cancelled() else "err" if source.exception() is not None else "ok"
        self.trace.emit("jrun", self, job=job, thr=thread)
        self.trace.emit("jend", self, job=job, thr=thread, st=st)

    def waits_for_real(self):
        """In virtual time, what comes from outside takes real time. So does a job on a thread."""
        watched = [fd for fd in self.loop()._selector.get_map() if fd != self.pipe()]
        return watched or self.jobs or any("_do_shutdown" in label_of(getattr(t, "_target", None)) for t in threading.enumerate())


class Frames:
    """The frames above an entry that is queued: who queues it, and by which functions."""

    def __init__(self, frame):
        self.names = set()
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        while frame is not None and frame.f_code.co_name in PASSING and frame.f_code.co_filename.startswith(LIBRARY):
            self.names.add(frame.f_code.co_name)
            frame = frame.f_back
        self.first = frame
        self.by_library = frame is not None and not is_program(frame.f_code.co_filename)
        if self.by_library:
            self.names.add(frame.f_code.co_name)


def caller_frames():
    return Frames(sys._getframe(1))


def awaits(coroutine):
    """Walks the chain of awaits from a task's coroutine inwards."""
    while coroutine is not None:
        for kind, then in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = getattr(coroutine, kind + "_frame", None)
            if frame is not None:
                yield coroutine, frame.f_code, frame.f_lasti, frame.f_lineno
                coroutine = getattr(coroutine, then, None)
                break
        else:
            return


def kind_of(future, names):
    if hasattr(future, "get_coro"):
        return "task"
    for name in reversed(names):
        if name in KINDS:
            return KINDS[name]
    if "Gathering" in type(future).__name__:
        return "gather"
    callbacks = " ".join(label_of(pair[0] if isinstance(pair, tuple) else pair) for pair in future._callbacks or ())
    if "_outer_done_callback" in callbacks:
        return "shield"
    return "job" if "_call_check_cancel" in callbacks else "future"


# ---- what takes the place of asyncio's parts


class Ready(collections.deque):
    """A loop's queue of ready entries."""

    seen = None

    def append(self, handle):
        if self.seen is not None:
            with self.seen.trace.lock:  # so that the queue's order is the trace's
                self.seen.appended(handle)
                collections.deque.append(self, handle)
        else:
            collections.deque.append(self, handle)

    def popleft(self):
        handle = collections.deque.popleft(self)
        if self.seen is not None:
            self.seen.popleft(handle)
        return handle

    def __len__(self):
        if self.seen is None or self.seen.phase != "collect":
            return collections.deque.__len__(self)
        with self.seen.trace.lock:
            length = collections.deque.__len__(self)
            self.seen.counted(length)
        return length


class Selector:
    """A loop's selector, which also moves virtual time."""

    def __init__(self, inner):
        self.inner = inner
        self.seen = None

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def register(self, fileobj, events, data=None):
        key = self.inner.register(fileobj, events, data)
        if self.seen is None:
            self.seen = (data[0] or data[1])._loop._xray  # of the self-pipe's reader, the first of all
        self.seen.watches(key.fd, None, data)
        return key

    def modify(self, fileobj, events, data=None):
        old = self.inner.get_key(fileobj).data
        key = self.inner.modify(fileobj, events, data)
        self.seen.watches(key.fd, old, data)
        return key

    def unregister(self, fileobj):
        key = self.inner.unregister(fileobj)
        self.seen.watches(key.fd, key.data, None)
        return key

    def select(self, timeout=None):
        self.seen.asks(timeout)
        events = self.wait(timeout)
        self.seen.answers(events)
        return events

    def wait(self, timeout):
        trace = self.seen.trace
        if not trace.virtual or timeout == 0:
            return self.inner.select(timeout)
        events = self.inner.select(0)
        if events or timeout is None:
            return events or self.inner.select(None)
        if not self.seen.waits_for_real():
            trace.now += timeout
            return events
        began = time.monotonic()
        events = self.inner.select(timeout)
        if not events or not self.seen.jobs:
            trace.now += min(timeout, time.monotonic() - began)
        return events


class Heap:
    """The module `heapq` as asyncio's loops see it."""

    def __getattr__(self, name):
        return getattr(heapq, name)

    def heappush(self, heap, handle):
        heapq.heappush(heap, handle)
        seen = getattr(handle._loop, "_xray", None)
        if seen is not None:
            seen.timer(handle)

    def heappop(self, heap):
        handle = heapq.heappop(heap)
        seen = getattr(handle._loop, "_xray", None)
        if seen is not None:
            seen.heap_pop(handle)
        return handle

    def heapify(self, heap):
        loop = asyncio._get_running_loop()
        seen = getattr(loop, "_xray", None)
        if seen is not None:
            for handle in loop._scheduled:
                if handle._cancelled:
                    seen.heap_pop(handle)
        heapq.heapify(heap)


def seen_task():
    """Makes the class of tasks: asyncio's own in C, with three methods that also tell."""
    run = asyncio.Handle._run.__code__

    class Task(asyncio.Task):
        def __init__(self, coro, **named):
            super().__init__(coro, **named)
            seen = getattr(self.get_loop(), "_xray", None)
            if named.get("eager_start") and seen is not None:
                seen.eager(self)

        def cancel(self, *args, **named):
            seen = getattr(self.get_loop(), "_xray", None)
            if seen is not None:
                seen.cancels(self)
            return super().cancel(*args, **named)

        def result(self):
            # asyncio in C asks a task of its own class in another way, which leaves the error's context alone.
            if sys._getframe(1).f_code is not run or not self.done() or self.cancelled():
                return super().result()
            error = self._exception
            context = None if error is None else error.__context__
            try:
                return super().result()
            finally:
                if error is not None:
                    error.__context__ = context
                self = error = context = None

        def set_name(self, value):
            super().set_name(value)
            seen = getattr(self.get_loop(), "_xray", None)
            if seen is not None:
                seen.renamed(self)

    Task.__module__ = asyncio.Task.__module__
    Task.__qualname__ = asyncio.Task.__qualname__
    return Task


def around(owner, name):
    """Replaces a method by a function that gets the original."""

    def replace(function):
        original = getattr(owner, name)

        @functools.wraps(original)
        def method(self, *args, **named):
            seen = getattr(self, "_xray", None)
            if seen is None:
                return original(self, *args, **named)
            return function(original, seen, self, *args, **named)

        setattr(owner, name, method)

    return replace


def hook_loops(trace):
    base = asyncio.base_events.BaseEventLoop
    selector_loop = asyncio.selector_events.BaseSelectorEventLoop
    make_base, make = base.__init__, selector_loop.__init__

    def init_base(self):
        make_base(self)
        self._xray = Loop(trace, self)
        self._ready = Ready(self._ready)
        self._ready.seen = self._xray
        self._xray.lives("new")

    def init(self, selector=None):
        make(self, Selector(selector if selector is not None else selectors.DefaultSelector()))

    base.__init__ = init_base
    selector_loop.__init__ = init

    if trace.virtual:
        base.time = lambda self: trace.now

    @around(base, "_run_once")
    def run_once(original, seen, self):
        seen.turn_begins()
        try:
            original(self)
        finally:
            seen.turn_ends()
            seen = self = None

    @around(base, "run_forever")
    def run_forever(original, seen, self):
        seen.starts = not self.is_running()
        try:
            original(self)
        finally:
            if not self.is_running():
                seen.run_ends()
            seen = self = None

    @around(base, "stop")
    def stop(original, seen, self):
        original(self)
        seen.stops()

    @around(base, "close")
    def close(original, seen, self):
        closed = self.is_closed()
        original(self)
        if not closed:
            seen.lives("closed")

    @around(base, "call_exception_handler")
    def call_exception_handler(original, seen, self, context):
        seen.reported(context)
        original(self, context)

    @around(base, "run_in_executor")
    def run_in_executor(original, seen, self, executor, func, *args):
        future = original(self, executor, func, *args)
        if asyncio.isfuture(future):
            seen.job(future, func)
        return future

    @around(selector_loop, "_write_to_self")
    def write_to_self(original, seen, self):
        seen.threads_write += 1
        original(self)


def hook_signals():
    unix_loop = asyncio.unix_events._UnixSelectorEventLoop

    @around(unix_loop, "add_signal_handler")
    def add_signal_handler(original, seen, self, sig, callback, *args):
        original(self, sig, callback, *args)
        seen.signal_handler(int(sig))

    @around(unix_loop, "remove_signal_handler")
    def remove_signal_handler(original, seen, self, sig):
        removed = original(self, sig)
        if removed:
            seen.no_signal_handler(int(sig))
        return removed

    @around(unix_loop, "_handle_signal")
    def handle_signal(original, seen, self, signum):
        seen.signal_read(int(signum))
        try:
            original(self, signum)
        finally:
            seen.signal = None


def hook_handles():
    run, cancel = asyncio.Handle._run, asyncio.Handle.cancel

    def seen_run(self):
        seen = getattr(self._loop, "_xray", None)
        if seen is None:
            return run(self)
        seen.begins(self)
        try:
            return run(self)
        finally:
            seen.ends()
            # As asyncio's own does: else a traceback keeps the task alive.
            self = None

    def seen_cancel(self):
        seen = getattr(self._loop, "_xray", None)
        if seen is not None and not self._cancelled:
            seen.cancelled(self)
        cancel(self)

    asyncio.Handle._run = seen_run
    asyncio.Handle.cancel = seen_cancel


def hook_output(trace):
    write = sys.stdout.write

    def seen_write(text):
        count = write(text)
        if not trace.off and text:
            trace.hear(text)
        return count

    sys.stdout.write = seen_write


def hide_this_file():
    """Leaves out this file's frames where a traceback is printed."""

    def without(walk):
        @functools.wraps(walk)
        def walk_others(start):
            return (item for item in walk(start) if item[0].f_code.co_filename != __file__)

        return walk_others

    for name in ("walk_tb", "walk_stack", "_walk_tb_with_full_positions"):
        if hasattr(traceback, name):
            setattr(traceback, name, without(getattr(traceback, name)))
    # Before 3.13 the interpreter prints the last error without the module `traceback`.
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = lambda kind, error, trace: traceback.print_exception(kind, error, trace)


def install(trace):
    asyncio.base_events.heapq = Heap()
    asyncio.Task = asyncio.tasks.Task = seen_task()
    hook_loops(trace)
    hook_signals()
    hook_handles()
    hook_output(trace)
    hide_this_file()

    def finish():
        trace.tell_printed()
        trace.flush()
        trace.off = True

    atexit.register(finish)


# ---- the command


def page_head():
    if PAGE:
        return PAGE
    folder = os.path.dirname(os.path.abspath(__file__))

    def read(name):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read()

    code = read("lit-html.js") + "".join(read(name + ".js") for name in PARTS.split())
    style = "<style>\n%s</style>\n" % read("style.css")
    script = '<script>\n"use strict";\nconst WORDS = %s;\n%s</script>\n' % (read("words.json"), code)
    return read("head.html") + style + read("body.html") + script


def open_output(path):
    """Makes the file new, for its user only. A link is refused."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        sys.exit("xray: %s: %s" % (path, error.strerror))


def arguments(words):
    virtual, output = False, None
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word == "--virtual":
            virtual = True
        elif word in ("-o", "--output") and words:
            output = words.pop(0)
        elif word in ("-h", "--help"):
            print(__doc__)
            sys.exit(0)
        else:
            sys.exit(USAGE)
    if not words or (output and not output.endswith((".html", ".jsonl"))):
        sys.exit(USAGE)
    name = os.path.splitext(os.path.basename(words[0]))[0]
    return virtual, output or name + ".html", name, words


def main():
    virtual, output, name, words = arguments(sys.argv[1:])
    try:
        with open(words[0], "rb") as file:
            source = file.read()
    except OSError as error:
        sys.exit("xray: %s: %s" % (words[0], error.strerror))
    page = output.endswith(".html")
    trace = Trace(open_output(output), page, virtual)
    if page:
        trace.lines.append(page_head() + '<script type="application/jsonl" class="trace" data-name="Python">\n')
    meta = {"v": 1, "rt": "CPython %d.%d.%d asyncio" % sys.version_info[:3], "unit": "ns"}
    meta["clock"] = "virtual" if virtual else "monotonic"
    if not virtual:
        meta.update(wall0=time.time_ns(), pid=os.getpid())
    trace.put("meta", 1, dict(meta, prog=name))
    install(trace)
    run_program(words, source)


def run_program(words, source):
    """Runs the program as `python3 PROGRAM.py` does: as the module `__main__`."""
    sys.modules["xray"] = sys.modules["__main__"]
    path = os.path.abspath(words[0]) if sys.version_info >= (3, 9) else words[0]
    program = types.ModuleType("__main__")
    program.__file__ = path
    program.__builtins__ = __builtins__
    sys.modules["__main__"] = program
    sys.argv[:] = words
    sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
    exec(compile(source, path, "exec"), program.__dict__)


if __name__ == "__main__":
    main()
