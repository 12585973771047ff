"""stop() on a loop that is not running is remembered.

The next run_forever() makes exactly one turn, without sleeping, and returns. However often stop() was
called, it is one turn. Then the flag is clear, so the run_forever() after that keeps running."""
import asyncio

loop = asyncio.new_event_loop()

def parent():
    print("  parent")
    loop.call_soon(print, "  child")

loop.call_soon(parent)
loop.stop()
loop.stop()                                   # still one turn
print("run 1")
loop.run_forever()                            # one turn: the parent's
print("run 1 returned")

loop.call_later(0.05, loop.stop)
print("run 2")
loop.run_forever()                            # as many turns as it takes
print("run 2 returned")
loop.close()
