//! Pipes as streams.

use looplab::net::{StreamReader, connect_read_pipe, connect_write_pipe, stdin};
use looplab::{Error, EventLoop, Result, create_task, yield_now};
use std::fs::File;
use std::io::{ErrorKind, Read, Write, pipe};
use std::process::Stdio;
use support::{Lab, Process, again, capture_log, report, role, watchdog};

/// Measured on CPython 3.15, with `_run_once` counted.
#[test]
fn bytes_and_the_end_of_a_pipe_come_in_asyncios_turns() {
    let lab = Lab::reporting_in_real_time();
    let log = lab.log.clone();
    let said = lab.run(async move {
        let (reader, mut writer) = pipe()?;
        let reader = connect_read_pipe(reader).await?;
        log.say("connected");
        writer.write_all(b"x")?;
        drop(writer);
        assert_eq!(reader.read(1).await?, b"x");
        log.say("read");
        assert_eq!(reader.read_to_end().await?, b"");
        log.say("the end");
        Ok(())
    });
    assert_eq!(said[..3], ["3 connected", "5 read", "7 the end"]);
}

#[test]
fn a_regular_file_is_refused_in_asyncios_words() {
    let lab = Lab::reporting();
    let said = lab.run(async {
        let error = connect_read_pipe(File::open("/proc/self/exe")?).await.map(drop).unwrap_err();
        assert!(matches!(&error, Error::Value(_)), "{error:?}");
        assert_eq!(error.to_string(), "Pipe transport is for pipes/sockets only.");
        let error = connect_write_pipe(File::open("/proc/self/exe")?).await.map(drop).unwrap_err();
        assert_eq!(error.to_string(), "Pipe transport is only for pipes, sockets and character devices");
        Ok(())
    });
    assert_eq!(said, ["2 returned ()"]);
}

#[test]
fn more_than_a_pipe_and_a_stream_hold_goes_through() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let (reader, writer) = pipe()?;
        let (reader, writer) = (connect_read_pipe(reader).await?, connect_write_pipe(writer).await?);
        writer.write(vec![7; 1_000_000])?;
        let drained = create_task(writer.drain());
        while !format!("{reader:?}").contains("paused") {
            yield_now().await?;
        }
        assert!(!drained.done());
        let all = create_task(reader.read_to_end());
        drained.await?;
        // A pipe has one direction, so `write_eof` closes it.
        writer.write_eof()?;
        assert!(writer.is_closing());
        writer.write("dropped, as in asyncio")?;
        writer.wait_closed().await?;
        Ok(all.await?.len())
    });
    assert!(said[0].ends_with("returned 1000000"), "{said:?}");
}

#[test]
fn a_writer_closes_when_the_other_end_does() {
    let logged = capture_log();
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let (reader, writer) = pipe()?;
        let writer = connect_write_pipe(writer).await?;
        drop(reader);
        writer.wait_closed().await?;
        writer.write("lost")?;
        assert_eq!(writer.drain().await.unwrap_err().to_string(), "Connection lost");
        for _ in 0..4 {
            writer.write("lost")?;
        }
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
    assert_eq!(logged(), ["pipe closed by peer or os.write(pipe, data) raised exception."]);
}

#[test]
fn unsent_bytes_that_are_lost_are_a_broken_pipe() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let (reader, writer) = pipe()?;
        let writer = connect_write_pipe(writer).await?;
        writer.write(vec![7; 1_000_000])?;
        let drained = create_task(writer.drain());
        yield_now().await?;
        drop(reader);
        let Err(Error::Io(error)) = drained.await else { panic!("it is lost") };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let Err(Error::Io(error)) = writer.wait_closed().await else { panic!("it is lost") };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

#[test]
fn the_pipe_is_open_as_long_as_a_handle_of_its_stream() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let (reader, mut writer) = pipe()?;
        let reader = connect_read_pipe(reader).await?;
        let other = reader.clone();
        drop(reader);
        writer.write_all(b"x")?;
        assert_eq!(other.read(1).await?, b"x");
        drop(other);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let (mut reader, writer) = pipe()?;
        drop(connect_write_pipe(writer).await?);
        // It closes in a callback of the next turn.
        yield_now().await?;
        assert_eq!(reader.read(&mut [0; 1])?, 0);
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

#[test]
fn a_cancelled_connect_closes_the_pipe() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let (reader, mut writer) = pipe()?;
        let connecting = create_task(async move { connect_read_pipe(reader).await.map(drop) });
        yield_now().await?;
        connecting.cancel();
        assert!(connecting.await.unwrap_err().is_cancelled());
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

#[test]
fn a_pipe_outlives_its_loop_and_closes_with_its_stream() {
    let _dog = watchdog();
    let lp = EventLoop::new().expect("a loop");
    let (reader, mut writer) = pipe().expect("a pipe");
    let connected = lp.run_until_complete(async { connect_read_pipe(reader).await });
    let reader: StreamReader = connected.expect("a stream");
    lp.close().expect("the loop ends well");
    writer.write_all(b"x").expect("the pipe is open");
    drop(reader);
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn standard_input_is_a_stream() -> Result<()> {
    if role().is_some() {
        let _dog = watchdog();
        return looplab::run(async {
            let stdin = stdin().await?;
            while let Some(line) = stdin.next_line().await? {
                report(String::from_utf8_lossy(&line).trim_end());
            }
            Ok(())
        });
    }
    let (reader, mut writer) = pipe()?;
    let mut process = Process::start_reading(&mut again!("reader"), Stdio::from(reader));
    writer.write_all(b"one\n")?;
    assert_eq!(process.next().as_deref(), Some("one"));
    writer.write_all(b"two\n")?;
    drop(writer);
    assert_eq!(process.end().fine(), ["one", "two"]);
    Ok(())
}
