use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

tokio::task_local! {
    /// When the call of a user that this task works on must have its answer.
    static DEADLINE: Instant;
}

/// The deadline of the call that this task works on; of a call that begins now if it works on
/// none.
pub(super) fn current(now: Instant, whole: Duration) -> Instant {
    DEADLINE.try_with(|deadline| *deadline).unwrap_or_else(|_none| now + whole)
}

/// A call of a user: however many trips it takes, they have one deadline. A call within a call has
/// the deadline of the outer one.
pub(super) fn scope<F: Future>(whole: Duration, call: F) -> impl Future<Output = F::Output> {
    DEADLINE.scope(current(Instant::now(), whole), call)
}

/// The answer of a call if it comes in time. One that is ready needs no timer, and no runtime.
pub(super) async fn within<F: Future>(deadline: Instant, call: F) -> Option<F::Output> {
    let mut call = pin!(call);
    let ready = std::future::poll_fn(|context| match call.as_mut().poll(context) {
        std::task::Poll::Ready(answer) => std::task::Poll::Ready(Some(answer)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    });
    match ready.await {
        Some(answer) => Some(answer),
        None => timeout_at(deadline, call).await.ok(),
    }
}
