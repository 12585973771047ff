//! The exercises: a chapter with the body of one function taken out.

use crate::chapter::{Chapter, without_marks};

/// One exercise.
#[derive(Debug)]
pub(crate) struct Exercise {
    /// The chapter's number.
    number: &'static str,
    /// The part of the chapter that has the function.
    anchor: &'static str,
    pub(crate) function: &'static str,
    pub(crate) task: &'static str,
    pub(crate) hint: &'static str,
}

/// All exercises, in the order of the chapters.
pub(crate) const EXERCISES: &[Exercise] = &[
    Exercise {
        number: "01",
        anchor: "turn",
        function: "turn",
        task: "Run what is queued now, and nothing that is queued meanwhile.",
        hint: "Read the length once, before the first callback. Let no borrow live while a callback runs.",
    },
    Exercise {
        number: "01",
        anchor: "run",
        function: "run_forever",
        task: "Make turns until the flag is set. A stop before the run makes it one turn.",
        hint: "Look at the flag after the turn, not before. Clear it when the run ends.",
    },
    Exercise {
        number: "02",
        anchor: "timeout",
        function: "timeout",
        task: "Return how long the loop may sleep.",
        hint: "Three cases: something is ready or the loop stops; there is a first timer; there is none.",
    },
    Exercise {
        number: "02",
        anchor: "due",
        function: "queue_due_timers",
        task: "Move the due timers to the ready queue.",
        hint: "The map is sorted by deadline: take its first entry as long as that one is due.",
    },
    Exercise {
        number: "03",
        anchor: "rearm",
        function: "rearm",
        task: "Make edges levels: have the next poll report again what is still ready.",
        hint: "`registry().reregister` reports a descriptor that is ready. One whose reader is gone must be skipped.",
    },
    Exercise {
        number: "04",
        anchor: "send",
        function: "call_soon",
        task: "Send a call to the loop, and wake the loop if it sleeps.",
        hint: "Push and look at the flag under one lock. Clear the flag, so that the next sender does not wake again.",
    },
    Exercise {
        number: "04",
        anchor: "sleep",
        function: "going_to_sleep",
        task: "Set the flag that the loop sleeps, unless a call has come.",
        hint: "Look at the messages and set the flag under one lock.",
    },
    Exercise {
        number: "05",
        anchor: "read",
        function: "read_signal",
        task: "Empty the self-pipe, and queue the handler once for each byte.",
        hint: "Read until `read` fails: the pipe does not block. A handler that is gone has no pipe to read.",
    },
    Exercise {
        number: "06",
        anchor: "until",
        function: "run_until_complete",
        task: "Run until the future is done.",
        hint: "A done callback stops the loop. It must be gone when the run ends for another reason.",
    },
    Exercise {
        number: "07",
        anchor: "cancel",
        function: "cancel",
        task: "Request a cancellation. It is delivered in the task's next step.",
        hint: "Set the mark, and wake the task: otherwise it sleeps on.",
    },
    Exercise {
        number: "07",
        anchor: "leaf",
        function: "poll",
        task: "Suspend the task until `ready` says true; return an error if a cancellation was requested meanwhile.",
        hint: "Only a leaf that was suspended throws. It takes the mark, so that the cleanup can await.",
    },
    Exercise {
        number: "08",
        anchor: "cancel",
        function: "cancel",
        task: "Pass a cancellation on to what the task waits on, or keep it for the next step.",
        hint: "Clone what it waits on before you cancel that: no borrow may live while other code runs.",
    },
    Exercise {
        number: "08",
        anchor: "leaf",
        function: "poll",
        task: "Register the current task with the future, and suspend it until the future is done.",
        hint: "Say in the task's context what it waits on: that is where a cancellation walks down.",
    },
    Exercise {
        number: "09",
        anchor: "work",
        function: "work",
        task: "Run jobs until the channel is closed, and send each result. A withdrawn job is skipped.",
        hint: "`claimed.swap(true, …)` tells whether the loop was first. A panic must not end the thread.",
    },
    Exercise {
        number: "09",
        anchor: "cancel",
        function: "cancel",
        task: "Cancel the future of a job, and withdraw the job if no thread has taken it.",
        hint: "Claim the job as a thread would. If a thread was first, that changes nothing.",
    },
];

impl Exercise {
    /// Returns the name by which commands find it, such as `01_turn`.
    pub(crate) fn name(&self) -> String {
        format!("{}_{}", self.number, self.function)
    }

    pub(crate) fn chapter(&self) -> Result<Chapter, String> {
        Chapter::of(self.number)
    }

    /// Returns the program without the function's body.
    pub(crate) fn source(&self) -> Result<String, String> {
        let chapter = self.chapter()?;
        let mut source = chapter.source.clone();
        source.replace_range(
            chapter.body(self.anchor, self.function)?,
            "{\n        todo!(\"write this function\")\n    }",
        );
        let page = format!("docs/build/{}.md", chapter.name);
        Ok(format!(
            "// Exercise {}: `{}` ({page}).\n// {}\n\n{}",
            self.name(),
            self.function,
            self.task,
            without_marks(&source)
        ))
    }

    /// Returns the program with its solution: the chapter.
    pub(crate) fn solved(&self) -> Result<String, String> {
        Ok(without_marks(&self.chapter()?.source))
    }

    /// Returns the part of the chapter that has the function.
    pub(crate) fn solution(&self) -> Result<String, String> {
        let chapter = self.chapter()?;
        let part = chapter.part(self.anchor)?;
        Ok(chapter.source[part].to_owned())
    }
}
