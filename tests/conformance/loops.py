"""Loops in virtual time, for the interpreter in `world.py`: time stands still while anything is ready, and jumps to the
next deadline when nothing is.

`exact()` is asyncio's own selector loop with a selector that never sleeps: the turns are CPython's own. `foreign(cls)`
puts virtual time on any loop class from outside, by what every loop has: `call_soon` of a callback that is always the
last of its turn. It counts the turns, queues the timers that are due, and sees when nothing is left but itself. (On
asyncio's own loop both give the same lines: `--loop asyncio:new_event_loop` shows it.)

What `mask()` patches, for the differences that looplab makes on purpose (rows of docs/differences.md) or that have nothing
to do with turns:
 - equal deadlines run first-come first-served (TimerHandle compares a sequence number too);
 - the stop callback of a finished run_until_complete does nothing in a later run;
 - a nested run that is refused changes nothing (before 3.13.3 asyncio forgets that the outer loop runs);
 - wait(), as_completed() and a TaskGroup go through what they hold in its order, not in the order of a set, and a Runner
   cancels the tasks that are left in the order of their creation;
 - a shielded failure is reported also if the waiter was cancelled in its turn (before 3.14 it is lost);
 - what a future of another thread ends with is taken over at once if its loop is the running one (since 3.13.18);
 - a signal that came before its handler was removed is forgotten with it;
 - a thread's call writes no byte into the self-pipe (the entry that reads the byte makes one turn more after a run that an
   interrupt left, and reads a signal of its turn a turn earlier);
 - a task that awaited itself bears no mark of it (by which the next await of it fails, if tasks are those in C);
 - an as_completed() that is left early takes its callbacks and its timer back;
 - a TaskGroup whose body is destroyed with its loop cancels no children (no code of a destroyed body runs in looplab).
"""

import asyncio
import concurrent.futures
import heapq
import inspect
import re
import selectors
import signal
import sys
import threading
import types
import weakref
from asyncio import base_events, events

from errors import TROUBLE


class Deadlock(KeyboardInterrupt):
    """Nothing can wake the loop again. (Of this kind, because nothing else leaves a loop from inside of a callback.)"""


class Timer(events.TimerHandle):
    """Timers with equal deadlines are told apart by who came first."""

    __slots__ = ("_seq",)
    made = 0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        Timer.made += 1
        self._seq = Timer.made

    def __lt__(self, other):
        return (self._when, self._seq) < (other._when, other._seq)


class OrderedSet(dict):
    """A set in the order of insertion; a set's own depends on addresses."""

    def __init__(self, values=()):
        super().__init__(dict.fromkeys(values))

    def add(self, value):
        self[value] = None

    def discard(self, value):
        self.pop(value, None)

    def remove(self, value):
        del self[value]


def rewrite(module, name, pattern, replacement):
    source, found = re.subn(pattern, replacement, inspect.getsource(getattr(module, name)))
    assert found == 1, f"{name} has changed"
    exec(source, vars(module))
    if hasattr(asyncio, name):
        setattr(asyncio, name, getattr(module, name))


def abandon(completing):
    """Takes back what an as_completed() that was left early would still do."""
    if not Virtual.masked:
        return
    if hasattr(completing, "_todo"):
        todo, callback, timer = completing._todo, completing._handle_completion, completing._timeout_handle
    elif completing.gi_frame is not None:
        names = completing.gi_frame.f_locals
        todo, callback, timer = names["todo"], names["_on_completion"], names["timeout_handle"]
    else:
        return
    for one in todo:
        one.remove_done_callback(callback)
    if timer is not None:
        timer.cancel()


def mask():
    """Patches asyncio where looplab differs on purpose."""
    events.TimerHandle = Timer
    asyncio.tasks.set = OrderedSet
    # as_completed makes its set by a comprehension.
    name = "_AsCompletedIterator" if hasattr(asyncio.tasks, "_AsCompletedIterator") else "as_completed"
    rewrite(asyncio.tasks, name, r"= \{(ensure_future.*?set\(\w+\))\}", r"= set(\1)")
    if sys.version_info < (3, 14):
        rewrite(asyncio.tasks, "shield", r"\n( +)inner.exception\(\)\n", r"\n\1pass\n")
    chained = inspect.getsource(asyncio.futures._chain_future)
    if "dest_loop is source_loop" in chained:
        rewrite(asyncio.futures, "_chain_future", "dest_loop is source_loop", "dest_loop is events._get_running_loop()")
    if hasattr(asyncio, "TaskGroup"):
        asyncio.taskgroups.set = OrderedSet
        asyncio.TaskGroup.__aexit__ = unless_destroyed(asyncio.TaskGroup.__aexit__)
    if hasattr(asyncio, "Runner"):
        rewrite(asyncio.runners, "_cancel_all_tasks", r"(tasks.all_tasks\(loop\))", r"loop.in_order(\1)")
    Virtual.masked = True


