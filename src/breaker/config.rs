use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Error, ErrorKind, Result};
use crate::nanos::nanos;

use super::Transition;
use super::core::Rules;

type Hook = Arc<dyn Fn(&Transition) + Send + Sync>;

/// Settings of a [`Breaker`](super::Breaker). The defaults: a window of 10 seconds; it opens at 20
/// or more calls of which half failed or four fifths were slow, which is 1 second; it stays open
/// for 1 second, then for twice as long each time, up to 30, a fifth more or less at random; then
/// it lets 1, 2 and 4 calls through.
///
/// ```
/// use std::time::Duration;
/// use steadfast::breaker::BreakerConfig;
///
/// let config = BreakerConfig::default()
///     .timeout(Duration::from_millis(250))
///     .slow_after(Duration::from_millis(125))
///     .on_change(|change| println!("{:?} -> {:?}", change.from, change.to));
/// # assert!(steadfast::breaker::Breaker::new(config).is_ok());
/// ```
#[derive(Clone)]
pub struct BreakerConfig {
    window: Duration,
    calls_min: u32,
    failure_rate: f64,
    slow_rate: f64,
    pub(super) slow_after: Duration,
    pub(super) timeout: Duration,
    open_min: Duration,
    open_max: Duration,
    probes: Vec<u32>,
    pub(super) hook: Option<Hook>,
    pub(super) chance: fn() -> u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            calls_min: 20,
            failure_rate: 0.5,
            slow_rate: 0.8,
            slow_after: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            open_min: Duration::from_secs(1),
            open_max: Duration::from_secs(30),
            probes: vec![1, 2, 4],
            hook: None,
            chance,
        }
    }
}

impl BreakerConfig {
    /// How far back calls count.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// With fewer calls than this in the window it does not open.
    #[must_use]
    pub fn calls_min(mut self, calls: u32) -> Self {
        self.calls_min = calls;
        self
    }

    /// It opens when this part of the calls failed, more than 0 and up to 1.
    #[must_use]
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.failure_rate = rate;
        self
    }

    /// It opens when this part of the calls succeeded but were slow, more than 0 and up to 1.
    #[must_use]
    pub fn slow_rate(mut self, rate: f64) -> Self {
        self.slow_rate = rate;
        self
    }

    /// A call that takes longer than this is slow.
    #[must_use]
    pub fn slow_after(mut self, duration: Duration) -> Self {
        self.slow_after = duration;
        self
    }

    /// How long a call may take. One that is [dropped](super::Permit) later than that has failed,
    /// and one that is dropped after a fifth of it was slow.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long it stays open at first, and at most.
    #[must_use]
    pub fn open(mut self, min: Duration, max: Duration) -> Self {
        (self.open_min, self.open_max) = (min, max);
        self
    }

    /// How many calls are let through in each stage of [`HalfOpen`](super::BreakerState::HalfOpen).
    /// It closes when those of the last stage have succeeded.
    #[must_use]
    pub fn probes(mut self, stages: &[u32]) -> Self {
        self.probes = stages.to_vec();
        self
    }

    /// Tells when the state changes, from within the call that changes it: hand over and return.
    #[must_use]
    pub fn on_change(mut self, hook: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Tells this, too, and first.
    pub(crate) fn also_on_change(self, hook: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        let Some(own) = self.hook.clone() else { return self.on_change(hook) };
        self.on_change(move |change| {
            hook(change);
            own(change);
        })
    }

    /// Replaces what varies the time that it stays open.
    #[cfg(test)]
    pub(super) fn chance(mut self, chance: fn() -> u64) -> Self {
        self.chance = chance;
        self
    }

    pub(super) fn rules(&self) -> Result<Rules> {
        self.check().map_err(|detail| Error::new(ErrorKind::Invalid, detail))?;
        Ok(Rules {
            window_ns: nanos(self.window),
            calls_min: self.calls_min.into(),
            failed_permille: permille(self.failure_rate),
            slow_permille: permille(self.slow_rate),
            open_min_ns: nanos(self.open_min),
            open_max_ns: nanos(self.open_max),
            probes: self.probes.clone(),
            probe_ns: nanos(self.timeout) * 2,
            chance: self.chance,
        })
    }

    fn check(&self) -> std::result::Result<(), String> {
        let (window, timeout) = (("window", self.window), ("timeout", self.timeout));
        let open = [("open (min)", self.open_min), ("open (max)", self.open_max)];
        for (name, span) in open.into_iter().chain([window, timeout]) {
            if !(MIN..=MAX).contains(&span) {
                return Err(format!("{name} of a breaker is 1 ms to 1 day, not {span:?}"));
            }
        }
        let (min, max) = (self.open_min, self.open_max);
        if min > max {
            return Err(format!("open of a breaker has a min up to its max, not {min:?}, {max:?}"));
        }
        for (name, rate) in [("failure_rate", self.failure_rate), ("slow_rate", self.slow_rate)] {
            if !(rate > 0.0 && rate <= 1.0) {
                return Err(format!("{name} of a breaker is more than 0 and up to 1, not {rate}"));
            }
        }
        if self.calls_min == 0 {
            return Err("calls_min of a breaker is at least 1, not 0".to_owned());
        }
        if self.probes.is_empty() || self.probes.contains(&0) {
            return Err("probes of a breaker are 1 or more in each of 1 or more stages".to_owned());
        }
        Ok(())
    }
}

const MIN: Duration = Duration::from_millis(1);
const MAX: Duration = Duration::from_secs(86_400);

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is more than 0 and up to 1"
)]
fn permille(rate: f64) -> u64 {
    ((rate * 1_000.0).round() as u64).max(1)
}

fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl fmt::Debug for BreakerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerConfig")
            .field("window", &self.window)
            .field("calls_min", &self.calls_min)
            .field("failure_rate", &self.failure_rate)
            .field("slow_rate", &self.slow_rate)
            .field("slow_after", &self.slow_after)
            .field("timeout", &self.timeout)
            .field("open", &(self.open_min..=self.open_max))
            .field("probes", &self.probes)
            .finish_non_exhaustive()
    }
}
