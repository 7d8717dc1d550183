use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::sleep;

use crate::backend::Result;
use crate::nanos::nanos;

/// What a second question costs, and what each read earns: one in fifty is asked twice.
const PRICE: u32 = 50;
/// What may be saved up for a moment in which many are late.
const TOKENS_MAX: u32 = 10 * PRICE;
/// A read is not late before this, whatever the others take.
const DELAY_MIN: Duration = Duration::from_millis(1);

/// Asks a second time where an answer is late: later than 95 of 100 were. The first answer counts.
#[derive(Debug)]
pub(super) struct Hedge {
    /// About what 95 of 100 reads take no longer than; 0 before the first one.
    usual_ns: AtomicU64,
    tokens: AtomicU32,
}

impl Hedge {
    pub(super) fn new() -> Self {
        Self { usual_ns: AtomicU64::new(0), tokens: AtomicU32::new(PRICE) }
    }

    /// A read was answered after so long.
    pub(super) fn learn(&self, took: Duration) {
        let (took_ns, usual_ns) = (nanos(took), self.usual_ns.load(Ordering::Relaxed));
        let usual_ns = match usual_ns {
            0 => took_ns,
            // In balance if one in twenty is above. What two learn at once may count once.
            usual_ns if took_ns > usual_ns => usual_ns.saturating_add(usual_ns / 16 + 1),
            usual_ns => usual_ns - usual_ns / (16 * 19),
        };
        self.usual_ns.store(usual_ns.max(1), Ordering::Relaxed);
        let earn = |tokens: u32| (tokens < TOKENS_MAX).then(|| tokens + 1);
        let _full = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn);
    }

    /// The answer to one question, put again if it is late and that is paid for.
    pub(super) async fn ask<T, F>(&self, question: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let usual_ns = self.usual_ns.load(Ordering::Relaxed);
        let first = pin!(question());
        if usual_ns == 0 {
            return first.await;
        }
        let late = pin!(sleep(Duration::from_nanos(usual_ns).max(DELAY_MIN)));
        let first = match select(first, late).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(((), first)) => first,
        };
        let pay = |tokens: u32| tokens.checked_sub(PRICE);
        if self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_err() {
            return first.await;
        }
        let second = pin!(question());
        match select(first, second).await {
            Either::Left((Ok(answer), _)) | Either::Right((Ok(answer), _)) => Ok(answer),
            Either::Left((Err(_), second)) => second.await,
            Either::Right((Err(_), first)) => first.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_what_nineteen_of_twenty_take() {
        let hedge = Hedge::new();
        // 1 to 100 ms, as if by chance.
        for number in 0..20_000_u64 {
            hedge.learn(Duration::from_millis(1 + number * 7_919 % 100));
        }
        let usual = Duration::from_nanos(hedge.usual_ns.load(Ordering::Relaxed));
        assert!((85..=105).contains(&usual.as_millis()), "{usual:?}");
    }

    #[cfg(feature = "memory")]
    #[test]
    fn where_there_is_no_timer_nothing_is_asked_twice() {
        use std::sync::Arc;

        use futures_util::FutureExt;
        use steadfast_memory::{MemoryBackend, MemoryConfig};

        use super::super::{Guard, GuardConfig};
        use crate::backend::{Group, Key, Namespace};

        let config = GuardConfig { hedges: true, ..GuardConfig::default() };
        let guard = Guard::new(Arc::new(MemoryBackend::new(MemoryConfig::default())), config);
        let (namespace, group) = (Namespace::new("test").unwrap(), Group::new("g").unwrap());
        let keys = ["a", "b"].map(|name| Key::new(&namespace, &group, name).unwrap());
        let guard = guard.unwrap();
        for _ in 0..3 {
            let entries = guard.get_many(&keys).now_or_never().unwrap();
            assert_eq!(entries.unwrap(), [None, None]);
        }
    }
}
