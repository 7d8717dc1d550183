use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::backend::{Error, Result};

tokio::task_local! {
    /// When the call of a user that this task works on must have its answer.
    static DEADLINE: Instant;
}

/// The deadline of the call that this task works on; of a call that begins now if it works on
/// none.
#[inline]
pub(super) fn current(now: Instant, whole: Duration) -> Instant {
    DEADLINE.try_with(|deadline| *deadline).unwrap_or_else(|_none| now + whole)
}

/// A call of a user: however many trips it takes, they have one deadline. A call within a call has
/// the deadline of the outer one.
pub(super) fn scope<F: Future>(whole: Duration, call: F) -> impl Future<Output = F::Output> {
    DEADLINE.scope(current(Instant::now(), whole), call)
}

/// Whether there is a timer: not outside of a Tokio runtime, where only embedded stores work.
pub(super) fn has_timer() -> bool {
    Handle::try_current().is_ok()
}

/// The answer of a call if it comes in time. One that is ready needs no timer. Where there
/// is none, a call is answered however long it takes.
pub(super) async fn within<T>(
    deadline: Instant,
    call: impl Future<Output = Result<T>>,
    late: impl Fn() -> Error,
) -> Result<T> {
    let (mut call, mut timer) = (pin!(call), pin!(None));
    poll_fn(|context| {
        if let Poll::Ready(answer) = call.as_mut().poll(context) {
            return Poll::Ready(answer);
        }
        if timer.is_none() && has_timer() {
            timer.set(Some(sleep_until(deadline)));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(context).map(|()| Err(late())),
            None => Poll::Pending,
        }
    })
    .await
}
