"""A failed task that no code keeps is reported at once, unless its body holds it."""
import asyncio, gc

gc.disable()                                  # so that it collects where it is told to, below

async def plain():
    raise OSError("boom")

async def holds_itself():
    me = asyncio.current_task()
    raise OSError("boom")

loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda loop, context: print("  reported:", context["message"]))
for body in plain, holds_itself:
    print(body.__name__)
    loop.create_task(body())
    loop.run_until_complete(asyncio.sleep(0.01))
    print("  the collector runs")
    gc.collect()
loop.close()
