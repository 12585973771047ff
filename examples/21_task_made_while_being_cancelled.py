"""No code waits for a task that another task makes while it is being cancelled.

At its end `run` cancels the tasks that exist at that moment, once, and waits for them. A task that one of
them makes then is not among them. It begins, but it has only the few turns that `run` still makes, and
the closing loop destroys it. Work that the cancelled task itself awaits is completed."""
import asyncio, gc

async def send_event(text):
    print("  event: begins")
    await asyncio.sleep(0.02)
    print(f'  event: "{text}" is sent')

async def connection(await_it):
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("  connection: cancelled")
        if await_it:
            await send_event("dropped")       # the cancellation was delivered: the task may await again
        else:
            asyncio.create_task(send_event("dropped"), name="event")              # the pitfall
        raise

def report(loop, context):
    print(f"  handler: {context['message']} ({context['task'].get_name()})")

async def program(await_it):
    asyncio.get_running_loop().set_exception_handler(report)
    asyncio.create_task(connection(await_it), name="connection")
    await asyncio.sleep(0)
    print("  main: returns")

for title, await_it in ("create_task", False), ("await", True):
    print(title)
    asyncio.run(program(await_it))
    gc.collect()                              # finds what was left now, and not at any later time
    print("  the run is over")
