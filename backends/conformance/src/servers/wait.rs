use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a server on a busy machine. Nothing waits this long unless it fails.
const LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(5);

/// Asks until there is an answer; an error only means not yet. `what` completes "... did not
/// happen".
pub(crate) fn wait_for<T>(
    what: &str,
    mut ask: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<T> {
    let start = Instant::now();
    loop {
        let asked = ask();
        if let Ok(Some(answer)) = asked {
            return Ok(answer);
        }
        if start.elapsed() > LIMIT {
            let last = asked.err().map(|error| format!("; the last error: {error}"));
            let last = last.unwrap_or_default();
            let message = format!("{what} did not happen within {LIMIT:?}{last}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        thread::sleep(STEP);
    }
}