def unless_destroyed(leave):
    async def aexit(group, kind, error, traceback):
        if kind is GeneratorExit and group._loop.is_closed():
            return None
        return await leave(group, kind, error, traceback)

    return aexit


class Gates(concurrent.futures.ThreadPoolExecutor):
    """An executor of one thread that is not there: a job is over when the loop has nothing else to do, one at a time."""

    def __init__(self):
        super().__init__(1)
        self.queued, self.running, self.joins, self.is_shut = [], None, None, False

    def submit(self, function):
        if self.is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.queued.append((concurrent.futures.Future(), function))
        future = self.queued[-1][0]
        self.begin()
        return future

    def begin(self):
        while self.queued and self.running is None:
            job = self.queued.pop(0)
            if job[0].set_running_or_notify_cancel():
                self.running = job

    def shutdown(self, wait=True, *, cancel_futures=False):
        self.is_shut = True

    def drop(self):
        self.queued.clear()
        self.running = self.joins = None

    def finish_one(self):
        # A real job ends in a thread where no loop runs. Since 3.13.18 asyncio asks for that.
        loop = events._get_running_loop()
        if self.running is None:
            joins, self.joins = self.joins, None
            if joins is not None:
                events._set_running_loop(None)
                joins()
                events._set_running_loop(loop)
            return joins is not None
        (future, function), self.running = self.running, None
        events._set_running_loop(None)
        try:
            value = function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)
        finally:
            events._set_running_loop(loop)
        self.begin()
        return True


class Joiner:
    """The thread that waits for the default executor's threads, which is not there either: it is over after the last job, when
    the loop has nothing else to do."""

    def __init__(self, target, args):
        self.loop, self.join_all = target.__self__, lambda: target(*args)

    def start(self):
        self.loop.gates.joins = self.join_all
        self.loop.gates.shutdown()

    def join(self, timeout=None):
        """It has ended."""

    def is_alive(self):
        return False


base_events.threading = types.SimpleNamespace(**{**vars(threading), "Thread": Joiner})


class Selector(getattr(selectors, "EpollSelector", selectors.SelectSelector)):
    """Never sleeps: a wait moves the clock. What is ready, and in which order, is the kernel's answer."""

    now = 0
    loop = None

    def select(self, timeout=None):
        watched = len(self.get_map()) > 1  # more than the self-pipe
        if self.loop.had_signals or watched:
            if ready := super().select(0):
                return ready
        if timeout is not None and timeout <= 0 or self.loop.gates.finish_one():
            return []
        if timeout is not None:
            self.now += timeout
        elif self.loop._signal_handlers or watched:
            self.loop.stop()  # it would wait for a signal, or for bytes, that nothing sends
        else:
            raise Deadlock
        return []


class Virtual:
    """What both kinds have."""

    masked = False

    def prepare(self):
        self.turns = self.runs = 0
        self.had_signals = False
        self.gates = Gates()
        self.numbers = weakref.WeakKeyDictionary()

    def use_gates(self):
        """Makes the executor with the gates the default one."""
        if not isinstance(self, base_events.BaseEventLoop):
            TROUBLE.append("the default executor of another loop")
        elif self._default_executor is None:
            self.set_default_executor(self.gates)

    def note_number(self, task):
        """Notes the number of a task that is about to lose the name which says it."""
        self.numbers.setdefault(task, self.number(task))

    def number(self, task):
        return self.numbers.get(task) or int(task.get_name().rpartition("-")[2])

    def in_order(self, tasks):
        return sorted(tasks, key=self.number)

    def add_signal_handler(self, *args):
        self.had_signals = True
        super().add_signal_handler(*args)

    def raise_signal(self, number):
        signal.raise_signal(number)

    def call_from_thread(self, function, *args):
        """Calls it from a thread, which has done so before this returns."""
        if self.is_closed():
            self.call_soon_threadsafe(function, *args)
        thread = threading.Thread(target=self.call_soon_threadsafe, args=(function, *args))
        thread.start()
        thread.join()


