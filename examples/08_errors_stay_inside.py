"""Errors do not leave run_forever(), with two exceptions.

An error of a callback or of a task goes to the exception handler, and the loop goes on. A request to end
the program and Ctrl-C (Python's SystemExit and KeyboardInterrupt, in Rust Error::Exit and
Error::KeyboardInterrupt) do leave run_forever(); the task holds them too, and the loop can be run again."""
import asyncio

loop = asyncio.new_event_loop()

def bad_callback():
    raise ValueError("from callback")

async def bad_task():
    raise ValueError("from task")

async def leave(error):
    raise error

def shown(error):
    if isinstance(error, SystemExit):
        return f"exit {error.code}"
    if isinstance(error, KeyboardInterrupt):
        return "keyboard interrupt"
    return str(error)

def handler(loop, context):
    print("  handler:", shown(context["exception"]))

loop.set_exception_handler(handler)
loop.call_soon(bad_callback)
loop.create_task(bad_task(), name="bad")
loop.call_later(0.02, loop.stop)
loop.run_forever()
print("run_forever returned")

for error in (SystemExit(3), KeyboardInterrupt()):
    task = loop.create_task(leave(error), name="leave")
    try:
        loop.run_forever()
    except BaseException as error:
        print("out of run_forever came:", shown(error))
    print("  the task holds:", shown(task.exception()))

loop.call_soon(loop.stop)
loop.run_forever()
print("run_forever returned: the loop is still usable")
loop.close()
