use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Polls a future as often as it asks for it, but at most `polls` times, and then drops it. `None`
/// if it did not come to its end.
pub(crate) async fn poll_then_drop<T>(
    future: impl Future<Output = T>,
    mut polls: usize,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let Some(left) = polls.checked_sub(1) else { return Poll::Ready(None) };
        polls = left;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
