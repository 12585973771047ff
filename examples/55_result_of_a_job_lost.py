"""A cancelled task loses the result of its job.

A job on a thread cannot be cancelled once it has begun. It reserves a seat, and its result is the only thing
that says which. If the task that awaits it is cancelled, the result is dropped. So the task must wait until
the job is over, and undo it."""
import asyncio, threading

class Hall:
    def __init__(self):
        self.taken, self.lock = 0, threading.Lock()

    def reserve(self):
        with self.lock:
            self.taken += 1
            return self.taken

    def give_back(self, seat):
        with self.lock:
            self.taken -= 1

async def book(hall, reserve, bookings):
    seat = await asyncio.get_running_loop().run_in_executor(None, reserve)
    bookings.append(seat)

async def careful_book(hall, reserve, bookings):
    job = asyncio.get_running_loop().run_in_executor(None, reserve)
    cancelled = None
    while not job.done():
        try:
            await asyncio.wait([job])
        except asyncio.CancelledError as error:
            cancelled = error
    seat = job.result()
    if cancelled:
        hall.give_back(seat)
        raise cancelled
    bookings.append(seat)

def cancelled(book):
    hall, bookings = Hall(), []

    async def main():
        began, gate = threading.Event(), threading.Event()

        def reserve():
            began.set()
            gate.wait()
            return hall.reserve()

        booking = asyncio.create_task(book(hall, reserve, bookings))
        await asyncio.sleep(0)
        began.wait()
        booking.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        gate.set()
        await asyncio.wait([booking])

    asyncio.run(main())
    print(f"  taken: {hall.taken}, booked: {len(bookings)}")

print("cancelled while its job runs")
cancelled(book)
print("mended")
cancelled(careful_book)
