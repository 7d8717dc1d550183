use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_backend::{Error, ErrorKind, Result};
use tokio::time::sleep;

use crate::admin::{self, Admin, Found};
use crate::server::Server;

/// How often a server that is there is asked for its clock. It is also asked when a call gets no
/// answer, and its end is seen at once.
const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// How often a server that is out is tried.
pub(crate) const RETRY_PERIOD: Duration = Duration::from_millis(250);
/// How often the addresses of its name are looked up.
const RESOLVE_PERIOD: Duration = Duration::from_secs(30);
/// How long a step may take at most while a server is being reached: whoever waits longer for a
/// link that is broken sees late that it was mended.
const REACH_STEP_MAX: Duration = Duration::from_secs(1);
/// An answer that took longer says nothing certain of the clock: the server may have stood still,
/// and then the second that it shows is old.
const SLOW: Duration = Duration::from_millis(250);
/// What an item takes besides the value: its own header, the longest key and our header.
const ITEM_OVERHEAD: usize = 512;

/// With the megabyte that an item may have unless a server is started with another `-I`.
pub(crate) const USUAL_VALUE_LEN_MAX: usize = (1 << 20) - ITEM_OVERHEAD;

/// Watches over one server: admits it, tells its time, ejects it, admits it again.
#[derive(Debug)]
pub(crate) struct Keeper {
    server: Arc<Server>,
    admin: Option<Admin>,
    /// No server with a smaller limit is admitted.
    value_len_max: usize,
    resolved: Instant,
}

/// Looks for a server by its name.
pub(crate) async fn reach(server: &Server) -> Result<Found> {
    Admin::open(&server.address, reach_step(server)).await
}

/// Why a server is out that was not looked for.
pub(crate) fn not_reached() -> Error {
    Error::new(ErrorKind::Unavailable, "it was not reached yet")
}

/// The longest value that fits into an item of a server, whatever the key.
pub(crate) fn value_len_max(found: &Found) -> usize {
    found.item_len_max.saturating_sub(ITEM_OVERHEAD)
}

fn reach_step(server: &Server) -> Duration {
    server.timeout.min(REACH_STEP_MAX)
}

impl Keeper {
    /// For a server as it was found at the start.
    pub(crate) fn new(server: Arc<Server>, reached: Result<Found>, value_len_max: usize) -> Self {
        let mut keeper = Self { server, admin: None, value_len_max, resolved: Instant::now() };
        keeper.judge(reached);
        keeper
    }

    /// For as long as the backend is open.
    pub(crate) async fn run(mut self) {
        loop {
            self.wait().await;
            self.look().await;
        }
    }

    /// The same, for a server that was not looked for yet.
    pub(crate) async fn begin(mut self) {
        self.look().await;
        self.run().await;
    }

    async fn wait(&self) {
        let Some(admin) = &self.admin else { return sleep(jittered(RETRY_PERIOD)).await };
        tokio::select! {
            () = sleep(jittered(WATCH_PERIOD)) => {}
            () = self.server.doubted.notified() => {}
            () = admin.closed() => {}
        }
    }

    async fn look(&mut self) {
        if let Some(admin) = &mut self.admin {
            match admin.stats().await {
                Ok(stats) => {
                    if let Some(clock) = stats.clock().filter(|_| stats.took() <= SLOW) {
                        self.server.tell(clock);
                    }
                    if !self.has_moved().await {
                        return;
                    }
                }
                // Another connection would fare no better.
                Err(error) if error.kind() == ErrorKind::Timeout => return self.eject(error),
                Err(_) => {}
            }
        }
        let reached = reach(&self.server).await;
        self.judge(reached);
    }

    fn judge(&mut self, reached: Result<Found>) {
        match self.admit(reached) {
            Ok(admin) => self.admin = Some(admin),
            Err(error) => self.eject(error),
        }
    }

    fn admit(&self, reached: Result<Found>) -> Result<Admin> {
        let mut found = reached?;
        if value_len_max(&found) < self.value_len_max {
            let detail = "its item_size_max is smaller than that of the servers at the start, or \
                          than the usual megabyte; start them all with the same -I";
            return Err(Error::new(ErrorKind::Config, detail));
        }
        self.server.admit(found.admin.address(), found.clock);
        found.admin.wait_up_to(self.server.timeout);
        Ok(found.admin)
    }

    fn eject(&mut self, reason: Error) {
        self.admin = None;
        self.server.eject(reason);
    }

    /// True if the name no longer leads to the address in use. Where it cannot be looked up, what
    /// is in use stays.
    async fn has_moved(&mut self) -> bool {
        if self.resolved.elapsed() < RESOLVE_PERIOD {
            return false;
        }
        self.resolved = Instant::now();
        let found = admin::resolve(&self.server.address, reach_step(&self.server)).await;
        let current = self.admin.as_ref().map(Admin::address);
        found.is_ok_and(|found| current.is_some_and(|current| !found.contains(&current)))
    }
}

/// Up to a fifth more or less, so that the nodes do not all ask at the same moment.
fn jittered(period: Duration) -> Duration {
    let parts = RandomState::new().build_hasher().finish() % 401;
    period * (800 + u32::try_from(parts).unwrap_or(0)) / 1_000
}

#[cfg(test)]
mod tests {
    use steadfast_conformance::servers::MemcachedServer;

    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_is_followed() {
        let [old, new] = [MemcachedServer::start().unwrap(), MemcachedServer::start().unwrap()];
        let limit = Duration::from_secs(5);
        let found = Admin::open(&old.addr().to_string(), limit).await;
        // As if the name had led to the old server when it was looked up.
        let server = Arc::new(Server::new(new.addr().to_string(), limit, 1));
        let mut keeper = Keeper::new(server, found, 0);
        keeper.look().await;
        assert_eq!(keeper.admin.as_ref().map(Admin::address), Some(old.addr()), "looked up early");
        keeper.resolved = Instant::now().checked_sub(RESOLVE_PERIOD).unwrap();
        keeper.look().await;
        assert_eq!(keeper.admin.as_ref().map(Admin::address), Some(new.addr()));
        assert!(keeper.server.link().is_ok());
    }

    #[test]
    fn periods_vary_by_a_fifth() {
        let periods: Vec<_> = (0..1_000).map(|_| jittered(RETRY_PERIOD)).collect();
        assert!(periods.iter().all(|period| (200..=300).contains(&period.as_millis())));
        assert!(periods.iter().any(|period| *period != periods[0]));
    }
}
