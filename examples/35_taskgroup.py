"""What is started together ends together, if it is a group.

When one of several gathered tasks fails, the waiter gets the error at once. The others run on, and no
code waits for them. A `TaskGroup` cancels the others, waits until they have cleaned up, and only then
fails, with every failure in it. If its parent is cancelled, so are the children. Nothing is left."""
import asyncio, json

async def worker(name, cleanup):
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(cleanup)
        print(f"  {name}: cleaned up")

async def broken():
    await asyncio.sleep(0.01)
    raise ValueError("b broke")

async def in_a_group(fail):
    async with asyncio.TaskGroup() as group:
        group.create_task(worker("a", 0.01), name="a")
        if fail:
            group.create_task(broken(), name="b")
        group.create_task(worker("c", 0.02), name="c")

def left():
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return ", ".join(sorted(task.get_name() for task in others)) or "none"

async def program():
    task = lambda name, cleanup: asyncio.create_task(worker(name, cleanup), name=name)
    gathered = [task("a", 0.01), asyncio.create_task(broken(), name="b"), task("c", 0.02)]
    try:
        await asyncio.gather(*gathered)
    except ValueError:
        print(f"gather: failed true, left: {left()}")
    for one in gathered:
        one.cancel()
    await asyncio.wait(gathered)

    try:
        await in_a_group(True)
    except ExceptionGroup as failed:
        errors = failed.exceptions
        print(f"group: failed with {len(errors)} error, {errors[0]}, left: {left()}")

    parent = asyncio.create_task(in_a_group(False), name="parent")
    await asyncio.sleep(0.01)
    parent.cancel()
    await asyncio.wait([parent])
    print(f"parent: cancelled {json.dumps(parent.cancelled())}, left: {left()}")

asyncio.run(program())
