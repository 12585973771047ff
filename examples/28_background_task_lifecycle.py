"""A background job lives exactly as long as its application.

The application starts the job with create_task, so that startup goes on, and keeps the task. At its end
it cancels the job *and awaits it*, and only then closes what the job uses. Without the await the job's
cleanup comes when everything is closed already. The await also shows whether the job had crashed
meanwhile."""
import asyncio, types

async def periodic(connection):
    try:
        while True:
            await asyncio.sleep(0.02)
    finally:
        print("  job: its goodbye is", "sent" if connection.is_open else "lost")

async def crashing(connection):
    await asyncio.sleep(0.02)
    raise ConnectionError("no answer")

async def app(job, await_it):
    connection = types.SimpleNamespace(is_open=True)
    task = asyncio.create_task(job(connection), name="job")
    try:
        await asyncio.sleep(0.05)             # serving; a cancellation comes here
    finally:
        print("  app: the job", "has ended" if task.done() else "is running")
        task.cancel()
        if await_it:
            await asyncio.wait([task])        # reads no result
            if task.cancelled():
                print("  app: the job was cancelled")
            else:
                print("  app: the job had crashed:", task.exception())
        connection.is_open = False
        print("  app: the connection is closed")

print("cancelled")
asyncio.run(app(periodic, await_it=False))
print("cancelled and awaited")
asyncio.run(app(periodic, await_it=True))
print("a job that crashes")
asyncio.run(app(crashing, await_it=True))
