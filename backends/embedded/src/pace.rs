use std::time::Duration;

/// A disk that stalled once must not hold up whoever comes next.
const COMPANY_WAIT_MAX: Duration = Duration::from_millis(5);

/// How the last group went. Callers that were answered together tend to come back together, so a
/// small part of a commit's time is given to those still on their way.
#[derive(Default)]
pub(crate) struct Pace {
    jobs: usize,
    took: Duration,
}

impl Pace {
    pub(crate) fn of(jobs: usize, took: Duration) -> Self {
        Self { jobs, took }
    }

    /// How many jobs the next group waits for.
    pub(crate) fn company_len(&self) -> usize {
        self.jobs
    }

    /// How long it waits for them at most.
    pub(crate) fn company_wait(&self) -> Duration {
        (self.took / 4).min(COMPANY_WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_follows_the_commit_but_not_a_stall() {
        let wait = |took| Pace::of(2, took).company_wait();
        assert_eq!(wait(Duration::from_millis(4)), Duration::from_millis(1));
        assert_eq!(wait(Duration::from_secs(30)), COMPANY_WAIT_MAX);
    }
}
