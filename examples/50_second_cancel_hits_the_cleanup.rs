//! A cleanup that awaits can be cancelled, too.
//!
//! The first cancellation starts the cleanup. A second one arrives at the cleanup's own await, and ends
//! it half-way. What must be finished runs in a task of its own, which the second cancellation does not
//! reach.

use looplab::explore::Explore;
use looplab::{Error, Result, ReturnWhen, create_task, sleep, wait, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// How long a bank takes to answer.
const ANSWER: Duration = Duration::from_millis(5);

type Account = Rc<Cell<u32>>;

/// As it is often written.
async fn transfer(from: Account, to: Account) -> Result<()> {
    from.set(from.get() - 100);
    if let Err(cancelled) = sleep(ANSWER).await {
        put_back(from).await?;
        return Err(cancelled);
    }
    to.set(to.get() + 100);
    Ok(())
}

async fn put_back(account: Account) -> Result<()> {
    sleep(ANSWER).await?;
    account.set(account.get() + 100);
    Ok(())
}

/// Mended: the cleanup is a task, and it is waited for until it is over.
async fn safe_transfer(from: Account, to: Account) -> Result<()> {
    from.set(from.get() - 100);
    if let Err(cancelled) = sleep(ANSWER).await {
        let cleanup = create_task(put_back(from));
        while !cleanup.done() {
            // `wait` does not cancel what it waits for. This task is being cancelled already.
            let _again = wait([cleanup.clone()], ReturnWhen::AllCompleted, None).await;
        }
        cleanup.await?;
        return Err(cancelled);
    }
    to.set(to.get() + 100);
    Ok(())
}

fn accounts() -> (Account, Account) {
    (Rc::new(Cell::new(100)), Rc::default())
}

/// Cancels a transfer, and its cleanup.
async fn cancelled_twice<T>(transfer: fn(Account, Account) -> T) -> Result<()>
where
    T: Future<Output = Result<()>> + 'static,
{
    let (from, to) = accounts();
    let transferring = create_task(transfer(from.clone(), to.clone()));
    for _ in 0..2 {
        yield_now().await?;
        transferring.cancel();
    }
    wait([transferring], ReturnWhen::AllCompleted, None).await?;
    println!("  from: {}, to: {}", from.get(), to.get());
    Ok(())
}

/// Cancels a transfer at each point, and at any two.
fn explored<T>(transfer: fn(Account, Account) -> T) -> Explore
where
    T: Future<Output = Result<()>> + 'static,
{
    Explore::new(move |world| {
        let (from, to) = accounts();
        let (left, came) = (from.clone(), to.clone());
        world.finally(move || match left.get() + came.get() {
            100 => Ok(()),
            n => Err(Error::msg(format!("100 became {n}"))),
        });
        world.main(transfer(from, to))
    })
    .cancel("main")
    .pairs()
}

fn main() -> Result<()> {
    println!("cancelled twice");
    looplab::run(cancelled_twice(transfer))?;
    println!("mended");
    looplab::run(cancelled_twice(safe_transfer))?;
    // What the explorer says goes to standard error, because CPython has no explorer.
    eprintln!("as written\n{}", explored(transfer).run()?);
    eprintln!("mended\n{}", explored(safe_transfer).run()?);
    Ok(())
}

// Explained in docs/lessons/exploring.md.
// Next: 51_stop_before_the_cleanup.rs
