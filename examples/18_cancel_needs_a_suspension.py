"""A cancellation is delivered only where a task really suspends.

A task that never suspends cannot be cancelled, because no other code runs before it ends. An await that
does not suspend changes nothing. `sleep(0)` (`yield_now` here) is a suspension, so the task is cancelled
at its second step. A request is kept until the next suspension: a task that cancels itself runs on to its
next real await."""
import asyncio, json

async def no_suspension():
    pass

async def work(kind, steps):
    for _ in range(1000):
        steps.append(1)
        if kind == "sleep(0)":
            await asyncio.sleep(0)
        elif kind == "a coroutine":
            await no_suspension()

async def scenario(kind):
    steps = []
    task = asyncio.create_task(work(kind, steps), name=kind)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    before = len(steps)
    accepted = json.dumps(task.cancel())
    await asyncio.wait([task])
    cancelled = json.dumps(task.cancelled())
    print(f"awaits {kind:12} steps before: {before:4}, accepted: {accepted}, cancelled: {cancelled}")

async def cancels_itself():
    this = asyncio.current_task()
    this.cancel()
    print("  requested, still running")
    await no_suspension()
    print("  awaited what does not suspend, still running")
    await asyncio.sleep(0)
    print("  never printed")

async def program():
    for kind in ("nothing", "a coroutine", "sleep(0)"):
        await scenario(kind)
    print("cancels itself")
    task = asyncio.create_task(cancels_itself(), name="cancels itself")
    await asyncio.wait([task])
    print(f"  cancelled: {json.dumps(task.cancelled())}")

asyncio.run(program())
