"""A future is a result that will be there later, and the list of what waits for it."""
import asyncio, json
from asyncio import CancelledError, create_task, sleep

async def sleeper():
    print("  sleeper: started")
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        print("  sleeper: cleans up")

async def outer(inner):
    try:
        await inner
    except CancelledError:
        print("  outer: cancelled true")
        raise

async def itself():
    raise CancelledError

def said(value):
    return json.dumps(value)

async def cancel(what, task):
    print(what)
    print(f"  accepted: {said(task.cancel())}, cancelled at once: {said(task.cancelled())}")
    await asyncio.wait([task])
    print(f"  ended, cancelled: {said(task.cancelled())}, accepted again: {said(task.cancel())}")

async def program():
    print("a future with two callbacks")
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda _: print("  first callback"))
    future.add_done_callback(lambda _: print("  second callback"))
    future.set_result("the value")
    print("  the result is set")
    await asyncio.wait([future])
    print(f"  the value: {said(future.result())}, accepted: {said(future.cancel())}")

    task = create_task(sleeper())
    await sleep(0)
    await cancel("a task that waits", task)
    await cancel("a task that has not started", create_task(sleeper()))
    task = create_task(itself())
    await sleep(0)
    await cancel("a task that has ended itself so", task)

    inner = create_task(sleeper())
    waits = create_task(outer(inner))
    await sleep(0)
    await cancel("a task that waits for a task", waits)
    print(f"  and the inner one: {said(inner.cancelled())}")

asyncio.run(program())
