"""Keep what you start: without its handle no code can end a task.

A task that is not kept and only sleeps finishes: its timer leads to it. One that waits for an object
without other references is lost. In asyncio the loop holds its tasks weakly, so the garbage collector may take
it at any time. looplab's loop holds its tasks, and destroys it in `close()`. Both report `Task was
destroyed but it is pending!`. The idiom for background tasks is a set: put the task in, and let a done
callback take it out. At the end the tasks in the set are cancelled and waited for, until the set is empty.
A task on its way out may have put another one into it."""
import asyncio, gc

gc.disable()                                  # so that it collects where it is told to, below

async def short(name):
    await asyncio.sleep(0.01)
    print(f"{name} and asleep: finished")

async def waits(name):
    nobody_sets_it = asyncio.get_running_loop().create_future()
    try:
        await nobody_sets_it
    except asyncio.CancelledError:
        print(f"{name} and waiting: cancelled")
        raise

async def hands_over(background):
    "On its way out it starts another task."
    try:
        await waits("kept")
    finally:
        keep(background, asyncio.create_task(waits("kept late"), name="late"))

def keep(background, task):
    background.add(task)
    task.add_done_callback(background.discard)

async def program():
    asyncio.create_task(short("not kept"), name="short, not kept")
    asyncio.create_task(waits("not kept"), name="waits, not kept")
    background = set()
    kept = asyncio.create_task(short("kept"), name="short")
    keep(background, kept)
    keep(background, asyncio.create_task(hands_over(background), name="waits"))
    print(f"in the set: {len(background)}")
    await kept

    while left := list(background):
        print(f"still in the set: {len(left)}")
        for task in left:
            task.cancel()
        await asyncio.wait(left)
    print(f"in the set at the end: {len(background)}")

loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda loop, context: print(f"not kept and waiting: {context['message']}"))
loop.run_until_complete(program())
loop.close()
gc.collect()
