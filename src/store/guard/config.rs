use std::time::Duration;

use crate::backend::{Error, ErrorKind, Result};
use crate::breaker::BreakerConfig;

/// What a call may take.
#[derive(Clone, Debug)]
pub(in crate::store) struct GuardConfig {
    pub(in crate::store) deadline: Duration,
    pub(in crate::store) attempts: u32,
    pub(in crate::store) in_flight_max: usize,
    pub(in crate::store) hedges: bool,
    /// One that suits the deadline if it is not given.
    pub(in crate::store) breaker: Option<BreakerConfig>,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            attempts: 3,
            in_flight_max: 1_024,
            hedges: false,
            breaker: None,
        }
    }
}

impl GuardConfig {
    pub(in crate::store) fn check(&self) -> Result<()> {
        const DEADLINE_MAX: Duration = Duration::from_secs(3_600);
        let Self { deadline, attempts, in_flight_max, .. } = self;
        let wrong = if deadline.is_zero() || *deadline > DEADLINE_MAX {
            format!("deadline is more than zero and up to an hour, not {deadline:?}")
        } else if !(1..=10).contains(attempts) {
            format!("attempts is 1 to 10, not {attempts}")
        } else if *in_flight_max == 0 {
            "in_flight_max is at least 1, not 0".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Invalid, wrong))
    }

    pub(super) fn breaker(&self) -> BreakerConfig {
        // A store that is back should be used again at once, however long it was out.
        let (min, max) = (Duration::from_millis(100), Duration::from_millis(500));
        let own = || {
            let breaker = BreakerConfig::default().open(min, max);
            breaker.timeout(self.deadline).slow_after(self.deadline / 2)
        };
        self.breaker.clone().unwrap_or_else(own)
    }
}
