use std::io;

use memcache::exp;
use steadfast_backend::{Error, ErrorKind};

/// What the server's refusal of a request means for the caller. The client crate's own texts hold
/// whole keys, so none of them is kept.
pub(crate) fn of(error: exp::Error) -> Error {
    match error {
        exp::Error::Server(text) => server_error(&text),
        exp::Error::Rejected(text) => rejected(&text),
        _ => garbled(),
    }
}

/// The same of a request that changes something: unless the server says so, it may have done it.
pub(crate) fn of_change(error: exp::Error) -> Error {
    let is_refused = match &error {
        exp::Error::Server(_) => leaves_the_connection(&error),
        exp::Error::Rejected(_) => true,
        _ => false,
    };
    let error = of(error);
    if is_refused { error } else { error.ambiguous() }
}

/// True for the answers to a store command that say for sure that it was not made, after which the
/// server goes on with the next request.
pub(crate) fn leaves_the_connection(error: &exp::Error) -> bool {
    let exp::Error::Server(text) = error else { return false };
    text.starts_with("object too large") || text.starts_with("out of memory storing object")
}

pub(crate) fn no_answer() -> Error {
    let detail = "no answer in time; look at the server's load, or allow more time";
    Error::new(ErrorKind::Timeout, detail)
}

pub(crate) fn unreachable_now(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::TimedOut {
        return no_answer();
    }
    let detail = "the server cannot be reached or closed the connection; see whether it runs";
    Error::new(ErrorKind::Unavailable, detail).caused_by(error)
}

pub(crate) fn garbled() -> Error {
    let detail = "the server's answer is not of Memcached's protocol; look at what listens there";
    Error::new(ErrorKind::Other, detail)
}

/// The server was one of Memcached when the connection was made, so this passes.
pub(crate) fn spoiled() -> Error {
    let detail = "an answer came garbled, and the connection was given up; look at what is between \
                  here and the server";
    Error::new(ErrorKind::Unavailable, detail)
}

/// Others kept changing the key while this call looked at it.
pub(crate) fn contended() -> Error {
    let detail = "others kept changing this key; nothing was changed; try again";
    Error::new(ErrorKind::Contended, detail)
}

fn server_error(text: &str) -> Error {
    let (kind, detail) = if text.starts_with("object too large") {
        (ErrorKind::TooLarge, "the value is over the server's limit; store less, or raise -I")
    } else if text.starts_with("out of memory") {
        (ErrorKind::Full, "the server has no memory left; raise -m, or let it evict (no -M)")
    } else {
        (ErrorKind::Other, "the server failed; look at its log")
    };
    Error::new(kind, detail)
}

fn rejected(text: &str) -> Error {
    let (kind, detail) = match text {
        // So it answers a connection too many.
        "ERROR" => (
            ErrorKind::Busy,
            "the server takes no more connections; raise -c, or use fewer per process",
        ),
        "unauthenticated" => (
            ErrorKind::Rejected,
            "the server wants a password, which this backend cannot give; start it without -Y",
        ),
        _ => (ErrorKind::Other, "the server does not take this command; look at its version"),
    };
    Error::new(kind, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(error: &Error) -> (ErrorKind, bool) {
        assert!(!format!("{error:?} {error}").contains("a-whole-key"));
        (error.kind(), error.is_ambiguous())
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let server = |text: &str| of_change(exp::Error::Server(text.to_owned()));
        assert_eq!(seen(&server("object too large for cache")), (ErrorKind::TooLarge, false));
        assert_eq!(seen(&server("out of memory storing object")), (ErrorKind::Full, false));
        assert_eq!(seen(&server("out of memory reading request")), (ErrorKind::Full, true));
        assert_eq!(seen(&server("a-whole-key")), (ErrorKind::Other, true));
        let rejected = |text: &str| of_change(exp::Error::Rejected(text.to_owned()));
        assert_eq!(seen(&rejected("ERROR")), (ErrorKind::Busy, false));
        assert_eq!(seen(&rejected("unauthenticated")), (ErrorKind::Rejected, false));
        assert_eq!(seen(&rejected("invalid flag a-whole-key")), (ErrorKind::Other, false));
    }

    #[test]
    fn what_makes_no_sense_says_nothing_of_what_it_was() {
        let protocol = || exp::Error::Protocol("a-whole-key".to_owned());
        assert_eq!(seen(&of(protocol())), (ErrorKind::Other, false));
        assert_eq!(seen(&of_change(protocol())), (ErrorKind::Other, true));
    }
}
