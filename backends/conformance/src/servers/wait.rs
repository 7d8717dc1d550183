use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a server on a busy machine. Nothing waits this long unless it fails.
const LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(5);

/// Asks until there is an answer. `what` completes "... did not happen".
pub(crate) fn wait_for<T>(
    what: &str,
    mut ask: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() > LIMIT {
            let message = format!("{what} did not happen within {LIMIT:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        thread::sleep(STEP);
    }
}