class Exact(Virtual, asyncio.SelectorEventLoop):
    def __init__(self):
        self.selector = Selector()
        super().__init__(self.selector)
        self.selector.loop = self
        self.came = []  # the signals in the self-pipe; None for one that is forgotten
        self._clock_resolution = 0.5  # time is in whole seconds here
        self.prepare()

    def time(self):
        return self.selector.now

    def raise_signal(self, number):
        self.came.append(number)
        super().raise_signal(number)

    def _process_self_data(self, data):
        for number in data:
            if self.came.pop(0) is not None:
                self._handle_signal(number)

    def remove_signal_handler(self, number):
        removed = super().remove_signal_handler(number)
        if self.masked and not self.is_closed():
            self.came = [None if came == number else came for came in self.came]
            if not any(self.came):
                self._read_from_self()
        return removed

    def _write_to_self(self):
        """Writes no byte for a thread's call: see the head of this file."""

    def _run_once(self):
        self.turns += 1
        super()._run_once()

    def run_forever(self):
        if self.masked:
            self._check_closed()
            self._check_running()
        self.runs += 1
        super().run_forever()

    def run_until_complete(self, future):
        if not self.masked:
            return super().run_until_complete(future)
        before, run = base_events._run_until_complete_cb, self.runs + 1

        def stop_this_run(fut):
            if not fut.cancelled() and isinstance(fut.exception(), (SystemExit, KeyboardInterrupt)):
                return
            if self.runs == run:
                self.stop()

        base_events._run_until_complete_cb = stop_this_run
        try:
            return super().run_until_complete(future)
        finally:
            base_events._run_until_complete_cb = before


def foreign(cls):
    """The same for any other loop class, without its help."""

    class Foreign(Virtual, cls):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.now, self.timers, self.last = 0, [], None
            self.scheduled = 0  # for the next turn
            self.stop_asked = self.deadlocked = False
            self.left = False  # an interrupt has left a callback; some loops end the run, some do not
            self.raised = 0  # signals whose handlers have not run
            self.prepare()

        def time(self):
            return self.now

        def _check_closed(self):
            if self.is_closed():
                raise RuntimeError("Event loop is closed")

        def watched(self, callback, *args):
            try:
                callback(*args)
            except (KeyboardInterrupt, SystemExit):
                self.left = True
                raise

        def set_exception_handler(self, handler):
            super().set_exception_handler(lambda *args: self.watched(handler, *args))

        def call_soon(self, callback, *args, **kwargs):
            handle = super().call_soon(self.watched, callback, *args, **kwargs)
            self.scheduled += 1
            return handle

        def call_soon_threadsafe(self, callback, *args, **kwargs):
            handle = super().call_soon_threadsafe(self.watched, callback, *args, **kwargs)
            self.scheduled += 1
            return handle

        def call_later(self, delay, callback, *args, context=None):
            return self.call_at(self.now + delay, callback, *args, context=context)

        def call_at(self, when, callback, *args, context=None):
            if self.is_closed():
                super().call_soon(callback)  # it has its own words for that
            timer = Timer(when, callback, args, self, context)
            heapq.heappush(self.timers, timer)
            return timer

        def _timer_handle_cancelled(self, timer):
            """Cancelled timers are dropped at the head of the heap."""

        def add_signal_handler(self, number, callback, *args):
            def handle():
                self.raised -= 1
                callback(*args)

            super().add_signal_handler(number, handle)

        def raise_signal(self, number):
            self.raised += 1
            super().raise_signal(number)

        def end_of_turn(self):
            """The last callback of every turn: what a poll does then."""
            self.last = None
            if self.stop_asked:
                return
            if self.left and not self.scheduled:
                self.left = False
                self.last = super().call_soon(self.end_of_turn)
                return
            self.turns += 1
            try:
                self.poll(may_sleep=True)
            except Deadlock:  # not every loop would let it through
                self.deadlocked = True
                self.stop()

        def poll(self, may_sleep):
            while self.timers and self.timers[0].cancelled():
                heapq.heappop(self.timers)
            if may_sleep and not self.scheduled and not self.raised and not self.gates.finish_one():
                if self.timers:
                    longest = self.now + base_events.MAXIMUM_SELECT_TIMEOUT
                    self.now = max(self.now, min(self.timers[0].when(), longest))
                elif self.had_signals:
                    self.stop()
                else:
                    raise Deadlock
            while self.timers and self.timers[0].when() <= self.now:
                super().call_soon(self.watched, heapq.heappop(self.timers)._run_unless_cancelled)
            self.scheduled = 0
            self.last = super().call_soon(self.end_of_turn)

        def stop(self):
            self.stop_asked = True
            super().stop()

        def close(self):
            super().close()
            self.timers.clear()

        def run_forever(self):
            if issubclass(cls, base_events.BaseEventLoop):
                self._check_running()  # 3.13.0 forgets that it runs if it finds out itself
            if not self.is_running() and not self.is_closed() and events._get_running_loop() is None:
                self.runs += 1
                self.turns += 1
                if self.last is not None:
                    self.last.cancel()
                self.poll(may_sleep=not self.stop_asked)
            try:
                super().run_forever()
                if self.deadlocked:
                    raise Deadlock
            finally:
                if not self.is_running():
                    self.scheduled += self.left  # the rest of the turn may still be queued
                    self.stop_asked = self.deadlocked = self.left = False

    Timer._run_unless_cancelled = lambda timer: timer.cancelled() or timer._run()
    return Foreign
