"""A startup hook that never returns: the application never serves.

Hooks are awaited one after another. If the endless job itself is a hook, the hooks after it do not run
and "serving" is never reached. Only a deadline turns the hang into an error. A hook that starts the job
with create_task returns, and the job runs beside the rest."""
import asyncio

async def fetch():
    print("  fetch: begins")
    try:
        while True:
            await asyncio.sleep(0.04)
    finally:
        print("  fetch: stopped")

async def endless_hook(tasks):
    await fetch()

async def hook_that_starts_a_task(tasks):
    tasks.append(asyncio.create_task(fetch(), name="fetch"))
    await asyncio.sleep(0)                    # not needed: so that it begins before the next hook

async def next_hook():
    print("  next hook")

async def startup(hook, tasks):
    await hook(tasks)
    await next_hook()

async def app(hook):
    tasks = []
    try:
        await asyncio.wait_for(startup(hook, tasks), 0.1)
        print("  serving")
    except asyncio.TimeoutError:
        print("  the startup did not end in time")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print("  cleaned up")

print("the job is the hook")
asyncio.run(app(endless_hook))
print("the hook starts the job")
asyncio.run(app(hook_that_starts_a_task))
