"""Locks, events, conditions, semaphores, barriers and queues: what is done to them without waiting.

They are there from the first use. The first letter of a name says what it is, the number which: `l` locks; `e` events;
`d` conditions; `m0` a semaphore of 0, `m1` of 2, `m2` a bounded one of 1, `m3` of 3; `q0` a queue for one item, `q1` one
without a limit, `q2` a last-in-first-out one and `q3` a priority queue for two, `q4` a queue for two, `q5` for three; `r0` a
barrier for two, `r1` for three.
"""

import asyncio

MAKE = {
    "l": [asyncio.Lock],
    "e": [asyncio.Event],
    "d": [asyncio.Condition],
    "m": [lambda: asyncio.Semaphore(0), lambda: asyncio.Semaphore(2), lambda: asyncio.BoundedSemaphore(1),
          lambda: asyncio.Semaphore(3)],
    "q": [lambda: asyncio.Queue(1), asyncio.Queue, lambda: asyncio.LifoQueue(2), lambda: asyncio.PriorityQueue(2),
          lambda: asyncio.Queue(2), lambda: asyncio.Queue(3)],
    "r": [lambda: asyncio.Barrier(2), lambda: asyncio.Barrier(3)],
}


class Sync:
    def thing(self, name):
        if name not in self.things:
            kinds = MAKE[name[0]]
            self.things[name] = kinds[int(name[1:]) % len(kinds)]()
        return self.things[name]

    def open_thing(self, name):
        return None if self.loop.is_closed() else self.thing(name)

    def do_release(self, who, x):
        return self.told(x, lambda thing: thing.release())

    def do_locked(self, who, x):
        return self.told(x, lambda thing: thing.locked())

    def do_event_set(self, who, e):
        return self.told(e, lambda event: event.set())

    def do_event_clear(self, who, e):
        return self.told(e, lambda event: event.clear())

    def do_is_set(self, who, e):
        return self.told(e, lambda event: event.is_set())

    def do_notify(self, who, d, n):
        return self.told(d, lambda condition: condition.notify(n))

    def do_notify_all(self, who, d):
        return self.told(d, lambda condition: condition.notify_all())

    def do_put_nowait(self, who, q, item):
        return self.told(q, lambda queue: queue.put_nowait(item))

    def do_get_nowait(self, who, q):
        return self.told(q, lambda queue: queue.get_nowait())

    def do_task_done(self, who, q):
        return self.told(q, lambda queue: queue.task_done())

    def do_qsize(self, who, q):
        return self.told(q, lambda queue: f"{queue.qsize()} {queue.empty()} {queue.full()}".lower())

    def do_shutdown(self, who, q, immediate):
        return self.told(q, lambda queue: queue.shutdown(immediate))

    def do_barrier_state(self, who, r):
        return self.told(r, lambda barrier: f"{barrier.n_waiting} {barrier.broken}".lower())

    def told(self, name, do):
        """What it answers, or "ok"; nothing on a closed loop, where nobody can be woken."""
        if self.loop.is_closed():
            return None
        answer = do(self.thing(name))
        return "ok" if answer is None else answer
