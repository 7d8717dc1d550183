//! What the server and the client library say, in the words of the contract.

use std::fmt;

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

impl Then {
    /// The same question may be answered by another server, or a little later.
    pub(crate) fn goes_on(&self) -> bool {
        matches!(self, Self::Moved(_) | Self::Ask(_) | Self::TryAgain)
    }
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

    /// Names the server.
    pub(crate) fn at(mut self, server: impl fmt::Display) -> Self {
        self.detail = format!("{server}: {}", self.detail);
        self
    }

    /// Nobody answered, or only that it cannot now. What else a server says does not become right
    /// by waiting.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self.kind, ErrorKind::Busy | ErrorKind::Timeout | ErrorKind::Unavailable)
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
        if let RedisKind::Server(kind) = error.kind()
            && let Some(fault) = redirected(kind, &error)
        {
            return fault;
        }
        if let Some(code) = error.code() {
            return answered(code, error.detail().unwrap_or_default());
        }
        match error.kind() {
            RedisKind::AuthenticationFailed => rejected(WRONG_LOGIN),
            RedisKind::Parse => garbled(),
            RedisKind::UnexpectedReturnType => nonsense(),
            RedisKind::InvalidClientConfig | RedisKind::RESP3NotSupported => {
                let detail = format!("the settings do not work: {}", error.category());
                Self::new(ErrorKind::Config, detail).untouched()
            }
            _ => unreachable_server(&error),
        }
    }
}

const WRONG_LOGIN: &str = "the user name or the password is wrong";

/// The connection broke, or none came about. Such an error comes from the operating system or the
/// TLS library and names no key.
fn unreachable_server(error: &RedisError) -> Fault {
    let detail = format!("the server cannot be reached ({error}); check that it is up");
    Fault::new(ErrorKind::Unavailable, detail).then(Then::Replace)
}

/// The connection ended in the middle of an answer, or something in between spoiled it.
fn garbled() -> Fault {
    let detail = "the answer was cut off or is not of Redis's protocol; check that the server is \
                  up, and what is in between";
    Fault::new(ErrorKind::Unavailable, detail).then(Then::Replace)
}

/// Another server is to be asked.
fn redirected(kind: ServerErrorKind, error: &RedisError) -> Option<Fault> {
    let address = error.redirect_node().map(|(address, _slot)| address.to_owned());
    let (detail, then) = match kind {
        ServerErrorKind::Moved => ("the slot has moved", address.map(Then::Moved)),
        ServerErrorKind::Ask => ("the slot is moving", address.map(Then::Ask)),
        _ => return None,
    };
    let fault = Fault::new(ErrorKind::Unavailable, detail).untouched();
    Some(fault.then(then.unwrap_or(Then::Resolve)))
}

/// The server's answer was an error with this code; where the code is known, it did nothing. Errors
/// of commands in a script stand in the text of the script's error.
pub(crate) fn answered(code: &str, text: &str) -> Fault {
    let unavailable = |detail: &str| Fault::new(ErrorKind::Unavailable, detail);
    let fault = match code {
        "NOSCRIPT" => unavailable("the script is gone").then(Then::Load),
        "TRYAGAIN" => {
            unavailable("the keys are moving to another server; try again").then(Then::TryAgain)
        }
        "CLUSTERDOWN" => unavailable("the cluster is down; see CLUSTER INFO"),
        "MASTERDOWN" => unavailable("the server is cut off from its primary"),
        "READONLY" => unavailable("the server is a read-only replica now").then(Then::Resolve),
        "LOADING" => unavailable("the server is loading its data"),
        "MISCONF" => {
            unavailable("the server refuses writes because it cannot save to its disk (MISCONF)")
        }
        "NOREPLICAS" => {
            unavailable("the server refuses writes because it has too few good replicas")
        }
        "CROSSSLOT" => a_cluster(),
        "OOM" => Fault::new(
            ErrorKind::Full,
            "the server has no memory left (maxmemory); give it more, or store less",
        ),
        "BUSY" => Fault::new(ErrorKind::Busy, "the server is busy with a script (BUSY)"),
        "CORRUPT" | "WRONGTYPE" => corrupt(),
        "NOPERM" => no_permission(text),
        "NOAUTH" => rejected("the server wants a password and got none"),
        "WRONGPASS" => rejected(WRONG_LOGIN),
        "DENIED" => rejected(
            "the server has no password, so it takes connections from its own host only \
             (protected-mode); give it a password",
        ),
        _ => return in_text(code, text),
    };
    fault.untouched()
}

fn in_text(code: &str, text: &str) -> Fault {
    const CODES: [&str; 7] =
        ["CORRUPT", "MISCONF", "NOPERM", "NOREPLICAS", "OOM", "READONLY", "WRONGTYPE"];
    let stands = |code: &&str| text.split([' ', '-']).any(|word| word == *code);
    if let Some(code) = CODES.into_iter().find(|code| stands(code)) {
        return answered(code, text);
    }
    if ["ACL failure", "user executing the script"].iter().any(|part| text.contains(part)) {
        return no_permission(text).untouched();
    }
    if text.starts_with("max number of clients") {
        let detail = "the server has as many connections as it takes (maxclients); give it more, \
                      or close some";
        return Fault::new(ErrorKind::Unavailable, detail).untouched().then(Then::Replace);
    }
    if let Some(fault) = misused(text) {
        return fault.untouched();
    }
    // What that is, and whether anything was done before it, is not known.
    Fault::new(ErrorKind::Other, format!("the server refused ({code}); see its log"))
}

