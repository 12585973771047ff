"""The oracle: runs programs of the conformance language on CPython's own asyncio, in virtual time.

Says which Python 3 it is, then reads one program (JSON) a line from standard input and answers with one line: {"log": [...], "late": [...]}, or
{"skip": "why"} for what CPython itself cannot do (it recurses into a circle of tasks). The language is told in main.rs.

    python3 conformance.py            asyncio as it is, C tasks and futures
    python3 conformance.py --pure     Python tasks and futures, patched so that every reader of a cancelled task gets the
                                      message of the cancellation, as in looplab (C tasks give it to the first reader only)

What is patched, for the differences that looplab makes on purpose or that have nothing to do with turns:
 - equal deadlines run first-come first-served (TimerHandle compares a sequence number too);
 - the stop callback of a finished run_until_complete does nothing in a later run;
 - a nested run that is refused changes nothing (3.13.0 un-runs the outer loop; fixed in 3.13.3);
 - wait() goes through its arguments in their order, not in the order of a set;
 - no self-pipe: call_soon_threadsafe from the loop's own thread does not cost a wake-up;
 - cancelling or setting a future on a closed loop answers instead of raising, whoever still waits for it.
"""

import sys

PURE = "--pure" in sys.argv
if PURE:
    sys.modules["_asyncio"] = None

import asyncio
import gc
import json
import selectors
import warnings
from asyncio import base_events, events

CancelledError = asyncio.CancelledError
BUDGET = 3
TROUBLE = []


Deadlock = type("Deadlock", (BaseException,), {"__doc__": "Nothing can wake the loop again."})
Boom = type("Boom", (Exception,), {"__doc__": "An error of the program itself."})


class OrderedTimer(events.TimerHandle):
    __slots__ = ("_seq",)
    made = 0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        OrderedTimer.made += 1
        self._seq = OrderedTimer.made

    def __lt__(self, other):
        return (self._when, self._seq) < (other._when, other._seq)


events.TimerHandle = OrderedTimer


class OrderedSet(dict):
    """wait() makes a set of its arguments, whose order depends on their addresses."""

    def __init__(self, values=()):
        super().__init__(dict.fromkeys(values))

    def add(self, value):
        self[value] = None


asyncio.tasks.set = OrderedSet

if PURE:
    def keep_message(self):
        if self._cancelled_exc is not None:
            return CancelledError(*self._cancelled_exc.args)
        return CancelledError() if self._cancel_message is None else CancelledError(self._cancel_message)

    asyncio.Future._make_cancelled_error = keep_message


class Selector(selectors.SelectSelector):
    """Never sleeps: a wait moves the clock."""

    now = 0

    def select(self, timeout=None):
        if timeout is None:
            raise Deadlock
        self.now += timeout
        return []


class Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.selector = Selector()
        super().__init__(self.selector)
        self._clock_resolution = 0.5  # time is in whole seconds here
        self.turns = self.runs = 0

    def time(self):
        return self.selector.now

    def _write_to_self(self):
        pass

    def _run_once(self):
        self.turns += 1
        super()._run_once()

    def run_forever(self):
        self._check_closed()
        self._check_running()
        self.runs += 1
        super().run_forever()

    def run_until_complete(self, future):
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


def show(error):
    """An error as both sides write it."""
    text = str(error)
    if isinstance(error, RecursionError):
        TROUBLE.append("recursion")
    if text == "await wasn't used with future":
        TROUBLE.append("a mark that CPython leaves on a task which awaits itself")
    if isinstance(error, CancelledError):
        return f"Cancelled({text})"
    if isinstance(error, asyncio.InvalidStateError):
        if PURE:
            text = text.replace("ready", "set") if text.startswith(("Result", "Exception")) else "invalid state"
        return f"InvalidState({text})"
    if isinstance(error, Boom):
        return f"Boom({text})"
    if isinstance(error, SystemExit):
        return f"Exit({error.code})"
    if isinstance(error, (KeyboardInterrupt, Deadlock)):
        return type(error).__name__
    for part in ("Task cannot await on itself", "attached to a different loop"):
        text = part if part in text else text
    return f"{type(error).__name__}({text})"


def make_error(text):
    kind, _, rest = text.partition(":")
    if kind == "CANCEL":
        return CancelledError(*[rest] if rest else [])
    return {"KI": KeyboardInterrupt, "EXIT": lambda: SystemExit(int(rest))}.get(kind, lambda: Boom(rest))()


CATCHES = {"cancel": CancelledError, "error": Exception, "any": (Exception, CancelledError)}


