use std::io;

use memcache::exp;
use steadfast_backend::{Error, ErrorKind};

/// What an error of the client crate means for the caller. Its own texts hold whole keys, so none
/// of them is kept.
pub(crate) fn of(error: exp::Error) -> Error {
    match error {
        exp::Error::Ambiguous { source, .. } => match *source {
            // The crate takes every error after sending for silence; these are answers.
            exp::Error::Server(text) if is_refusal(&text) => server_error(&text),
            exp::Error::Rejected(text) => rejected(&text),
            source => of(source).ambiguous(),
        },
        exp::Error::Io(error) => unreachable_now(error),
        exp::Error::Timeout { .. } => no_answer(),
        exp::Error::Server(text) => server_error(&text),
        exp::Error::Rejected(text) => rejected(&text),
        _ => garbled(),
    }
}

pub(crate) fn no_answer() -> Error {
    let detail = "no answer in time, or no free connection; look at the server's load, or allow \
                  more time or connections";
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

/// Others kept changing the key while this call looked at it.
pub(crate) fn contended() -> Error {
    let detail = "others kept changing this key; nothing was changed; try again";
    Error::new(ErrorKind::Contended, detail)
}

/// The answers to a store command that say for sure that it was not made.
fn is_refusal(text: &str) -> bool {
    text.starts_with("object too large") || text.starts_with("out of memory storing object")
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

    fn sent(source: exp::Error) -> exp::Error {
        exp::Error::Ambiguous { key: b"a-whole-key".to_vec(), source: Box::new(source) }
    }

    fn seen(error: exp::Error) -> (ErrorKind, bool) {
        let error = of(error);
        assert!(!format!("{error:?} {error}").contains("a-whole-key"));
        (error.kind(), error.is_ambiguous())
    }

    fn io(kind: io::ErrorKind) -> exp::Error {
        exp::Error::Io(kind.into())
    }

    #[test]
    fn silence_after_sending_is_ambiguous_and_before_it_is_not() {
        let timeout = || exp::Error::Timeout { key: b"a-whole-key".to_vec() };
        assert_eq!(seen(timeout()), (ErrorKind::Timeout, false));
        assert_eq!(seen(sent(timeout())), (ErrorKind::Timeout, true));
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof] {
            assert_eq!(seen(sent(io(kind))), (ErrorKind::Unavailable, true));
        }
        assert_eq!(seen(io(io::ErrorKind::ConnectionRefused)), (ErrorKind::Unavailable, false));
        assert_eq!(seen(io(io::ErrorKind::TimedOut)), (ErrorKind::Timeout, false));
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let server = |text: &str| sent(exp::Error::Server(text.to_owned()));
        let too_large = server("object too large for cache");
        assert_eq!(seen(too_large), (ErrorKind::TooLarge, false));
        assert_eq!(seen(server("out of memory storing object")), (ErrorKind::Full, false));
        assert_eq!(seen(server("out of memory reading request")), (ErrorKind::Full, true));
        assert_eq!(seen(server("a-whole-key")), (ErrorKind::Other, true));
        let rejected = |text: &str| sent(exp::Error::Rejected(text.to_owned()));
        assert_eq!(seen(rejected("ERROR")), (ErrorKind::Busy, false));
        assert_eq!(seen(rejected("unauthenticated")), (ErrorKind::Rejected, false));
        assert_eq!(seen(rejected("invalid flag a-whole-key")), (ErrorKind::Other, false));
    }

    #[test]
    fn what_makes_no_sense_says_nothing_of_what_it_was() {
        let protocol = || exp::Error::Protocol("a-whole-key".to_owned());
        assert_eq!(seen(protocol()), (ErrorKind::Other, false));
        assert_eq!(seen(sent(protocol())), (ErrorKind::Other, true));
    }
}
