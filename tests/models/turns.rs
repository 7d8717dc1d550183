//! Calls that run at the same time, one at a time, in a given order.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

pub(crate) type Call<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended<T> {
    /// `None` if it was dropped.
    pub(crate) answer: Option<T>,
    /// At which turn it began, and at which it ended.
    pub(crate) turns: (usize, usize),
}

/// A call that waits this often is stuck.
const TURNS_MAX: usize = 20_000;

/// Polls the calls until each has ended or was dropped, after so many polls as stand beside it.
/// Each turn picks one of those that are left; when there are no more, all take turns. `enter` is
/// told whose turn it is.
pub(crate) fn interleave<T>(
    calls: Vec<(Call<'_, T>, Option<usize>)>,
    picks: &[u8],
    enter: impl Fn(usize),
) -> Vec<Ended<T>> {
    let mut context = Context::from_waker(Waker::noop());
    let mut ended: Vec<_> = calls.iter().map(|_| None).collect();
    let mut left: Vec<_> =
        calls.into_iter().enumerate().map(|(at, call)| (at, call, None)).collect();
    for turn in 0..TURNS_MAX {
        if left.is_empty() {
            return ended.into_iter().flatten().collect();
        }
        let pick = picks.get(turn).map_or(turn, |pick| usize::from(*pick)) % left.len();
        let (at, (call, polls_left), began) = &mut left[pick];
        let (at, began) = (*at, *began.get_or_insert(turn));
        enter(at);
        let answer = match (call.as_mut().poll(&mut context), polls_left) {
            (Poll::Ready(answer), _) => Some(answer),
            (Poll::Pending, Some(polls_left)) if *polls_left <= 1 => None,
            (Poll::Pending, polls_left) => {
                *polls_left = polls_left.map(|polls_left| polls_left - 1);
                continue;
            }
        };
        drop(left.remove(pick));
        ended[at] = Some(Ended { answer, turns: (began, turn) });
    }
    panic!("{} calls wait for ever", left.len());
}

/// Lets the others have a turn.
pub(crate) async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|_context| {
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Runs a call to its end, in one turn.
pub(crate) fn block_on<T>(call: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut call = std::pin::pin!(call);
    loop {
        match call.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}
