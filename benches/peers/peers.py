"""The works of benches/peers on Python's loops: peers.py WORK N ROUNDS; or peers.py echo_server LOOP.

Prints a line for each loop that imports: its name, and nanoseconds per operation for each round. The loops take turns.
Standard library only; uvloop and rloop if they are there.
"""

import asyncio
import importlib
import os
import random
import signal as signals
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

WIDTH = 1000
THREADS = 4
now = time.perf_counter_ns


def run(loop, main):
    return loop.run_until_complete(main)


def hops(loop, n, width):
    chains = width

    def hop(left):
        nonlocal chains
        if left:
            loop.call_soon(hop, left - 1)
            return
        chains -= 1
        if not chains:
            loop.stop()

    for _ in range(width):
        loop.call_soon(hop, n // width)
    began = now()
    loop.run_forever()
    return now() - began


def callback_hop(loop, n):
    return hops(loop, n, WIDTH)


def lone_callback_hop(loop, n):
    return hops(loop, n, 1)


def yields(loop, n, count):
    async def body():
        for _ in range(n // count):
            await asyncio.sleep(0)

    async def main():
        tasks = [loop.create_task(body()) for _ in range(count)]
        began = now()
        for task in tasks:
            await task
        return now() - began

    return run(loop, main())


def task_hop(loop, n):
    return yields(loop, n, WIDTH)


def lone_task_hop(loop, n):
    return yields(loop, n, 1)


def spawn_await(loop, n):
    async def body(i):
        return i

    async def main():
        began = now()
        for i in range(n):
            await loop.create_task(body(i))
        return now() - began

    return run(loop, main())


def future_hop(loop, n):
    slots = [None, None]

    async def side(mine):
        for i in range(n // 2):
            future = slots[mine] = loop.create_future()
            other, slots[1 - mine] = slots[1 - mine], None
            if other:
                other.set_result(i)
            await future
        if slots[1 - mine]:
            slots[1 - mine].set_result(0)

    async def main():
        began = now()
        await asyncio.gather(side(0), side(1))
        return now() - began

    return run(loop, main())


def restart(loop, n):
    async def body(i):
        return i

    began = now()
    for i in range(n):
        loop.run_until_complete(body(i))
    return now() - began


def far_delays(n):
    numbers = random.Random(1)
    return [3600 + 3600 * numbers.random() for _ in range(n)]


def timer_insert(loop, n):
    delays = far_delays(n)
    began = now()
    timers = [loop.call_later(delay, int) for delay in delays]
    took = now() - began
    for timer in timers:
        timer.cancel()
    return took


def timer_cancel(loop, n):
    timers = [loop.call_later(delay, int) for delay in far_delays(n)]
    began = now()
    for timer in timers:
        timer.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    return now() - began


def overdue(loop, n):
    numbers = random.Random(1)
    first = loop.time() + 0.02 + n * 20e-6
    return first + 0.05, [first + 0.05 * numbers.random() for _ in range(n)]


def timer_fire(loop, n):
    left = n

    def fired():
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    last, deadlines = overdue(loop, n)
    for deadline in deadlines:
        loop.call_at(deadline, fired)
    time.sleep(max(0, last + 0.002 - loop.time()))
    began = now()
    loop.run_forever()
    return now() - began


def sleeper_wake(loop, n):
    async def sleeper(delay):
        await asyncio.sleep(delay)

    async def main():
        last, deadlines = overdue(loop, n)
        t = loop.time()
        tasks = [loop.create_task(sleeper(deadline - t)) for deadline in deadlines]
        await asyncio.sleep(0)
        time.sleep(max(0, last + 0.005 - loop.time()))
        began = now()
        await asyncio.wait(tasks)
        return now() - began

    return run(loop, main())


def post(loop, n):
    left = n

    def posted():
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    def send():
        for _ in range(n):
            loop.call_soon_threadsafe(posted)

    thread = threading.Thread(target=send)
    began = now()
    thread.start()
    loop.run_forever()
    took = now() - began
    thread.join()
    return took


def jobs(loop, n, batch):
    async def main():
        with ThreadPoolExecutor(THREADS) as pool:
            began = now()
            for _ in range(max(1, n // batch)):
                jobs = [loop.run_in_executor(pool, int) for _ in range(batch)]
                for job in jobs:
                    await job
            return now() - began

    return run(loop, main())


def job_round_trip(loop, n):
    return jobs(loop, n, 1)


def job_batch(loop, n):
    return jobs(loop, n, WIDTH)


def signal(loop, n):
    left = n

    def handler():
        nonlocal left
        left -= 1
        if left:
            signals.raise_signal(signals.SIGUSR1)
        else:
            loop.stop()

    loop.add_signal_handler(signals.SIGUSR1, handler)
    began = now()
    signals.raise_signal(signals.SIGUSR1)
    loop.run_forever()
    took = now() - began
    loop.remove_signal_handler(signals.SIGUSR1)
    return took


def start_and_shut_down(loop, n):
    async def body():
        return 1

    began = now()
    for _ in range(n):
        other = type(loop)()
        other.run_until_complete(body())
        other.close()
    return now() - began


def loops():
    found = [("asyncio", asyncio.SelectorEventLoop)]
    for name, kind in (("uvloop", "Loop"), ("rloop", "new_event_loop")):
        try:
            found.append((name, getattr(importlib.import_module(name), kind)))
        except (ImportError, AttributeError):
            pass
    return found


def echo_server(name):
    """Echoes by streams, for ever; says its address first."""
    make = dict(loops())[name]
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {0})  # as the other servers

    async def echo(reader, writer):
        while data := await reader.read(20 * 1024):
            writer.write(data)
            await writer.drain()

    async def serve():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        print(*server.sockets[0].getsockname(), sep=":", flush=True)
        await server.serve_forever()

    loop = make()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve())


def main():
    if sys.argv[1] == "echo_server":
        return echo_server(sys.argv[2])
    work, n, rounds = globals()[sys.argv[1]], max(int(sys.argv[2]), 1), int(sys.argv[3])
    if work in (callback_hop, task_hop):
        n = max(n, 2 * WIDTH)
    if work is job_batch:
        n = max(n, WIDTH)
    figures = {name: [] for name, _ in loops()}
    for turn in range(rounds + 1):
        for name, make in loops():
            loop = make()
            asyncio.set_event_loop(loop)
            try:
                took = work(loop, n) / n
                if turn:  # the first round warms up
                    figures[name].append(took)
            except NotImplementedError:
                pass
            finally:
                loop.close()
    for name, rounds in figures.items():
        if rounds:
            print(name, *(f"{figure:.1f}" for figure in rounds), sep=",")


main()
