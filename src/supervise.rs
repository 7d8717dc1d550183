//! Work in the background.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::backend::{Error, ErrorKind, Result};

/// How long after a panic the work begins again.
const PAUSE: Duration = Duration::from_secs(1);

/// Work that begins again after a panic, and ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Supervised(AbortHandle);

impl Supervised {
    /// # Errors
    ///
    /// [`ErrorKind::Config`] outside of a Tokio runtime.
    pub(crate) fn start<F>(
        name: &'static str,
        work: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Handle::try_current().map_err(|_none| {
            let detail = format!("the {name} works in a Tokio runtime; start it within one");
            Error::new(ErrorKind::Config, detail)
        })?;
        let task = runtime.spawn(async move {
            while AssertUnwindSafe(async { work().await }).catch_unwind().await.is_err() {
                tracing::error!(name, "work in the background panicked, and begins again");
                sleep(PAUSE).await;
            }
        });
        Ok(Self(task.abort_handle()))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_after_a_panic_and_ends_with_its_owner() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let work = move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(run >= 2, "the test lets the first two panic");
                std::future::pending::<()>().await;
            }
        };
        let supervised = Supervised::start("test", work).unwrap();
        sleep(PAUSE * 5).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        assert_eq!(Arc::strong_count(&runs), 2);
        drop(supervised);
        sleep(PAUSE).await;
        assert_eq!(Arc::strong_count(&runs), 1, "the work is gone");
    }
}
