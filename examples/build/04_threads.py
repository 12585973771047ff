"""Other threads reach a loop through an inbox: a list and a flag under one lock, and a waker."""
import asyncio, threading, time

loop = asyncio.new_event_loop()

def work():
    time.sleep(0.05)                          # the loop is asleep when this is over
    for number in range(1, 4):
        loop.call_soon_threadsafe(print, f"  from the thread: {number}")
    loop.call_soon_threadsafe(relay)

def relay():
    print("  a call that sends a call")
    loop.call_soon_threadsafe(loop.stop)
    loop.call_soon(print, "  a call of the loop's own")

print("the loop has nothing to do")
loop.call_soon(threading.Thread(target=work).start)
loop.run_forever()
print("the loop is stopped")
loop.close()