class World:
    """One program under way."""

    def __init__(self, program):
        self.program, self.log, self.late = program, [], []
        self.tasks, self.futures, self.handles, self.registered = {}, {}, {}, {}
        self.graveyard, self.names, self.spent = [], {}, {}
        self.gathers = {}
        self.loop, self.other = Loop(), Loop()
        self.loop.set_exception_handler(self.report)
        self.other.set_exception_handler(self.report)

    def say(self, who, text):
        self.log.append(f"{self.loop.turns}@{self.loop.time()} {who}: {text}")

    def report(self, loop, context):
        message, error = context["message"], context.get("exception")
        if message.startswith("Exception in callback"):
            self.say("handler", f"callback failed {show(error)}")
            if self.program.get("handler"):
                raise make_error(self.program["handler"])
            return
        future = context.get("task") or context.get("future")
        name = "gather" if message.startswith("_Gathering") else self.name_of(future)
        what = message.removeprefix("_Gathering").removesuffix("!")
        self.late.append(f"{name}: {what}" + (f" {show(error)}" if error else ""))

    def name_of(self, future):
        return future.get_coro().__name__ if hasattr(future, "get_coro") else self.names.get(id(future), "?")

    def spend(self, name):
        self.spent[name] = self.spent.get(name, 0) + 1
        return self.spent[name] <= BUDGET

    def put(self, table, name, value):
        if name in table:
            self.graveyard.append(table[name])
        table[name] = value

    def find(self, name):
        if name == "self":
            return asyncio.current_task(self.loop)
        return self.tasks.get(name) or self.futures.get(name)

    def fire(self, name, of=""):
        self.say(name, f"runs{of}")
        if self.spend(name):
            for op in self.program["callbacks"].get(name, []):
                self.plain(name, op)

    def body(self, name, body):
        coro = self.run_body(name, body)
        coro.__name__ = name
        return coro

    async def run_body(self, name, body):
        self.say(name, f"begins {body}")
        value = None
        try:
            if self.spend(body):
                value = await self.all(name, self.program["bodies"].get(body, []))
        except GeneratorExit:
            raise
        except BaseException as error:
            self.say(name, f"fails {show(error)}")
            raise
        value = "None" if value is None else value
        self.say(name, f"returns {value}")
        return value

    async def all(self, who, ops):
        for op in ops:
            value = await self.op(who, op)
            if value is not None:
                return value
        return None

    async def op(self, who, op):
        kind, *rest = op
        if kind == "return":
            return rest[0]
        if kind == "await":
            if (future := self.find(rest[0])) is None:
                return self.say(who, f"no {rest[0]}")
            self.say(who, f"awaits {rest[0]}")
            self.say(who, f"{rest[0]} gave {await future}")
        elif kind == "sleep":
            await asyncio.sleep(rest[0])
            self.say(who, f"slept {rest[0]}")
        elif kind == "repeat":
            for _ in range(rest[0]):
                if (value := await self.all(who, rest[1])) is not None:
                    return value
        elif kind == "try":
            return await self.guarded(who, *rest)
        elif kind in ("gather", "gather_bodies"):
            await self.gather(who, *op)
        elif kind == "gather_pair" and rest[1] in self.tasks:
            pair = self.tasks[rest[1]], self.body(f"{who}/{rest[2]}", rest[2])
            self.gathered(who, await asyncio.gather(*pair, return_exceptions=rest[0] == "all"))
        elif kind == "gather_await" and rest[0] in self.gathers:
            self.gathered(who, await self.gathers.pop(rest[0]))
        elif kind == "wait":
            await self.wait(who, *rest)
        else:
            self.plain(who, op)
        return None

    async def guarded(self, who, ops, kind, handler, action):
        try:
            return await self.all(who, ops)
        except GeneratorExit:
            raise
        except BaseException as error:
            if kind != "finally" and not isinstance(error, CATCHES[kind]):
                raise
            self.say(who, f"caught {show(error)}")
            value = await self.all(who, handler)
            if value is not None or action == "swallow":
                return value
            raise

    def of_one_kind(self, names):
        known = [name for name in names if name in self.tasks or name in self.futures]
        return [name for name in known if name[0] == known[0][0]]

    async def gather(self, who, kind, mode, names):
        if kind == "gather_bodies":
            several = [self.body(f"{who}/{body}", body) for body in names]
        else:
            several = [self.find(name) for name in self.of_one_kind(names)]
        self.gathered(who, await asyncio.gather(*several, return_exceptions=mode == "all"))

    def gathered(self, who, values):
        self.say(who, f"gathered {self.values(values)}")

    def values(self, values):
        shown = ["Cancelled" if isinstance(v, CancelledError) else
                 show(v) if isinstance(v, BaseException) else v for v in values]
        return f"[{', '.join(shown)}]"

    async def wait(self, who, when, timeout, names):
        names = self.of_one_kind(names)
        when = {"all": "ALL_COMPLETED", "first": "FIRST_COMPLETED", "error": "FIRST_EXCEPTION"}[when]
        several = [self.find(name) for name in names]
        done, _ = await asyncio.wait(several, timeout=timeout, return_when=when)
        text = [f"{name}{'+' if one in done else '-'}" for name, one in zip(names, several)]
        self.say(who, f"waited {' '.join(text)}")

    def plain(self, who, op):
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
            self.say(who, f"{' '.join([kind] + [x for x in rest[:1] if isinstance(x, str)])} = {text}")

    def do_soon(self, who, h, c):
        self.handles[h] = self.loop.call_soon(self.fire, c)

    def do_later(self, who, h, c, delay):
        self.handles[h] = self.loop.call_later(delay, self.fire, c)

    def do_at(self, who, h, c, when):
        self.handles[h] = self.loop.call_at(when, self.fire, c)

    def do_threadsafe(self, who, c):
        self.loop.call_soon_threadsafe(self.fire, c)

    def do_drop(self, who, h):
        if h in self.handles:
            before = self.handles[h].cancelled()
            self.handles[h].cancel()
            return f"{before} {self.handles[h].cancelled()}".lower()

    def do_future(self, who, f):
        self.put(self.futures, f, future := (self.other if f[0] == "o" else self.loop).create_future())
        self.names[id(future)] = f

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
            return str(future.cancel(msg=message)).lower()
        except RuntimeError as error:
            if not self.loop.is_closed():
                raise
            return "true"

    def do_add(self, who, x, c, key):
        if not (future := self.find(x)) or self.loop.is_closed():
            return None
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
        if self.loop.is_closed():
            return None
        return " ".join(sorted(self.name_of(task) for task in asyncio.all_tasks(self.loop)))

    def do_current(self, who):
        return self.name_of(task) if (task := asyncio.current_task(self.loop)) else "none"

    def do_log(self, who, text):
        return text

    def do_running(self, who):
        return f"{self.loop.is_running()} {self.loop.is_closed()}".lower()

    def do_stop(self, who):
        self.loop.stop()

    def do_step(self, who):
        self.loop.stop()
        return self.do_forever(who)

    def do_forever(self, who):
        self.loop.run_forever()
        return "ok"

    def do_until(self, who, x):
        if x[0] == "g":
            return self.values(self.loop.run_until_complete(self.gathers.pop(x))) if x in self.gathers else None
        if x[0] != "b":
            return self.loop.run_until_complete(future) if (future := self.find(x)) else None
        coro, refused = self.body(f"main/{x}", x), self.loop.is_closed() or self.loop.is_running()
        try:
            return self.loop.run_until_complete(coro)
        finally:
            refused and coro.close()

    def do_other(self, who):
        self.other.stop()
        self.other.run_forever()
        return "ok"

    def do_gather_new(self, who, g, mode, names):
        if self.loop.is_running():
            several = [self.find(name) for name in self.of_one_kind(names)]
            self.gathers[g] = asyncio.gather(*several, return_exceptions=mode == "all")

    def do_gather_cancel(self, who, g):
        return str(self.gathers[g].cancel()).lower() if g in self.gathers and not self.loop.is_closed() else None

    def do_gather_done(self, who, g):
        return str(self.gathers[g].done()).lower() if g in self.gathers else None

    def do_close(self, who):
        self.loop.close()
        return "ok"


def answer(program):
    OrderedTimer.made = 0
    world = World(program)
    late = world.late
    for op in program["script"]:
        world.plain("script", op)
    world.loop.close()
    world.other.close()
    log = list(world.log)
    for table in (world.tasks, world.futures, world.handles, world.registered, world.gathers, world.graveyard):
        table.clear()
    gc.collect()
    return {"log": log, "late": sorted(late)}


def main():
    warnings.simplefilter("ignore")
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.unraisablehook = lambda _: None
    print(json.dumps({"minor": sys.version_info.minor}), flush=True)
    for line in sys.stdin:
        TROUBLE.clear()
        reply = answer(json.loads(line))
        print(json.dumps({"skip": TROUBLE[0]} if TROUBLE else reply), flush=True)


main()
