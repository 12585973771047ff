"""What a hop costs: the turns of asyncio's loop, counted."""
import asyncio

class CountingLoop(asyncio.SelectorEventLoop):
    turns = 0

    def _run_once(self):
        self.turns += 1
        super()._run_once()

def count(what, body):
    loop = CountingLoop()
    loop.run_until_complete(body)
    print(f"{what}: {loop.turns} turns")
    loop.close()

async def nothing():
    pass

async def awaits_a_task():
    await asyncio.create_task(nothing())

async def awaits_a_future():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, None)
    await future

async def awaits_what_is_done():
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    await done

async def gathers_two():
    await asyncio.gather(nothing(), nothing())

count("returns at once", nothing())
count("yields", asyncio.sleep(0))
count("awaits a task", awaits_a_task())
count("awaits a future that a callback sets", awaits_a_future())
count("sleeps", asyncio.sleep(0.005))
count("awaits what is done", awaits_what_is_done())
count("gathers two", gathers_two())
