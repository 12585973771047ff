"""A signal handler of the system may do almost nothing, so it writes one byte into a pipe."""
import asyncio, json, sys
from signal import SIGHUP, SIGTERM, SIGUSR1, raise_signal

loop = asyncio.new_event_loop()
handled = 0

def send(signal, times):
    for _ in range(times):
        raise_signal(signal)

def after(turns, function):
    loop.call_soon(function) if turns == 0 else loop.call_soon(after, turns - 1, function)

def callback():
    send(SIGUSR1, 1)
    print("  after the signal")
    loop.call_soon(print, "  a callback of the next turn")

def on_term():
    print("  SIGTERM stops the loop")
    loop.stop()

print("one, in the middle of a callback")
loop.add_signal_handler(SIGUSR1, print, "  SIGUSR1")
loop.add_signal_handler(SIGHUP, print, "  never printed")
loop.add_signal_handler(SIGHUP, print, "  SIGHUP")
loop.add_signal_handler(SIGTERM, on_term)
loop.call_soon(callback)
loop.call_soon(print, "  another callback of the same turn")
after(5, loop.stop)
loop.run_forever()

print("three, one by one, then two others")
loop.call_soon(send, SIGUSR1, 3)
loop.call_soon(send, SIGHUP, 1)
loop.call_soon(send, SIGTERM, 1)
loop.run_forever()

print("a thousand")
sys.unraisablehook = lambda warning: None    # asyncio warns of each byte that the full pipe refuses

def count():
    global handled
    handled += 1

loop.add_signal_handler(SIGUSR1, count)
loop.call_soon(send, SIGUSR1, 1000)
after(5, loop.stop)
loop.run_forever()
print(f"  some were handled: {json.dumps(handled > 0)}, and all: {json.dumps(handled == 1000)}")
for _ in range(2):
    print(f"  removed: {json.dumps(loop.remove_signal_handler(SIGUSR1))}")
loop.close()
