//! What the server and the client library say, in the words of the contract.

use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind, Value};
use steadfast_backend::{Error, ErrorKind};

pub(crate) type Outcome<T> = Result<T, Fault>;

pub(crate) const NAME: &str = "redis";

/// Why a request failed, and what that means for the connection and for the map of servers.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    pub(crate) detail: String,
    /// The server answered that it did nothing, or it was never asked.
    pub(crate) untouched: bool,
    pub(crate) then: Then,
}

/// What to do about it besides telling the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    /// The connection is of no more use.
    Replace,
    /// The server is not the one to ask any more: find out which one is.
    Resolve,
    /// The script is not in the server's cache.
    Load,
    /// The slot has moved for good.
    Moved(String),
    /// This once, ask there.
    Ask(String),
    /// The keys are on their way to another server.
    TryAgain,
}

impl Fault {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), untouched: false, then: Then::Nothing }
    }

    /// Nothing was sent, or the server said that it did nothing.
    pub(crate) fn untouched(mut self) -> Self {
        self.untouched = true;
        self
    }

    pub(crate) fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    /// As the caller of a read or a write sees it.
    pub(crate) fn told(self, operation: &'static str, writes: bool) -> Error {
        let error = Error::new(self.kind, self.detail).at(NAME, operation);
        if writes && !self.untouched { error.ambiguous() } else { error }
    }
}

impl From<RedisError> for Fault {
    /// Only codes are repeated: the rest of an answer may hold keys and values.
    fn from(error: RedisError) -> Self {
        if let RedisKind::Server(kind) = error.kind() {
            return answered(kind, &error);
        }
        if let Some(code) = error.code() {
            return refused(code, &error);
        }
        match error.kind() {
            RedisKind::AuthenticationFailed => rejected("the user name or the password is wrong"),
            RedisKind::Parse | RedisKind::UnexpectedReturnType => {
                let detail = "the answer is not the Redis protocol; check the address";
                Self::new(ErrorKind::Other, detail).then(Then::Replace)
            }
            RedisKind::InvalidClientConfig | RedisKind::RESP3NotSupported => {
                let detail = format!("the settings do not work: {}", error.category());
                Self::new(ErrorKind::Config, detail).untouched()
            }
            _ => unreachable_server(&error),
        }
    }
}

/// The connection broke, or none came about. Such an error comes from the operating system or the
/// TLS library and names no key.
fn unreachable_server(error: &RedisError) -> Fault {
    let detail = format!("the server cannot be reached ({error}); check that it is up");
    Fault::new(ErrorKind::Unavailable, detail).then(Then::Replace)
}

/// The server's answer was one of the errors that the client library knows.
fn answered(kind: ServerErrorKind, error: &RedisError) -> Fault {
    let unavailable = |detail: &str| Fault::new(ErrorKind::Unavailable, detail).untouched();
    let redirect = || error.redirect_node().map(|(address, _slot)| address.to_owned());
    match kind {
        ServerErrorKind::NoScript => unavailable("the script is gone").then(Then::Load),
        ServerErrorKind::Moved => {
            unavailable("the slot has moved").then(redirect().map_or(Then::Resolve, Then::Moved))
        }
        ServerErrorKind::Ask => {
            unavailable("the slot is moving").then(redirect().map_or(Then::Resolve, Then::Ask))
        }
        ServerErrorKind::TryAgain => {
            unavailable("the keys are moving to another server; try again").then(Then::TryAgain)
        }
        ServerErrorKind::ClusterDown => {
            unavailable("the cluster is down; see CLUSTER INFO").then(Then::Resolve)
        }
        ServerErrorKind::MasterDown => {
            unavailable("the server is cut off from its primary").then(Then::Resolve)
        }
        ServerErrorKind::ReadOnly => {
            unavailable("the server is a read-only replica now").then(Then::Resolve)
        }
        ServerErrorKind::BusyLoading => unavailable("the server is loading its data"),
        ServerErrorKind::NoPerm => rejected("the user lacks a permission; see ACL LOG"),
        ServerErrorKind::CrossSlot => {
            let detail = "the keys are in several slots: this is a Redis Cluster; connect to it \
                          with redis-cluster://";
            Fault::new(ErrorKind::Config, detail).untouched()
        }
        _ => refused(error.code().unwrap_or("ERR"), error),
    }
}

/// The server's answer was another error.
fn refused(code: &str, error: &RedisError) -> Fault {
    let text = error.detail().unwrap_or_default();
    let fault = match code {
        "OOM" => Fault::new(
            ErrorKind::Full,
            "the server has no memory left (maxmemory); give it more, or store less",
        ),
        "MISCONF" => Fault::new(
            ErrorKind::Unavailable,
            "the server refuses writes because it cannot save to its disk (MISCONF)",
        ),
        "NOREPLICAS" => Fault::new(
            ErrorKind::Unavailable,
            "the server refuses writes because it has too few good replicas (NOREPLICAS)",
        ),
        "BUSY" => Fault::new(ErrorKind::Busy, "the server is busy with a script (BUSY)"),
        "CORRUPT" | "WRONGTYPE" => corrupt(),
        "NOAUTH" => rejected("the server wants a password and got none"),
        "WRONGPASS" => rejected("the user name or the password is wrong"),
        // Scripts wrap what a command in them says.
        _ if text.contains("OOM ") => return refused("OOM", error),
        _ if text.contains("READONLY ") => return answered(ServerErrorKind::ReadOnly, error),
        _ if text.contains("MISCONF ") => return refused("MISCONF", error),
        _ if text.contains("NOREPLICAS ") => return refused("NOREPLICAS", error),
        _ if text.contains("NOPERM ") || text.contains("ACL failure") => {
            return answered(ServerErrorKind::NoPerm, error);
        }
        _ if text.contains("max number of clients") => {
            Fault::new(ErrorKind::Busy, "the server has no connection left (maxclients)")
        }
        _ => Fault::new(ErrorKind::Other, format!("the server refused ({code}); see its log")),
    };
    fault.untouched()
}

fn rejected(detail: &str) -> Fault {
    Fault::new(ErrorKind::Rejected, detail).untouched()
}

pub(crate) fn corrupt() -> Fault {
    let detail = "what is stored under the key was not written by this backend, or by a newer \
                  version of it; it is left as it is";
    Fault::new(ErrorKind::Corrupt, detail).untouched()
}

/// An answer that the server should never give to such a question.
pub(crate) fn nonsense() -> Fault {
    let detail = "the server's answer makes no sense; check that it is Redis or Valkey";
    Fault::new(ErrorKind::Other, detail).then(Then::Replace)
}

/// Errors stand among the values of an answer.
pub(crate) fn sound(value: Value) -> Result<Value, Fault> {
    match value {
        Value::ServerError(error) => Err(RedisError::from(error).into()),
        value => Ok(value),
    }
}
