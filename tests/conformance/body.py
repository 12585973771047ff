"""The bodies of tasks: the operations that wait, catch and return."""

import asyncio
import sys

from errors import CATCHES, CancelledError, TROUBLE, show
from loops import abandon


class Bodies:
    def body(self, name, body):
        coro = self.run_body(name, body)
        coro.__name__ = name
        return coro

    async def run_body(self, name, body):
        self.say(name, f"begins {body}")
        value = None
        try:
            # Those of a crowd have one body, and each of them is to do something.
            crowd = name[0] == "y" and "/" not in name
            if crowd or self.spend(body):
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
        """What waits is a method `on_…`; it may return the body's value."""
        kind, *rest = op
        waits = getattr(self, f"on_{kind}", None)
        if waits is None:
            return self.plain(who, op)
        return await waits(who, *rest)

    async def on_return(self, who, value):
        return value

    async def on_await(self, who, x):
        if (future := self.find(x)) is None:
            return self.say(who, f"no {x}")
        self.say(who, f"awaits {x}")
        self.say(who, f"{x} gave {await future}")

    async def on_sleep(self, who, seconds):
        await asyncio.sleep(seconds)
        self.say(who, f"slept {seconds}")

    async def on_repeat(self, who, times, ops):
        for _ in range(times):
            if (value := await self.all(who, ops)) is not None:
                return value

    async def on_try(self, who, ops, kind, handler, action):
        try:
            return await self.all(who, ops)
        except GeneratorExit:
            raise
        except BaseException as error:
            if self.is_over() or (kind != "finally" and not isinstance(error, CATCHES[kind])):
                raise
            self.say(who, f"caught {show(error)}")
            value = await self.all(who, handler)
            if value is not None or action == "swallow":
                return value
            raise

    # Combinators.

    def of_one_kind(self, names):
        known = [name for name in names if name in self.tasks or name in self.futures]
        return [name for name in known if (name in self.tasks) == (known[0] in self.tasks)]

    async def on_gather(self, who, mode, names):
        several = [self.find(name) for name in self.of_one_kind(names)]
        self.check_loops(several)
        self.gathered(who, await asyncio.gather(*several, return_exceptions=mode == "all"))

    def check_loops(self, several, nested=False):
        """Before 3.14 the loop of a gather is that of its first child. Since then it refuses what is of another loop, and
        leaves its callback on the pending children before that. Nested ones are made in another order in looplab."""
        here = asyncio.get_running_loop()
        foreign = [n for n, one in enumerate(several) if asyncio.isfuture(one) and one.get_loop() is not here]
        if not foreign:
            return
        before = several if nested else several[: foreign[0]]
        if sys.version_info < (3, 14) or not all(one.done() for one in before if one.get_loop() is here):
            TROUBLE.append("a combinator over two loops")

    async def on_gather_bodies(self, who, mode, names):
        several = [self.body(f"{who}/{body}", body) for body in names]
        self.gathered(who, await asyncio.gather(*several, return_exceptions=mode == "all"))

    async def on_gather_pair(self, who, mode, t, body):
        if t in self.tasks:
            pair = self.tasks[t], self.body(f"{who}/{body}", body)
            self.check_loops(pair)
            self.gathered(who, await asyncio.gather(*pair, return_exceptions=mode == "all"))

    async def on_gather_await(self, who, g):
        if g in self.gathers:
            self.gathered(who, await self.gathers.pop(g))

    def gathered(self, who, values):
        self.say(who, f"gathered {self.values(values)}")

    def values(self, values):
        shown = ["Cancelled" if isinstance(v, CancelledError) else
                 show(v) if isinstance(v, BaseException) else
                 self.values(v) if isinstance(v, list) else v for v in values]
        return f"[{', '.join(shown)}]"

    async def on_gather_nested(self, who, outer, inner, *names):
        children = []
        known = [self.of_one_kind(some) for some in names]
        self.check_loops([self.tasks[name] for some in known for name in some if name in self.tasks], nested=True)
        for some in names:
            tasks = [self.tasks[name] for name in self.of_one_kind(some) if name in self.tasks]
            children.append(asyncio.gather(*tasks, return_exceptions=inner == "all"))
        self.gathered(who, await asyncio.gather(*children, return_exceptions=outer == "all"))

    async def on_wait(self, who, when, timeout, names):
        names = self.of_one_kind(names)
        when = {"all": "ALL_COMPLETED", "first": "FIRST_COMPLETED", "error": "FIRST_EXCEPTION"}[when]
        several = [self.find(name) for name in names]
        if any(one.get_loop().is_closed() for one in several):
            TROUBLE.append("a done callback on a closed loop, which looplab drops")
        done, _ = await asyncio.wait(several, timeout=timeout, return_when=when)
        text = [f"{name}{'+' if one in done else '-'}" for name, one in zip(names, several)]
        self.say(who, f"waited {' '.join(text)}")

    async def on_wait_for(self, who, timeout, x):
        target = self.body(f"{who}/{x}", x) if x[0] == "b" else self.find(x)
        if target is not None:
            if timeout == 0 and x[0] != "b" and not target.done() and target.get_loop() is not asyncio.get_running_loop():
                TROUBLE.append("wait_for waits for ever, without time, for what another loop has to do")
            self.say(who, f"{x} gave {await asyncio.wait_for(target, timeout)} in time")

    async def on_as_completed(self, who, timeout, names):
        several = [self.find(name) for name in self.of_one_kind(names)]
        if sys.version_info < (3, 13):  # which refuses them when they are asked for the first time
            self.check_loops(several)
        try:
            completing = asyncio.as_completed(several, timeout=timeout)
        except ValueError as error:  # one is of another loop; in looplab the first await fails
            return self.say(who, f"completed {show(error)}")
        try:
            for one in completing:
                try:
                    self.say(who, f"completed {await one}")
                except Exception as error:
                    if self.loop.is_closed():
                        raise  # the body is destroyed; since 3.14 the next step would fail as this one, without end
                    self.say(who, f"completed {show(error)}")
        finally:
            abandon(completing)

    async def on_completing_next(self, who, w):
        if w not in self.completing or not self.loop.is_running():
            return
        try:
            one = next(self.completing[w])
        except StopIteration:
            return self.say(who, f"no more of {w}")
        try:
            self.say(who, f"{w} completed {await one}")
        except Exception as error:
            if self.loop.is_closed():
                raise  # the body is destroyed
            self.say(who, f"{w} completed {show(error)}")

    async def on_shield(self, who, x):
        if inner := self.find(x):
            self.say(who, f"{x} gave {await asyncio.shield(inner)} through a shield")

    async def on_shield_await(self, who, s):
        if s in self.shields:
            self.say(who, f"{s} gave {await self.shields[s]}")

    async def on_group(self, who, g, ops):
        value = None
        group = self.groups[g] if g in self.fresh else asyncio.TaskGroup()
        self.fresh.discard(g)
        async with group:
            self.put(self.groups, g, group)
            self.say(who, f"enters {g}")
            value = await self.all(who, ops)
        self.say(who, f"leaves {g}")
        return value

    async def on_timeout(self, who, x, delay, ops):
        if delay == 0 and asyncio.current_task()._must_cancel:
            TROUBLE.append("a timeout of zero that eats an earlier cancel")
        async with asyncio.timeout(delay) as limit:
            self.put(self.limits, x, limit)
            value = await self.all(who, ops)
        self.say(who, f"leaves {x}")
        return value

    # Locks and queues.

    async def on_acquire(self, who, x):
        await self.thing(x).acquire()
        self.say(who, f"acquired {x}")

    async def on_with(self, who, x, ops):
        async with self.thing(x):
            self.say(who, f"has {x}")
            return await self.all(who, ops)

    async def on_event_wait(self, who, e):
        await self.thing(e).wait()
        self.say(who, f"saw {e}")

    async def on_cond_wait(self, who, d):
        await self.thing(d).wait()
        self.say(who, f"was notified by {d}")

    async def on_cond_wait_for(self, who, d, e):
        await self.thing(d).wait_for(self.thing(e).is_set)
        self.say(who, f"{d} saw {e} set")

    async def on_put(self, who, q, item):
        await self.thing(q).put(item)
        self.say(who, f"put {q}")

    async def on_get(self, who, q):
        self.say(who, f"got {await self.thing(q).get()} from {q}")

    async def on_join(self, who, q):
        await self.thing(q).join()
        self.say(who, f"joined {q}")

    async def on_barrier(self, who, r):
        if self.loop.is_closed() and self.thing(r).n_waiting:
            TROUBLE.append("a barrier at which tasks of a closed loop wait")
        self.say(who, f"is number {await self.thing(r).wait()} at {r}")

    async def on_barrier_reset(self, who, r):
        await self.thing(r).reset()
        self.say(who, f"reset {r}")

    async def on_barrier_abort(self, who, r):
        await self.thing(r).abort()
        self.say(who, f"aborted {r}")
