"""Signal handlers run between callbacks, never inside them, and signals that are held back merge.

A signal that arrives in the middle of a callback is handled after that callback and the rest of its turn.
So a handler interrupts no callback, only the awaits of tasks. Three signals sent one by one run the
handler three times. Three sent while the signal is blocked run it once, because the system keeps one mark
for each signal and no count. So a handler says "at least one came", and cannot know how many."""
import asyncio, signal

def send(times):
    for _ in range(times):
        signal.raise_signal(signal.SIGUSR1)

def callback():
    print("  before the signal")
    send(1)
    print("  after the signal")

def run(loop, title):
    print(title)
    loop.call_later(0.1, loop.stop)
    loop.run_forever()

loop = asyncio.new_event_loop()
loop.add_signal_handler(signal.SIGUSR1, print, "  handled")

loop.call_soon(callback)
loop.call_soon(print, "  another callback of the same turn")
run(loop, "one, in the middle of a callback")

loop.call_soon(send, 3)
run(loop, "three, one by one")

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
send(3)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
run(loop, "three, while the signal is blocked")
loop.close()
