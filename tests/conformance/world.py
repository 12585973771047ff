"""The Python side of the conformance language: everything but the bodies of tasks, which are in `body.py`.

It writes what `world.rs` writes, line for line; whoever changes one changes the other.
"""

import asyncio
import re
import signal
import sys

from body import Bodies
from crowds import Crowds
from descriptors import Descriptors
from errors import TROUBLE, show, make_error
from runs import Runs
from sync import Sync

# How often a callback or a body does its operations; after that it only says that it runs. So every program ends.
BUDGET = 3
CLOSED = "Event loop is closed"
# What a Runner's own tasks run.
RUNNERS = ("shutdown_asyncgens", "shutdown_default_executor", "_wrap_awaitable")


class NamedTask(asyncio.Task):
    """Keeps its name. Before 3.14 a loop with a factory calls each task `None` that has no name of its own."""

    def set_name(self, name):
        if name is not None:
            super().set_name(name)


NamedTask.__name__ = "Task"  # in reports, too


class World(Bodies, Runs, Sync, Crowds, Descriptors):
    """One program under way."""

    def __init__(self, program, new_loop):
        self.program, self.log, self.late = program, [], []
        self.tasks, self.futures, self.handles, self.registered = {}, {}, {}, {}
        self.gathers, self.shields, self.groups, self.limits, self.things = {}, {}, {}, {}, {}
        self.completing, self.fresh = {}, set()
        self.ends, self.bursts = {}, []
        self.graveyard, self.names, self.spent, self.signals = [], {}, {}, set()
        self.loop, self.other, self.runner = new_loop(), new_loop(), None
        asyncio.set_event_loop(self.loop)  # 3.8 and 3.9 ask for it
        self.loop.set_exception_handler(self.report)
        self.other.set_exception_handler(self.report)

    def run(self):
        """The program's lines: in order, and sorted those that come when its objects are collected."""
        if self.program.get("runner"):
            self.runner = asyncio.Runner(loop_factory=lambda: self.loop)
            self.runner.get_loop()
        for op in self.program["script"]:
            self.plain("script", op)
        self.plain("script", ["runner_close"])
        self.loop.close()
        self.other.close()
        asyncio.set_event_loop(None)
        return list(self.log), self.late

    def forget(self):
        """Lets go of everything, so that failures which nobody has read are reported."""
        for table in (self.tasks, self.futures, self.handles, self.registered, self.gathers, self.shields,
                      self.groups, self.limits, self.things, self.graveyard, self.completing):
            table.clear()
        self.bursts.clear()
        self.close_ends()
        self.loop.gates.drop()

    def say(self, who, text):
        if self.is_over() and who != "script":
            return  # a body that is being destroyed; in looplab no code of it runs then
        self.log.append(f"{self.loop.turns}@{self.loop.time()} {who}: {text}")

    def is_over(self):
        """Whether a body that runs now can only be one that is being destroyed."""
        return self.loop.is_closed() and not self.other.is_running()

    def here(self):
        """The loop that runs, if one does."""
        return next((loop for loop in (self.other, self.loop) if loop.is_running()), None)

    def report(self, loop, context):
        message, error = context["message"], context.get("exception")
        if message.startswith("Exception in callback"):
            self.say("handler", f"callback failed {show(error)}")
            if self.program.get("handler"):
                raise make_error(self.program["handler"])
            return
        future = context.get("task") or context.get("future")
        if message.startswith("unhandled exception during"):
            self.say("handler", f"{self.name_of(future)} failed in the shutdown {show(error)}")
            return
        name = "gather" if message.startswith("_Gathering") else self.name_of(future)
        what = re.sub("^_Gathering", "", message).rstrip("!")
        self.late.append(f"{name}: {what}" + (f" {show(error)}" if error else ""))

    def name_of(self, future):
        if hasattr(future, "get_coro"):
            name = future.get_name() if hasattr(future, "get_name") else "Task-"
            if name.startswith("Task-"):
                # A task that ended in its eager step has no coroutine, and 3.12.1 crashes when it is asked for one.
                name = getattr(future, "body", None) or future.get_coro().__name__
            return "runner" if name in RUNNERS or re.fullmatch("runner/[^/]*", name) else name
        return self.names.get(id(future), "shield")

    def spend(self, name):
        self.spent[name] = self.spent.get(name, 0) + 1
        return self.spent[name] <= BUDGET

    def is_tired(self, name):
        return self.spent.get(name, 0) >= BUDGET

    def put(self, table, name, value):
        if name in table:
            self.graveyard.append(table[name])
        table[name] = value

    def name_future(self, name, future):
        self.put(self.futures, name, future)
        self.names[id(future)] = name

    def find(self, name):
        if name == "self":
            return asyncio.current_task(self.here() or self.loop)
        found = self.tasks.get(name) or self.futures.get(name)
        if self.loop.masked and getattr(found, "_asyncio_future_blocking", False):
            found._asyncio_future_blocking = False  # it awaited itself
        return found

    def fire(self, name, of=""):
        self.say(name, f"runs{of}")
        if self.spend(name):
            for op in self.program["callbacks"].get(name, []):
                self.plain(name, op)

    def plain(self, who, op):
        """One operation that does not wait; its error is that of `raise`, all others are printed."""
        kind, *rest = op
        if kind == "raise":
            raise make_error(rest[0])
        do = getattr(self, f"do_{kind}", None)
        if do is None:
            return
        try:
            text = do(who, *rest)
        except BaseException as error:
            text = show(error)
        if text is not None:
            text = str(text).lower() if isinstance(text, bool) else text
            self.say(who, f"{' '.join([kind] + [x for x in rest[:1] if isinstance(x, str)])} = {text}")

    # Callbacks.

    def do_soon(self, who, h, c):
        self.handles[h] = self.loop.call_soon(self.fire, c)

    def do_later(self, who, h, c, delay):
        self.handles[h] = self.loop.call_later(delay, self.fire, c)

    def do_at(self, who, h, c, when):
        self.handles[h] = self.loop.call_at(when, self.fire, c)

    def do_other_soon(self, who, h, c):
        self.handles[h] = self.other.call_soon(self.fire, c)

    def do_other_later(self, who, h, c, delay):
        self.handles[h] = self.other.call_later(delay, self.fire, c)

    def do_threadsafe(self, who, c):
        self.loop.call_soon_threadsafe(self.fire, c)

    def do_thread(self, who, c):
        self.loop.call_from_thread(self.fire, c)

    def do_drop(self, who, h):
        if h in self.handles:
            before = self.handles[h].cancelled()
            self.handles[h].cancel()
            return f"{before} {self.handles[h].cancelled()}".lower()

    def do_signal(self, who, s, c):
        self.loop.add_signal_handler(getattr(signal, s), self.fire, c)
        self.signals.add(s)

    def do_unsignal(self, who, s):
        self.signals.discard(s)
        return self.loop.remove_signal_handler(getattr(signal, s))

    def do_kill(self, who, s):
        if s in self.signals and not self.loop.is_closed():
            self.loop.raise_signal(getattr(signal, s))

    def do_job(self, who, j, what):
        self.loop._check_closed()
        future = asyncio.wrap_future(self.loop.gates.submit(self.job(j, what)), loop=self.loop)
        self.name_future(j, future)

    def do_default_job(self, who, j, what):
        self.loop._check_closed()
        self.loop.use_gates()
        self.name_future(j, self.loop.run_in_executor(None, self.job(j, what)))

    def job(self, j, what):
        def work():
            self.say(j, "works")
            if ":" in what:
                raise make_error(what)
            return what

        return work

    # Futures and tasks.

    def do_future(self, who, f):
        self.name_future(f, (self.other if f[0] == "o" else self.loop).create_future())

    def do_set(self, who, f, value):
        return self.settle(f, lambda future: future.set_result(value))

    def do_fail(self, who, f, error):
        # On a closed loop CPython forgets to mark the error as unread, if anybody waited.
        if not self.loop.is_closed():
            return self.settle(f, lambda future: future.set_exception(make_error(error)))

    def settle(self, f, set):
        try:
            return (set(self.futures[f]) or "ok") if f in self.futures else None
        except RuntimeError:
            # Whether anybody still waits for it differs: tasks end at close() in looplab.
            return "ok"

    def do_cancel(self, who, x, message):
        future = self.find(x)
        if future is None or (self.loop.is_closed() and hasattr(future, "get_coro")):
            return None  # tasks ended at close() in looplab
        try:
            return future.cancel() if message is None else future.cancel(msg=message)
        except RuntimeError as error:
            if not self.loop.is_closed():
                raise
            return True

    def do_add(self, who, x, c, key):
        if not (future := self.find(x)) or self.loop.is_closed():
            return

        def callback(_):
            self.fire(c, f" for {x}")

        future.add_done_callback(callback)
        self.registered[key] = callback

    def do_remove(self, who, x, key):
        future = self.find(x)
        if future is not None and key in self.registered and not self.loop.is_closed():
            return str(future.remove_done_callback(self.registered[key]))

    def do_task(self, who, t, body):
        coro = self.body(t, body)
        try:
            self.put(self.tasks, t, self.loop.create_task(coro))
        finally:
            self.loop.is_closed() and coro.close()

    def do_eager(self, who, t, body):
        coro = self.body(t, body)
        try:
            self.put(self.tasks, t, self.make_eager(self.loop, coro))
        finally:
            self.loop.is_closed() and coro.close()

    def do_factory(self, who, kind):
        self.loop.set_task_factory(self.make_eager if kind == "eager" else None)

    def make_eager(self, loop, coro, **options):
        loop._check_closed()  # as `create_task` does
        name = coro.__name__
        try:
            make = asyncio.Task if sys.version_info >= (3, 14) else NamedTask
            task = make(coro, loop=loop, eager_start=True, **options)
        except (KeyboardInterrupt, SystemExit):
            TROUBLE.append("an exit in an eager step, which create_task raises")
            raise
        task.body = name
        return task

    def do_other_task(self, who, t, body):
        self.put(self.tasks, t, self.other.create_task(self.body(t, body)))

    def do_name(self, who, t):
        return self.name_of(task) if hasattr(task := self.find(t), "get_name") else None

    def do_rename(self, who, t, name):
        # A pending task is reported by its name: in looplab by close(), in CPython when it is collected.
        if hasattr(task := self.find(t), "set_name") and not self.loop.is_closed():
            self.loop.note_number(task)
            task.set_name(name)

    def open_task(self, t):
        task = self.find(t)
        return task if hasattr(task, "uncancel") and not self.loop.is_closed() else None

    def do_uncancel(self, who, t):
        return str(task.uncancel()) if (task := self.open_task(t)) else None

    def do_cancelling(self, who, t):
        return str(task.cancelling()) if (task := self.open_task(t)) else None

    def do_done(self, who, x):
        return f"{future.done()} {future.cancelled()}".lower() if (future := self.find(x)) else None

    def do_result(self, who, x):
        return future.result() if (future := self.find(x)) else None

    def do_error(self, who, x):
        if future := self.find(x):
            error = future.exception()
            return "none" if error is None else f"some {show(error)}"

    def do_tasks(self, who):
        if not self.loop.is_closed():
            return " ".join(sorted(self.name_of(task) for task in asyncio.all_tasks(self.loop)))

    def do_current(self, who):
        return self.name_of(task) if (task := asyncio.current_task(self.here() or self.loop)) else "none"

    def do_log(self, who, text):
        return text

    # Combinators that are made and awaited at different times.

    def do_gather_new(self, who, g, mode, names):
        if self.loop.is_running():
            several = [self.find(name) for name in self.of_one_kind(names)]
            self.check_loops(several)
            self.gathers[g] = asyncio.gather(*several, return_exceptions=mode == "all")

    def do_gather_cancel(self, who, g):
        return self.gathers[g].cancel() if g in self.gathers and not self.loop.is_closed() else None

    def do_completing_new(self, who, w, timeout, names):
        if self.loop.is_running() and w not in self.completing:
            several = [self.find(name) for name in self.of_one_kind(names)]
            self.completing[w] = iter(asyncio.as_completed(several, timeout=timeout))

    def do_gather_done(self, who, g):
        return self.gathers[g].done() if g in self.gathers else None

    def do_shield_new(self, who, s, x):
        if self.here() and (inner := self.find(x)):
            self.put(self.shields, s, asyncio.shield(inner))

    def do_shield_cancel(self, who, s):
        return self.shields[s].cancel() if s in self.shields and not self.loop.is_closed() else None

    def do_shield_done(self, who, s):
        if s in self.shields:
            return f"{self.shields[s].done()} {self.shields[s].cancelled()}".lower()

    def do_group_new(self, who, g):
        self.put(self.groups, g, asyncio.TaskGroup())
        self.fresh.add(g)

    def do_group_cancel(self, who, g):
        if g in self.groups and not self.loop.is_closed():
            self.groups[g].cancel()

    def do_group_task(self, who, g, t, body):
        if g in self.groups and not self.loop.is_closed():
            coro = self.body(t, body)
            try:
                self.put(self.tasks, t, self.groups[g].create_task(coro))
            except RuntimeError:
                coro.close()  # since 3.13 it is closed already
                raise

    def do_reschedule(self, who, x, delay):
        if x in self.limits and (here := self.here()):
            self.limits[x].reschedule(None if delay is None else here.time() + delay)

    def do_expired(self, who, x):
        return self.limits[x].expired() if x in self.limits else None
