//! Conditional writes as calls of `write.lua`, and what it answers.

use std::sync::LazyLock;

use redis::{Cmd, Script, Value};
use steadfast_backend::{Condition, Entry, Error, Transacted, Version, Write, Written};

use crate::clock::Moment;
use crate::error::{Fault, Then, answered, nonsense};
use crate::frame::{self, number};

pub(crate) const BODY: &str = include_str!("write.lua");

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(BODY));

/// How the writes of one call hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Together {
    /// All or none.
    All,
    /// Each alone.
    Each,
}

/// One call of the script.
pub(crate) struct Call<'a> {
    together: Together,
    writes: &'a [Write],
    waits: bool,
}

impl<'a> Call<'a> {
    /// One behind which replicas or disks are waited for leaves them something to confirm, whatever
    /// it comes to.
    pub(crate) fn new(together: Together, writes: &'a [Write], waits: bool) -> Self {
        Self { together, writes, waits }
    }

    /// By the script's hash, as long as the server has it in its cache.
    pub(crate) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", SCRIPT.get_hash())
    }

    /// With the script itself, which puts it in the cache, too.
    pub(crate) fn whole(&self) -> Cmd {
        self.command("EVAL", BODY)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.writes.len());
        for write in self.writes {
            command.arg(write.key().as_str());
        }
        command.arg(match self.together {
            Together::All => "all",
            Together::Each => "each",
        });
        for write in self.writes {
            let (condition, version) = match write.condition() {
                Condition::Always => (b'a', None),
                Condition::Absent => (b'n', None),
                Condition::Present => (b'x', None),
                Condition::VersionIs(version) => (b'=', Some(version.get())),
            };
            let (verb, value) = match write {
                Write::Put { value, .. } => (b'p', &value[..]),
                Write::Touch { .. } => (b't', &[][..]),
                Write::Delete { .. } => (b'd', &[][..]),
                Write::Check { .. } => (b'c', &[][..]),
            };
            command.arg(&[verb, condition][..]);
            optional(&mut command, version);
            optional(&mut command, write.ttl().map(steadfast_backend::Ttl::as_millis));
            command.arg(value);
        }
        if self.waits {
            command.arg("waits");
        }
        command
    }
}

fn optional(command: &mut Cmd, number: Option<u64>) {
    match number {
        Some(number) => command.arg(number),
        None => command.arg(""),
    };
}

/// The answers to a call of [`Together::Each`], one for each write.
pub(crate) fn each(answer: Value) -> Result<Vec<Result<Written, Error>>, Fault> {
    let (now, answers) = opened(answer)?;
    answers.map(|answer| one(answer, now)).collect()
}

fn one(answer: Value, now: Moment) -> Result<Result<Written, Error>, Fault> {
    Ok(match answer {
        Value::BulkString(digits) => Ok(Written::Applied { version: version(&digits)? }),
        Value::Array(mut parts) if parts.len() == 2 => match parts.swap_remove(1) {
            Value::BulkString(problem) => {
                let problem = String::from_utf8_lossy(&problem);
                let fault = answered(problem.split(' ').next().unwrap_or_default(), &problem);
                // If the server is not the one to ask, no write of the call was made.
                if fault.then != Then::Nothing {
                    return Err(fault);
                }
                Err(fault.told("write", true))
            }
            _ => return Err(nonsense()),
        },
        Value::Array(parts) => Ok(Written::Refused { current: current(parts, now)? }),
        _ => return Err(nonsense()),
    })
}

/// The answer to a call of [`Together::All`].
pub(crate) fn all(answer: Value) -> Result<Transacted, Fault> {
    let (now, mut answers) = opened(answer)?;
    let mut versions = Vec::with_capacity(answers.len());
    while let Some(answer) = answers.next() {
        match answer {
            Value::BulkString(digits) => versions.push(version(&digits)?),
            Value::Int(position) => {
                let index = usize::try_from(position - 1).map_err(|_negative| nonsense())?;
                let Some(Value::Array(parts)) = answers.next() else { return Err(nonsense()) };
                return Ok(Transacted::Refused { index, current: current(parts, now)? });
            }
            _ => return Err(nonsense()),
        }
    }
    Ok(Transacted::Applied { versions })
}

/// The server's time, and the rest.
fn opened(answer: Value) -> Result<(Moment, std::vec::IntoIter<Value>), Fault> {
    let Value::Array(answers) = answer else { return Err(nonsense()) };
    let mut answers = answers.into_iter();
    match answers.next() {
        Some(Value::BulkString(digits)) => {
            let now_us = number(&digits).ok_or_else(nonsense)?;
            Ok((Moment::exactly(now_us), answers))
        }
        _ => Err(nonsense()),
    }
}

fn version(digits: &[u8]) -> Result<Option<Version>, Fault> {
    if digits.is_empty() {
        return Ok(None);
    }
    number(digits).and_then(Version::new).map(Some).ok_or_else(nonsense)
}

fn current(parts: Vec<Value>, now: Moment) -> Result<Option<Entry>, Fault> {
    match parts.into_iter().next() {
        None => Ok(None),
        Some(Value::BulkString(frame)) => frame::entry(frame, now),
        _ => Err(nonsense()),
    }
}
