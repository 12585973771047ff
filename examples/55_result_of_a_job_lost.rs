//! A cancelled task loses the result of its job.
//!
//! A job on a thread cannot be cancelled once it has begun. It reserves a seat, and its result is the only
//! thing that says which. If the task that awaits it is cancelled, the result is dropped. So the task must
//! wait until the job is over, and undo it.

use looplab::explore::Explore;
use looplab::{Error, Result, ReturnWhen, create_task, get_running_loop, run, wait, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::channel;

/// A job that reserves a seat, and returns its number.
type Reserve = Box<dyn FnOnce() -> u32 + Send>;
type Bookings = Rc<RefCell<Vec<u32>>>;

/// How many seats are taken.
#[derive(Clone, Default)]
struct Hall(Arc<AtomicU32>);

impl Hall {
    fn reserve(&self) -> u32 {
        self.0.fetch_add(1, SeqCst) + 1
    }

    fn give_back(&self, _seat: u32) {
        self.0.fetch_sub(1, SeqCst);
    }

    fn taken(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

/// As it is often written.
async fn book(_: Hall, reserve: Reserve, bookings: Bookings) -> Result<()> {
    let seat = get_running_loop()?.run_in_executor(reserve)?.await?;
    bookings.borrow_mut().push(seat);
    Ok(())
}

/// Mended: it waits for the job however often it is cancelled, and gives the seat back.
async fn careful_book(hall: Hall, reserve: Reserve, bookings: Bookings) -> Result<()> {
    let job = get_running_loop()?.run_in_executor(reserve)?;
    let mut waited = Ok(());
    while !job.done() {
        waited = waited.and(wait([job.clone()], ReturnWhen::AllCompleted, None).await.map(drop));
    }
    let seat = job.result()?;
    if waited.is_err() {
        hall.give_back(seat);
    } else {
        bookings.borrow_mut().push(seat);
    }
    waited
}

/// Cancels a booking while its job runs, and then lets the job end.
fn cancelled<B>(book: fn(Hall, Reserve, Bookings) -> B) -> Result<()>
where
    B: Future<Output = Result<()>> + 'static,
{
    let (hall, bookings) = (Hall::default(), Bookings::default());
    let (at_hall, at_bookings) = (hall.clone(), bookings.clone());
    run(async move {
        let ((began, has_begun), (open, gate)) = (channel(), channel());
        let seats = at_hall.clone();
        let reserve = move || {
            let _ = began.send(());
            let _ = gate.recv();
            seats.reserve()
        };
        let booking = create_task(book(at_hall, Box::new(reserve), at_bookings));
        yield_now().await?;
        let _ = has_begun.recv();
        booking.cancel();
        for _ in 0..3 {
            yield_now().await?;
        }
        let _ = open.send(());
        wait([booking], ReturnWhen::AllCompleted, None).await
    })?;
    println!("  taken: {}, booked: {}", hall.taken(), bookings.borrow().len());
    Ok(())
}

/// Cancels a booking at each point, with its job early and late.
fn explored<B>(book: fn(Hall, Reserve, Bookings) -> B) -> Explore
where
    B: Future<Output = Result<()>> + 'static,
{
    Explore::new(move |world| {
        let (hall, bookings) = (Hall::default(), Bookings::default());
        let (taken, booked) = (hall.clone(), bookings.clone());
        world.finally(move || match (taken.taken(), booked.borrow().len()) {
            (taken, booked) if taken as usize == booked => Ok(()),
            (taken, booked) => Err(Error::msg(format!("taken: {taken}, booked: {booked}"))),
        });
        let seats = hall.clone();
        world.main(book(hall, Box::new(move || seats.reserve()), bookings))
    })
    .cancel("main")
    .jobs()
    .pairs()
}

fn main() -> Result<()> {
    println!("cancelled while its job runs");
    cancelled(book)?;
    println!("mended");
    cancelled(careful_book)?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(book).run()?);
    eprintln!("mended\n{}", explored(careful_book).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
// Next: 56_server_closed_before_its_clients.rs