/// Errors without a code of their own that say that the settings do not suit the server.
fn misused(text: &str) -> Option<Fault> {
    let config = |detail: &str| Some(Fault::new(ErrorKind::Config, detail));
    if text.contains("without any password configured") || text.contains("no password is set") {
        return config("the server wants no password; take it out of the settings");
    }
    if text.contains("cluster support disabled") {
        return config(NO_CLUSTER);
    }
    if text.contains("not allowed in cluster mode") {
        return Some(a_cluster());
    }
    if text.contains("DB index is out of range") {
        return config(
            "the server has no such database; the first one is 0, and how many there are \
                       is its setting `databases`",
        );
    }
    let unknown = text.strip_prefix("unknown command")?;
    match quoted(unknown)?.as_str() {
        "SENTINEL" => config("this is no Sentinel; connect to a Redis server as redis://HOST"),
        "CLUSTER" => config(NO_CLUSTER),
        name => {
            let detail = format!(
                "the server does not know the command {name}; it takes Redis 6.2 or Valkey 7.2 or \
                 later"
            );
            Some(Fault::new(ErrorKind::Unsupported, detail))
        }
    }
}

const NO_CLUSTER: &str = "this is no Redis Cluster; connect to a single server as redis://HOST";

/// A Cluster that is used as if it were one server.
pub(crate) fn a_cluster() -> Fault {
    let detail = "this is a Redis Cluster; connect to it as redis-cluster://HOST, without a \
                  database";
    Fault::new(ErrorKind::Config, detail).untouched()
}

/// `…has no permissions to run the 'info' command`; the names of keys are not repeated.
fn no_permission(text: &str) -> Fault {
    let command = text.split_once(" run the ").and_then(|(_before, rest)| quoted(rest));
    let detail = match command {
        Some(command) => format!(
            "the user may not call {command}; allow it (ACL SETUSER NAME +{})",
            command.to_ascii_lowercase()
        ),
        None => "the user lacks a permission; see ACL LOG".to_owned(),
    };
    rejected(&detail)
}

/// The name of a command in the first quotes, in upper case.
fn quoted(text: &str) -> Option<String> {
    let name = text.split(['\'', '`', '"']).nth(1)?;
    let plain = |byte: u8| byte.is_ascii_alphabetic() || b"|_-.".contains(&byte);
    let is_name = (1..=40).contains(&name.len()) && name.bytes().all(plain);
    is_name.then(|| name.to_ascii_uppercase())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_suit_the_server_says_what_would() {
        for (code, text, kind, word) in [
            ("ERR", "This instance has cluster support disabled", ErrorKind::Config, "redis://"),
            ("ERR", "DB index is out of range", ErrorKind::Config, "no such database"),
            ("ERR", "SELECT is not allowed in cluster mode", ErrorKind::Config, "redis-cluster://"),
            ("ERR", "unknown command 'SENTINEL', with args", ErrorKind::Config, "no Sentinel"),
            ("ERR", "unknown command `CLUSTER`, with args", ErrorKind::Config, "no Redis Cluster"),
            ("ERR", "unknown command 'hello', with args", ErrorKind::Unsupported, "HELLO"),
            (
                "ERR",
                "AUTH <password> called without any password configured for the default user. Are \
                 you sure your configuration is correct?",
                ErrorKind::Config,
                "wants no password",
            ),
            (
                "NOPERM",
                "User app has no permissions to run the 'client|tracking' command",
                ErrorKind::Rejected,
                "may not call CLIENT|TRACKING; allow it (ACL SETUSER NAME +client|tracking)",
            ),
            (
                "NOPERM",
                "this user has no permissions to run the 'info' command or its subcommand",
                ErrorKind::Rejected,
                "INFO",
            ),
            ("NOPERM", "No permissions to access a key", ErrorKind::Rejected, "ACL LOG"),
            (
                "DENIED",
                "Redis is running in protected mode because protected mode is enabled",
                ErrorKind::Rejected,
                "protected-mode",
            ),
        ] {
            let fault = answered(code, text);
            assert_eq!(fault.kind, kind, "{text}: {}", fault.detail);
            assert!(fault.untouched && !fault.is_outage(), "{text}");
            assert!(fault.detail.contains(word), "{text}: {}", fault.detail);
        }
    }

    #[test]
    fn a_server_that_has_all_its_connections_is_an_outage() {
        for text in
            ["max number of clients reached", "max number of clients + cluster connections reached"]
        {
            let fault = answered("ERR", text);
            assert!(fault.untouched && fault.is_outage(), "{text}: {}", fault.detail);
            assert!(fault.detail.contains("maxclients"), "{}", fault.detail);
        }
    }

    #[test]
    fn nothing_but_a_command_is_repeated() {
        for text in
            ["no permissions to run the 'canary key' command", "unknown command 'canary:key'"]
        {
            assert!(!answered("ERR", text).detail.contains("canary"), "{text}");
            assert!(!answered("NOPERM", text).detail.contains("canary"), "{text}");
        }
    }
}
