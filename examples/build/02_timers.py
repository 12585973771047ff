"""A timer is a callback with a time, and the loop sleeps until the first of them."""
import asyncio, time

loop = asyncio.new_event_loop()

print("run 1")
equal = loop.time() + 0.02
loop.call_at(equal, print, "  the first of two equal deadlines")
loop.call_at(equal, print, "  the second")
loop.call_later(0, print, "  a timer without a delay")
loop.call_soon(print, "  ready")
loop.call_soon(time.sleep, 0.015)             # so that the next two are due in one turn
never = loop.call_later(0.01, print, "  never printed")
loop.call_later(0.005, never.cancel)
loop.call_later(0.05, loop.stop)
loop.run_forever()

print("run 2, after stop()")
def parent():
    print("  parent")
    loop.call_soon(print, "  child")

loop.call_soon(parent)
loop.stop()
loop.stop()                                   # still one turn
loop.run_forever()

print("run 3")
loop.call_later(0.01, loop.stop)
loop.run_forever()
print("run 3 returned")
loop.close()
