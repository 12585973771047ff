"""Exception handler, cleanup, stop: how this order turns into an endless loop.

An error that is raised while cleaning up calls the handler again. Without a guard every error starts
another cleanup (here cut after three). With a guard there is one cleanup, and the loop stops. The first
error was kept, so the program can deal with it outside."""
import asyncio

async def job():
    raise ValueError("boom")

async def cleanup(n):
    print("  cleanup", n)
    await asyncio.sleep(0)

def failing_stop(_task):
    raise RuntimeError("a done callback failed")

def scenario(guard):
    loop = asyncio.new_event_loop()
    errors, cleanups = [], []
    def handler(loop, context):
        print("  handler:", context["exception"])
        errors.append(context["exception"])
        if guard and cleanups:
            return
        if len(cleanups) == 3:
            print("  (giving up: this would go on for ever)")
            loop.stop()
            return
        task = loop.create_task(cleanup(len(cleanups) + 1), name="cleanup")
        cleanups.append(task)
        task.add_done_callback(failing_stop)
        if guard:
            task.add_done_callback(lambda _task: loop.stop())
    loop.set_exception_handler(handler)
    loop.create_task(job(), name="job")
    loop.run_forever()
    loop.close()
    print("  stopped; the first error:", errors[0])

print("no guard")
scenario(guard=False)
print("guard")
scenario(guard=True)
