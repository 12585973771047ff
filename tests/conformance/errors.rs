//! The errors that programs raise and print.

use looplab::Error;

/// An error as both sides write it.
pub(crate) fn show(error: &Error) -> String {
    match error {
        Error::Cancelled(message) => format!("Cancelled({})", message.as_deref().unwrap_or("")),
        Error::InvalidState(text) => format!("InvalidState({text})"),
        Error::KeyboardInterrupt => "KeyboardInterrupt".to_owned(),
        Error::Exit(status) => format!("Exit({status})"),
        Error::Deadlock(_) => "Deadlock".to_owned(),
        Error::Value(text) => format!("ValueError({text})"),
        Error::Other(error) => format!("Boom({error})"),
        Error::AlreadyRunning
        | Error::AnotherLoopRunning
        | Error::Closed
        | Error::CloseWhileRunning
        | Error::StoppedBeforeComplete
        | Error::NoRunningLoop => format!("RuntimeError({error})"),
        Error::Runtime(text) => {
            let known = [
                "Task cannot await on itself",
                "attached to a different loop",
                "is bound to a different event loop",
            ];
            let text = known.into_iter().find(|part| text.contains(part)).unwrap_or(text);
            format!("RuntimeError({text})")
        }
        Error::TimedOut => "TimedOut".to_owned(),
        Error::QueueFull => "QueueFull".to_owned(),
        Error::QueueEmpty => "QueueEmpty".to_owned(),
        Error::QueueShutDown => "QueueShutDown".to_owned(),
        Error::BrokenBarrier(text) => format!("BrokenBarrierError({text})"),
        // A job of these programs fails by a panic.
        Error::Panic(text) => format!("Boom({text})"),
        Error::Group(errors) => format!("Group({})", errors.iter().map(show).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}"),
    }
}

/// The error that a program names: `E:text`, `CANCEL:message`, `EXIT:status`, `KI`.
pub(crate) fn make_error(what: &str) -> Error {
    let (kind, rest) = what.split_once(':').unwrap_or((what, ""));
    match kind {
        "KI" => Error::KeyboardInterrupt,
        "EXIT" => Error::Exit(rest.parse().unwrap_or(0)),
        "CANCEL" if rest.is_empty() => Error::cancelled(),
        "CANCEL" => Error::Cancelled(Some(rest.into())),
        _ => Error::msg(rest),
    }
}
