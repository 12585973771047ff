"""A task that is pending when its loop is closed: its `finally` runs to the first await, when the collector comes."""
import asyncio, gc, sys

gc.disable()
sys.unraisablehook = lambda raised: print("  ignored:", raised.exc_value)

async def worker():
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("  except CancelledError")
        raise
    finally:
        print("  finally begins")
        await asyncio.sleep(0)
        print("  finally ends")

loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda loop, context: print("  reported:", context["message"]))
loop.create_task(worker())
loop.call_later(0.01, loop.stop)
loop.run_forever()
loop.close()
print("closed")
gc.collect()
print("collected")
