//! What is asked of a server, and how its answer is acknowledged.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use steadfast_backend::ErrorKind;

use crate::config::Acknowledged;
use crate::error::{Fault, nonsense, sound};
use crate::lane::Traffic;

/// Requests over this size go by the bulk lane.
pub(crate) const BULK: usize = 64 << 10;
/// About what a request takes besides its values.
const OVERHEAD: usize = 128;

/// One command, and what its answer has to wait for.
pub(crate) struct Question {
    pub(crate) traffic: Traffic,
    /// About how many bytes it takes.
    pub(crate) bytes: usize,
    command: Cmd,
    by: Acknowledged,
    asking: bool,
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) value: Value,
    /// As many servers and disks have it as were asked for.
    pub(crate) confirmed: bool,
}

impl Question {
    /// A command that changes nothing, or whose change needs no more than the primary's memory.
    pub(crate) fn new(command: Cmd, value_bytes: usize) -> Self {
        let bytes = OVERHEAD + value_bytes;
        let traffic = if value_bytes > BULK { Traffic::Bulk } else { Traffic::Small };
        Self { traffic, bytes, command, by: Acknowledged::ByPrimary, asking: false }
    }

    /// The same by the lane for large values: the answer is one.
    pub(crate) fn bulky(mut self) -> Self {
        self.traffic = Traffic::Bulk;
        self
    }

    /// Its answer waits for others.
    pub(crate) fn acknowledged(mut self, by: Acknowledged) -> Self {
        if by != Acknowledged::ByPrimary {
            (self.by, self.traffic) = (by, Traffic::Acknowledged);
        }
        self
    }

    /// The same of the server to which the slot is moving.
    pub(crate) fn asking(&self) -> Self {
        Self { command: self.command.clone(), asking: true, ..*self }
    }

    /// The command, if it goes alone.
    pub(crate) fn alone(&self) -> Option<&Cmd> {
        (self.by == Acknowledged::ByPrimary && !self.asking).then_some(&self.command)
    }

    /// The command with what goes before and after it, if `left` is enough for that.
    pub(crate) fn whole(&self, left: Duration) -> Result<Pipeline, Fault> {
        let wait = left.saturating_sub(return_time(left));
        // 0 ms would mean for ever.
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            let detail = "no time is left to wait for replicas or disks; nothing was sent";
            return Err(Fault::new(ErrorKind::Timeout, detail).untouched());
        }
        let mut commands = redis::pipe();
        if self.asking {
            commands.cmd("ASKING");
        }
        commands.add_command(self.command.clone());
        match self.by {
            Acknowledged::ByPrimary => {}
            Acknowledged::ByReplicas(replicas) => {
                commands.cmd("WAIT").arg(replicas).arg(millis);
            }
            Acknowledged::OnDisk { replicas } => {
                commands.cmd("WAITAOF").arg(1).arg(replicas).arg(millis);
            }
        }
        Ok(commands)
    }

    /// The answers to [`whole`](Self::whole).
    pub(crate) fn answered(&self, answers: Vec<Value>) -> Result<Answer, Fault> {
        let mut answers = answers.into_iter().skip(usize::from(self.asking));
        let value = sound(answers.next().ok_or_else(nonsense)?)?;
        let confirmed = match self.by {
            Acknowledged::ByPrimary => true,
            // The change is made, whatever keeps the wait from its answer: a server that is no
            // primary any more breaks it off.
            by => answers.next().is_some_and(|answer| confirms(by, &answer)),
        };
        Ok(Answer { value, confirmed })
    }
}

/// What is kept back for the answer to arrive before the deadline, also where both machines are
/// busy: else it is not known that the change was made.
fn return_time(left: Duration) -> Duration {
    const BUSY: Duration = Duration::from_millis(250);
    (left / 10).max(BUSY.min(left / 2))
}

fn confirms(by: Acknowledged, answer: &Value) -> bool {
    match (by, answer) {
        (Acknowledged::ByReplicas(wanted), Value::Int(count)) => *count >= i64::from(wanted),
        (Acknowledged::OnDisk { replicas }, Value::Array(counts)) => match &counts[..] {
            [Value::Int(own), Value::Int(others)] => *own >= 1 && *others >= i64::from(replicas),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_time_to_arrive_after_the_wait() {
        for (left_ms, wait_ms) in [(0, 0), (100, 50), (500, 250), (1_000, 750), (10_000, 9_000)] {
            let left = Duration::from_millis(left_ms);
            assert_eq!(left, return_time(left) + Duration::from_millis(wait_ms));
        }
    }

    #[test]
    fn a_wait_that_is_broken_off_leaves_a_change_that_is_made_and_not_confirmed() {
        let question = Question::new(redis::cmd("EVALSHA"), 0);
        let question = question.acknowledged(Acknowledged::ByReplicas(1));
        // `UNBLOCKED force unblock`, when the server becomes a replica.
        let answers = vec![Value::Okay, Value::SimpleString("UNBLOCKED".to_owned())];
        let answer = question.answered(answers).unwrap();
        assert!(!answer.confirmed);
        let answer = question.answered(vec![Value::Okay, Value::Int(1)]).unwrap();
        assert!(answer.confirmed);
        let answer = question.answered(vec![Value::Okay, Value::Int(0)]).unwrap();
        assert!(!answer.confirmed);
        let on_disk = Acknowledged::OnDisk { replicas: 1 };
        let counts = |own, others| Value::Array(vec![Value::Int(own), Value::Int(others)]);
        for (answer, confirmed) in [
            (counts(1, 1), true),
            (counts(1, 0), false),
            (counts(0, 1), false),
            (Value::Int(1), false),
        ] {
            assert_eq!(confirms(on_disk, &answer), confirmed, "{answer:?}");
        }
    }
}
