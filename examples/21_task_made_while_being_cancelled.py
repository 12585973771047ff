"""A task that is made while its maker is being cancelled has nobody who waits for it.

At its end `run` cancels the tasks that there are at that moment, once, and waits for those. A task that
one of them makes on its way out is not among them: it begins, and is destroyed at its first await, when
the loop is closed. To await the work instead, in the task that is being cancelled, completes it."""
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
