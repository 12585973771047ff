//! How children end, and what is woken by it.

use crate::helpers::sleeper;
use looplab::process::Command;
use looplab::{Signal, create_task, gather, yield_now};
use support::Lab;

#[test]
fn a_return_code_is_the_status_or_the_negative_signal() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let mut codes = vec![Command::shell("exit 3").spawn().await?.wait().await?];
        for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGUSR1] {
            let child = sleeper().spawn().await?;
            assert_eq!(child.returncode(), None);
            match signal {
                Signal::SIGTERM => child.terminate()?,
                Signal::SIGKILL => child.kill()?,
                other => child.send_signal(other)?,
            }
            codes.push(child.wait().await?);
            assert_eq!(child.returncode(), codes.last().copied());
        }
        Ok(codes)
    });
    assert!(said[0].ends_with("returned [3, -15, -9, -10]"), "{said:?}");
}

#[test]
fn a_signal_after_the_end_is_a_process_lookup_error() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        // A child that ends by itself may have ended before the wait, which then makes no turn. The process is finished in
        // the next one, in asyncio too.
        let child = sleeper().spawn().await?;
        child.kill()?;
        child.wait().await?;
        for sent in [child.kill(), child.terminate(), child.send_signal(Signal::SIGUSR1)] {
            let error = format!("{:?}", sent.unwrap_err());
            assert_eq!(error, "ProcessLookupError: No such process (os error 3)");
        }
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

#[test]
fn a_number_that_cannot_be_sent_is_an_error() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let child = sleeper().spawn().await?;
        assert_eq!(child.send_signal(0).unwrap_err().to_string(), "invalid signal number 0");
        assert_eq!(child.send_signal(1000).unwrap_err().to_string(), "invalid signal number 1000");
        let text = "the real-time signal 35 cannot be sent to a child";
        assert_eq!(child.send_signal(35).unwrap_err().to_string(), text);
        child.kill()?;
        child.wait().await
    });
    assert!(said[0].ends_with("returned -9"), "{said:?}");
}

#[test]
fn several_tasks_wait_and_one_may_give_up() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let child = sleeper().spawn().await?;
        let waits = [(); 3].map(|()| create_task(child.wait()));
        yield_now().await?;
        waits[0].cancel();
        yield_now().await?;
        assert!(waits[0].cancelled() && child.returncode().is_none());
        child.terminate()?;
        let [_, second, third] = &waits;
        gather([second, third]).await
    });
    assert!(said[0].ends_with("returned [-15, -15]"), "{said:?}");
}

#[test]
fn a_child_that_is_stopped_has_not_ended() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let child = sleeper().spawn().await?;
        child.send_signal(Signal::SIGSTOP)?;
        let stat = format!("/proc/{}/stat", child.pid());
        while !std::fs::read_to_string(&stat)?.contains(") T ") {
            yield_now().await?;
        }
        assert_eq!(child.returncode(), None);
        child.send_signal(Signal::SIGCONT)?;
        child.terminate()?;
        child.wait().await
    });
    assert!(said[0].ends_with("returned -15"), "{said:?}");
}
